package s3server

// Quirks describe how a service differs from AWS, which is the zero value.
type Quirks struct {
	MinPart   int64 // bytes of a part that is not the last; 0: 5 MiB. Tests are faster with 1 KiB
	MaxPart   int64 // bytes of a part; 0: 5 GiB
	MaxParts  int   // highest number of a part; 0: 10 000
	MaxPut    int64 // bytes of an object stored in one call; 0: 5 GiB
	MaxObject int64 // bytes of an object; 0: 5 TiB
	PageSize  int   // most entries of a page of any listing; 0: 1000

	EqualParts bool // all parts but the last must have one size, and the last at most that

	CompleteOnce     bool // a second CompleteMultipartUpload is 404, otherwise 200 while the object is there
	AbortTwice       bool // a second AbortMultipartUpload is 204, otherwise 404
	ListEnded        bool // ListParts of a completed upload still lists its parts, otherwise 404
	UnknownUploadKey bool // ListParts of an unknown upload says NoSuchKey, otherwise NoSuchUpload
	NoIfNoneMatch    bool // a write with If-None-Match is 501
	NoIfMatch        bool // a write with If-Match is 501
	RefuseIfMatch    bool // a write with If-Match is 412, even where it holds
	IgnoreConditions bool // the conditions of writes are ignored
	NoDeleteObjects  bool // DeleteObjects is 501
	NoUploadPartCopy bool // UploadPartCopy is 501
	NoTagging        bool // a write with tags is 501

	Files      bool // objects are files: no object can be above or below the key of another
	CleansKeys bool // a key is the path of a file: /a and b/../a are stored and listed as a
	HidesBelow bool // objects below the key of another object are not listed
}

// Versity returns the quirks of versitygw.
func Versity() Quirks { return Quirks{Files: true, CleansKeys: true} }

// MinIO returns the quirks of MinIO.
func MinIO() Quirks {
	return Quirks{CompleteOnce: true, AbortTwice: true, HidesBelow: true, CleansKeys: true}
}

// Swift returns the quirks of OpenStack Swift.
func Swift() Quirks {
	return Quirks{ListEnded: true, NoIfNoneMatch: true, NoIfMatch: true, MaxParts: 1000}
}

// Ceph returns the quirks of Ceph's RADOS Gateway 16.
func Ceph() Quirks { return Quirks{UnknownUploadKey: true, RefuseIfMatch: true} }

// R2 returns the quirks of Cloudflare R2.
func R2() Quirks { return Quirks{EqualParts: true, NoTagging: true} }

func (q Quirks) minPart() int64   { return orDefault(q.MinPart, 5<<20) }
func (q Quirks) maxPart() int64   { return orDefault(q.MaxPart, 5<<30) }
func (q Quirks) maxParts() int    { return orDefault(q.MaxParts, 10_000) }
func (q Quirks) maxPut() int64    { return orDefault(q.MaxPut, 5<<30) }
func (q Quirks) maxObject() int64 { return orDefault(q.MaxObject, 5<<40) }
func (q Quirks) pageSize() int    { return orDefault(q.PageSize, 1000) }

func orDefault[T int | int64](value, otherwise T) T {
	if value == 0 {
		return otherwise
	}
	return value
}
