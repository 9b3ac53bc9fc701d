// Package s3store keeps uploads as objects of an S3 bucket.
//
// # Layout
//
// The record of an upload is the object <prefix><id>.info, JSON as in tusd v2.
// The bytes become the data object <prefix><id>, or the one that Key names: in
// one call if they are few and come in one request, else as a multipart upload.
// Bytes that are too few for a part are kept as the tail, in one or more tail
// objects <prefix><id>.<start>.part, until the next part includes them. Side
// records are stored below <prefix>.tusd.d/.
//
// # Offset and durability
//
// The record contains the part list, and only parts in it count; it is stored
// before an offset is acknowledged. The offset is the size of the recorded parts
// and of the tail objects that follow without a gap. An upload without parts and
// tail has all its bytes if its data object exists and has the record's proof.
// Object stores are durable without further action.
package s3store

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tus/tusd"
)

// Store keeps uploads in a bucket. Set the fields before Open, which
// tusd.NewHandler calls, and do not change them afterwards. Its methods may be
// called concurrently.
type Store struct {
	// Bucket is the bucket's name. Records contain it.
	Bucket string
	// Client makes the calls.
	Client Client
	// ObjectPrefix begins all keys. Open adds a slash at its end if it lacks one.
	ObjectPrefix string
	// Profile describes the service; the zero value describes AWS.
	Profile Profile

	// PreferredPartSize is the size of parts, in bytes, unless the service or the
	// length of an upload requires another; 0: 50 MiB.
	PreferredPartSize int64
	// MinPartSize is the least size of a part that is not the last, in bytes, if
	// it is larger than the profile's.
	MinPartSize int64
	// BufferMemory bounds the bytes that are buffered on their way to the
	// service, for all requests together; 0: 256 MiB. A part has at most a
	// quarter of it, which limits the length of uploads.
	BufferMemory int64
	// ConcurrentParts is how many parts are uploaded at the same time; 0: 10.
	ConcurrentParts int

	// Key is the template for the data keys of new uploads, behind ObjectPrefix:
	// it must contain {id}, and may contain {date} (of the creation, UTC) and
	// {filename} (of the metadata, sanitized); "": {id}. Records are stored under
	// the id. Storage["Key"] of a callback takes precedence.
	Key string
	// Object says which attributes the data objects get.
	Object ObjectRules
	// RedirectDownloads answers a GET of a complete upload with a presigned URL
	// of its object. The URL is valid for this time, at most 7 days, and not
	// longer than the client's credentials. Everyone who has it can use it. 0:
	// the server sends the bytes. Browsers save such content and never display
	// it.
	RedirectDownloads time.Duration

	// SweepMultipart makes Tidy abort multipart uploads that no record names. It declares
	// that ObjectPrefix is used by nothing but uploads of this program, and that callbacks
	// choose no data keys that look like those of other ids. Without it their
	// number is reported.
	SweepMultipart bool

	// CallTimeout bounds a call, in addition to one second for each MiB that it
	// sends; 0: 30 s. A completion may take ten times as long, and 50 ms more for
	// each part.
	CallTimeout time.Duration
	// Log gets problems that are not errors of a request; nil: none.
	Log *slog.Logger
	// Retried, if set, is called for each call that is repeated. It is called
	// concurrently.
	Retried func(operation string)

	opened atomic.Pointer[bucket]
}

var (
	_ tusd.DataStore      = (*Store)(nil)
	_ tusd.Terminater     = (*Store)(nil)
	_ tusd.Concater       = (*Store)(nil)
	_ tusd.LengthDeferrer = (*Store)(nil)
	_ tusd.ContentServer  = (*Store)(nil)
	_ tusd.Lister         = (*Store)(nil)
	_ tusd.Tidier         = (*Store)(nil)
	_ tusd.Verifier       = (*Store)(nil)
	_ tusd.SideRecords    = (*Store)(nil)
	_ tusd.AtomicWriter   = (*Store)(nil)
	_ tusd.Rewinder       = (*Store)(nil)
)

// New returns a store for the bucket of client, with the defaults of all
// fields.
func New(bucket string, client Client) *Store {
	return &Store{Bucket: bucket, Client: client}
}

// UseIn makes s the store of c, with all its abilities.
func (s *Store) UseIn(c *tusd.StoreComposer) { c.UseCore(s) }

// bucket returns the opened store.
func (s *Store) bucket() (*bucket, error) {
	b := s.opened.Load()
	if b == nil {
		return nil, errNotOpen
	}
	return b, nil
}
