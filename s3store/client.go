package s3store

import (
	"context"
	"io"
	"time"
)

// Client makes the calls of S3 that a Store needs, on one bucket. Package awsv1
// implements it with aws-sdk-go; other clients can implement it, too.
//
// All methods may be called concurrently. Each makes one call over the network
// and does not repeat it: the Store decides about retries. A method returns
// soon after ctx ends, and does not read a body after it has returned: the
// memory of the body is reused. Errors of the service are *Error; all others
// count as errors of the network, after which it is not known whether the call
// was executed.
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
	// DeleteObjects removes up to 1000 objects in one call. A key that does not
	// exist is no error. If some cannot be removed, others may still be removed.
	DeleteObjects(ctx context.Context, keys []string) error
	// DeleteObject removes one object. A key that does not exist is no error.
	DeleteObject(ctx context.Context, key string) error
	// ListObjects returns a page of the objects whose keys begin with Prefix,
	// sorted by key.
	ListObjects(ctx context.Context, in ListObjects) (*ObjectPage, error)

	// CreateMultipart starts a multipart upload of an object.
	CreateMultipart(ctx context.Context, key string, attributes Attributes) (multipart string, err error)
	// UploadPart stores a part and returns its ETag.
	UploadPart(ctx context.Context, in UploadPart) (etag string, err error)
	// CopyPart makes a part from a range of another object.
	CopyPart(ctx context.Context, in CopyPart) (etag string, err error)
	// ListParts returns a page of the stored parts, by number.
	ListParts(ctx context.Context, key, multipart string, after int) (*PartPage, error)
	// CompleteMultipart makes the object from exactly these parts, and returns
	// its ETag.
	CompleteMultipart(ctx context.Context, key, multipart string, parts []Part) (etag string, err error)
	// AbortMultipart ends a multipart upload and removes its parts.
	AbortMultipart(ctx context.Context, key, multipart string) error

	// PresignGet returns a URL with which everyone can get the object for the
	// time expires, with the headers that attributes set. It makes no call.
	PresignGet(key string, attributes Attributes, expires time.Duration) (string, error)
}

// MultipartLister is a Client that can list multipart uploads. It is optional: without it,
// those that no record names are neither reported nor removed. A Client that wraps such a
// one has a method Unwrap() Client.
type MultipartLister interface {
	// ListMultiparts returns a page of the multipart uploads that are neither completed
	// nor aborted, sorted by key.
	ListMultiparts(ctx context.Context, in ListMultiparts) (*MultipartPage, error)
}

// multipartLister returns the MultipartLister that a client is, or wraps.
func multipartLister(c Client) (MultipartLister, bool) {
	for {
		if lister, ok := c.(MultipartLister); ok {
			return lister, true
		}
		wrapper, ok := c.(interface{ Unwrap() Client })
		if !ok {
			return nil, false
		}
		c = wrapper.Unwrap()
	}
}

// Attributes are stored with an object beside its bytes. Empty ones are not
// sent.
type Attributes struct {
	ContentType        string
	ContentDisposition string
	CacheControl       string
	StorageClass       string
	Encryption         string            // server-side: AES256, aws:kms
	EncryptionKey      string            // id of a KMS key
	Tags               map[string]string // not supported by every service
	Metadata           map[string]string // x-amz-meta-*, by the name behind that prefix in lower case; ASCII
}

// PutObject is a call to store an object of Size bytes.
type PutObject struct {
	Key         string
	Body        io.ReadSeeker // at its beginning; an io.WriterTo saves copying
	Size        int64
	Attributes  Attributes
	IfMatch     string // ETag of the object to replace; "": no condition
	IfNoneMatch bool   // only if there is no object
}

// GetObject is a call to read an object.
type GetObject struct {
	Key     string
	Range   string // value of the Range header; "": all
	IfMatch string // ETag that the object must have; "": any
}

// Object is an object as GetObject and HeadObject return it.
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

// ObjectPage is a page of a listing of objects.
type ObjectPage struct {
	Objects []ListedObject
	More    bool // there are greater keys
}

// ListedObject is an object in a listing.
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

// CopyPart is a call to make a part from a range of an object.
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

// PartPage is a page of a listing of parts.
type PartPage struct {
	Parts    []Part
	More     bool
	Modified time.Time // when the last of Parts was stored
}

// ListMultiparts is a call to list multipart uploads. AfterKey and AfterMultipart are
// NextKey and NextMultipart of the page before, or empty.
type ListMultiparts struct {
	Prefix         string
	AfterKey       string
	AfterMultipart string
}

// MultipartPage is a page of a listing of multipart uploads.
type MultipartPage struct {
	Multiparts    []PendingMultipart
	More          bool
	NextKey       string
	NextMultipart string
}

// PendingMultipart is a multipart upload in a listing.
type PendingMultipart struct {
	Key       string
	ID        string
	Initiated time.Time
}
