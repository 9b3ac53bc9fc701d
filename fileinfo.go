package tusd

import (
	"encoding/base64"
	"maps"
	"slices"
	"time"
	"unsafe"
)

// RecordVersion is the value of FileInfo.Version in records that this package
// writes. Records of tusd v2 have no version.
const RecordVersion = 1

// FileInfo is the record of one upload. Its JSON form is that of tusd v2 with
// further fields that tusd v2 ignores, so that either program can continue the
// incomplete uploads of the other.
//
// A FileInfo is a value. When a store has got or returned one, its maps, slices
// and pointers may be shared: never modify them in place. To modify one, Clone it
// first, or assign a new map, slice or pointer. Callbacks and subscriptions get a
// Clone.
type FileInfo struct {
	ID             string
	Size           int64 // bytes; 0 while SizeIsDeferred
	SizeIsDeferred bool
	// Offset counts the stored bytes, from the start and without a gap. They
	// are as durable as the store's level promises for an offset that a client
	// knows. It comes from the data; the number in a stored record is never read.
	Offset         int64
	MetaData       MetaData // as JSON it loses bytes that are not UTF-8; RawMetaData keeps them
	IsPartial      bool
	IsFinal        bool
	PartialUploads []string          // ids, in the order of their bytes in the final; only if IsFinal
	Storage        map[string]string // the place of the upload; only the store interprets it
	// Changed is when the bytes or the record last changed, by the clock of the store's
	// disk or service, or of the process that has just changed them; zero: the store does not know, and has no Lister. It is not stored in
	// the record.
	Changed time.Time `json:"-"`

	Version int       `json:",omitempty"` // RecordVersion; 0 in records of tusd v2
	Created time.Time `json:",omitzero"`
	Owner   string    `json:",omitempty"` // set by a pre-create callback; clients can neither set nor see it
	// Expires is when the upload expires if it is incomplete then; zero:
	// Config.ExpireAfter decides. A pre-create callback sets it.
	Expires     time.Time `json:",omitzero"`
	Dialect     Dialect   `json:",omitempty"` // of the creation
	State       State     `json:",omitempty"`
	RawMetaData string    `json:",omitempty"` // Upload-Metadata as the client sent it; empty after a callback changed MetaData
	RawConcat   string    `json:",omitempty"` // Upload-Concat of a final, byte for byte
	Finals      []string  `json:",omitempty"` // unfinished finals that wait for this partial
	Failure     *Failure  `json:",omitempty"` // only if State is StateFailed
	Digests     []Digest  `json:",omitempty"`
	// KnownLength is the length that a client of the IETF draft has announced
	// for an upload of deferred length. In the draft, only a request with
	// Upload-Complete completes an upload. Until then the length counts as
	// deferred, so that tus clients and tusd v2 do not take the upload for
	// complete.
	KnownLength *int64 `json:",omitempty"`
}

// State is the stage of an upload. A record has a state only if offset and length
// do not show the stage: without a state, an upload whose offset equals its length
// is complete.
type State string

// The states that a record can have.
const (
	StateUploading State = "uploading" // not complete even if full: a callback or a digest has to agree first, its event has to be sent, or a final is not built
	StateFinishing State = "finishing" // full, but not yet complete in the store; only a store returns it
	StateComplete  State = "complete"
	StateFailed    State = "failed" // can never become complete; Failure has the answer
)

// Dialect names the protocol of a request, or of the request that created an upload.
type Dialect string

// The dialects. Records of tusd v2 have none, which means DialectTus.
const (
	DialectTus  Dialect = "tus"
	DialectIETF Dialect = "ietf"
)

// Failure is the answer to every request on a failed upload but DELETE. If StatusCode is
// not 400 to 599, the status of ErrUploadFailed is used.
type Failure struct {
	Code       string
	StatusCode int
	Body       string            `json:",omitempty"`
	Header     map[string]string `json:",omitempty"`
}

// Digest is the state of one digest of an upload, in its record.
type Digest struct {
	Algorithm string // by its name in RFC 9530, like "sha-256"
	Offset    int64  // how many bytes State covers
	State     []byte `json:",omitempty"` // of the hash function
	Sum       []byte `json:",omitempty"` // the digest of the full upload
	Want      []byte `json:",omitempty"` // the digest that the client expects
}

