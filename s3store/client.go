package s3store

import (
	"context"
	"io"
	"time"
)

// Client makes the calls of S3 that a Store needs, on one bucket. Package
// awsv1 adapts the client of aws-sdk-go; others can be adapted alike.
//
// All methods may be called concurrently. Each makes one call over the network
// and does not repeat it: the Store decides what is tried again. They end soon
// after ctx has, and read nothing of a body any more when they have returned:
// its memory gets other bytes then. Errors of the service are *Error; what is
// none counts as trouble of the network, after which nobody knows whether the
// call was done.
//
// Keys are full keys within the bucket. ETags are as the service writes them,
// with their quotes.
type Client interface {
	// PutObject stores an object and returns its ETag.
	PutObject(ctx context.Context, in PutObject) (etag string, err error)
	// GetObject opens an object, or a range of it. The caller closes Body,
	// which fails when ctx ends.
	GetObject(ctx context.Context, in GetObject) (*Object, error)
	// HeadObject describes an object.
	HeadObject(ctx context.Context, key string) (*Object, error)
	// DeleteObjects removes up to 1000 objects in one call. A key that does
	// not exist is no error. If some cannot be removed, others may be.
	DeleteObjects(ctx context.Context, keys []string) error
	// DeleteObject removes one object. A key that does not exist is no error.
	DeleteObject(ctx context.Context, key string) error
	// ListObjects returns a page of the objects whose keys begin with Prefix,
	// sorted by key.
	ListObjects(ctx context.Context, in ListObjects) (*ObjectPage, error)

	// CreateMultipart begins a multipart upload of an object.
	CreateMultipart(ctx context.Context, key string, attributes Attributes) (multipart string, err error)
	// UploadPart stores a part and returns its ETag.
	UploadPart(ctx context.Context, in UploadPart) (etag string, err error)
	// CopyPart makes a part of a range of another object.
	CopyPart(ctx context.Context, in CopyPart) (etag string, err error)
	// ListParts returns a page of the parts that are stored, by number.
	ListParts(ctx context.Context, key, multipart string, after int) (*PartPage, error)
	// CompleteMultipart makes the object of exactly these parts, and returns
	// its ETag.
	CompleteMultipart(ctx context.Context, key, multipart string, parts []Part) (etag string, err error)
	// AbortMultipart ends a multipart upload and removes its parts.
	AbortMultipart(ctx context.Context, key, multipart string) error

	// PresignGet makes a URL by which anybody can get the object for the time
	// expires, with the headers that attributes set. It makes no call.
	PresignGet(key string, attributes Attributes, expires time.Duration) (string, error)
}

// Attributes are what an object carries beside its bytes. What is empty is not
// sent.
type Attributes struct {
	ContentType        string
	ContentDisposition string
	CacheControl       string
	StorageClass       string
	Encryption         string            // server-side: AES256, aws:kms
	EncryptionKey      string            // id of a KMS key
	Tags               map[string]string // not at every service
	Metadata           map[string]string // x-amz-meta-*, by the name behind that in lower case; ASCII
}

// PutObject is a call to store an object of Size bytes.
type PutObject struct {
	Key         string
	Body        io.ReadSeeker // at its beginning; an io.WriterTo, too, saves copying
	Size        int64
	Attributes  Attributes
	IfMatch     string // ETag of what is to be replaced; "": no condition
	IfNoneMatch bool   // only if there is no object
}

// GetObject is a call to read an object.
type GetObject struct {
	Key     string
	Range   string // value of the Range header; "": all
	IfMatch string // ETag that the object must have; "": any
}

// Object is an object as GetObject and HeadObject tell it.
type Object struct {
	Body         io.ReadCloser // nil from HeadObject
	Size         int64         // bytes of Body, or of the object from HeadObject
	ContentRange string        // of Body; "": Body is all
	ETag         string
	Modified     time.Time
	Attributes   Attributes // without Tags
}

// ListObjects is a call to list keys.
type ListObjects struct {
	Prefix string
	After  string // only keys that are greater
	Max    int    // 1 to 1000
}

// ObjectPage is a part of a listing.
type ObjectPage struct {
	Objects []ListedObject
	More    bool // there are greater keys
}

// ListedObject is an object as a listing tells it.
type ListedObject struct {
	Key      string
	Size     int64
	ETag     string
	Modified time.Time
}

// UploadPart is a call to store a part of Size bytes.
type UploadPart struct {
	Key       string
	Multipart string
	Number    int           // from 1
	Body      io.ReadSeeker // as in PutObject
	Size      int64
}

// CopyPart is a call to make a part of a range of an object.
type CopyPart struct {
	Key       string
	Multipart string
	Number    int
	Source    string // key, in the same bucket
	Offset    int64  // of the range
	Size      int64  // of the range; -1: all of Source
}

// Part is a part of a multipart upload.
type Part struct {
	Number int
	Size   int64
	ETag   string
}

// PartPage is a part of a listing of parts.
type PartPage struct {
	Parts []Part
	More  bool
}