// Value returns the digest as a member of Repr-Digest, "" if it is not known.
func (d Digest) Value() string {
	if d.Sum == nil {
		return ""
	}
	return d.Algorithm + "=:" + base64.StdEncoding.EncodeToString(d.Sum) + ":"
}

// Complete reports whether the upload is complete: it is full, and everything that
// has to agree (a callback, a digest) has agreed.
func (i FileInfo) Complete() bool { return i.isComplete() }

// isComplete is Complete without a copy of the record, which would make the stack of a slow
// upload larger as long as it runs. So are isFull and length.
func (i *FileInfo) isComplete() bool {
	if i.State != "" {
		return i.State == StateComplete
	}
	return i.isFull()
}

// Full reports whether all bytes of a known length are stored.
func (i FileInfo) Full() bool { return i.isFull() }

func (i *FileInfo) isFull() bool { return !i.SizeIsDeferred && i.Offset == i.Size }

// length returns the declared or announced length, -1 if there is none.
func (i *FileInfo) length() int64 {
	switch {
	case !i.SizeIsDeferred:
		return i.Size
	case i.KnownLength != nil:
		return *i.KnownLength
	}
	return -1
}

// Clone returns a copy that shares nothing with i.
func (i FileInfo) Clone() FileInfo {
	i.MetaData = maps.Clone(i.MetaData)
	i.Storage = maps.Clone(i.Storage)
	i.PartialUploads = slices.Clone(i.PartialUploads)
	i.Finals = slices.Clone(i.Finals)
	i.Digests = slices.Clone(i.Digests)
	for n := range i.Digests {
		d := &i.Digests[n]
		d.State, d.Sum, d.Want = slices.Clone(d.State), slices.Clone(d.Sum), slices.Clone(d.Want)
	}
	if i.KnownLength != nil {
		known := *i.KnownLength
		i.KnownLength = &known
	}
	if i.Failure != nil {
		failure := *i.Failure
		failure.Header = maps.Clone(failure.Header)
		i.Failure = &failure
	}
	return i
}

// MemorySize estimates how many bytes of memory the strings, maps and slices of i
// use, without the struct itself. Caches of records count it, because clients choose
// most of it: metadata and a list of partial uploads may have many times the size of
// a usual record.
func (i FileInfo) MemorySize() int {
	n := len(i.ID) + len(i.Owner) + len(i.Dialect) + len(i.State) + len(i.RawMetaData) + len(i.RawConcat)
	n += mapMemory(i.MetaData) + mapMemory(i.Storage)
	n += listMemory(i.PartialUploads) + listMemory(i.Finals)
	for _, d := range i.Digests {
		n += int(unsafe.Sizeof(d)) + len(d.Algorithm) + cap(d.State) + cap(d.Sum) + cap(d.Want)
	}
	if i.KnownLength != nil {
		n += int(unsafe.Sizeof(*i.KnownLength))
	}
	if f := i.Failure; f != nil {
		n += int(unsafe.Sizeof(*f)) + len(f.Code) + len(f.Body) + mapMemory(f.Header)
	}
	return n
}

func listMemory(list []string) int {
	n := cap(list) * int(unsafe.Sizeof(""))
	for _, s := range list {
		n += len(s) + allocationOverhead
	}
	return n
}

// Estimates of the memory that Go uses. A map begins with space for minMapEntries,
// which doubles as it grows, and has an overhead of its own. An allocation is
// larger than the requested size.
const (
	minMapEntries      = 8
	mapOverhead        = 64
	allocationOverhead = 8
)

func mapMemory(m map[string]string) int {
	if m == nil {
		return 0
	}
	capacity := minMapEntries
	for capacity < len(m)+len(m)/7 { // seven eighths of it can be full
		capacity *= 2
	}
	n := mapOverhead + capacity*(2*int(unsafe.Sizeof(""))+1)
	for name, value := range m {
		n += len(name) + len(value) + 2*allocationOverhead
	}
	return n
}
