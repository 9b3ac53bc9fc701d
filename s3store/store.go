// Package s3store keeps uploads as objects of an S3 bucket.
//
// # Layout
//
// The record of an upload is the object <prefix><id>.info, JSON as in tusd v2.
// The bytes become the object <prefix><id>, or the one that Key names: in one
// call if they come in one request and are few, else as a multipart upload.
// What is too small for a part waits in pieces <prefix><id>.<start>.part and
// is joined to the next part. What else the store needs lies below
// <prefix>.tusd.d/.
//
// # Offset and durability
//
// The record lists the parts, and only what it lists counts; it is stored
// before an offset is shown. The offset is the sum of the listed parts and of
// the pieces that follow without a gap. An upload without parts and pieces
// has all its bytes if its object is there and carries the record's proof.
// Object stores are durable by themselves.
package s3store

import (
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/tus/tusd"
)

// Store keeps uploads in a bucket. Fill the fields before Open (by way of
// tusd.NewHandler) and leave them alone afterwards. Its methods may be called
// concurrently.
type Store struct {
	// Bucket is the bucket's name, as records tell it.
	Bucket string
	// Client makes the calls.
	Client Client
	// ObjectPrefix begins all keys.
	ObjectPrefix string
	// Profile says what the service can take; the zero value is that of AWS.
	Profile Profile

	// PreferredPartSize is the size of parts, in bytes, where nothing demands
	// another; 0: 50 MiB.
	PreferredPartSize int64
	// MinPartSize is the least size of a part that is not the last, if that
	// is more than the profile says.
	MinPartSize int64
	// BufferMemory bounds the bytes that are held on their way to the
	// service, for all requests together; 0: 256 MiB. A part has at most a
	// quarter of it, which limits the length of uploads.
	BufferMemory int64
	// ConcurrentParts is how many parts are uploaded at the same time; 0: 10.
	ConcurrentParts int

	// Key places the data of new uploads: a key behind ObjectPrefix in which
	// {id} must stand, and {date} (of the creation, UTC) and {filename} (of
	// the metadata, made harmless) may; "": {id}. Records follow the id. A
	// hook's Storage["Key"] comes before it.
	Key string
	// Object says what the data objects carry beside their bytes.
	Object ObjectRules
	// RedirectDownloads answers a GET of a complete upload with a presigned
	// URL of its object, which anybody can use for so long, at most 7 days,
	// and no longer than the client's credentials hold; 0: the bytes go
	// through the server. A browser saves such content and never shows it.
	RedirectDownloads time.Duration

	// CallTimeout bounds a call, beside a second for each MiB that it sends;
	// 0: 30 s. A completion may take ten times as long, and 50 ms for each part.
	CallTimeout time.Duration
	// Log is told about what goes wrong without being an error of a request;
	// nil: nobody is.
	Log *slog.Logger
	// Retried, if it is set, is told of each call that is made once more.
	// It is called concurrently.
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
	_ tusd.SideRecords    = (*Store)(nil)
	_ tusd.AtomicWriter   = (*Store)(nil)
	_ tusd.Rewinder       = (*Store)(nil)
)

// New returns a store for the bucket that client makes its calls on, with the
// defaults of every field.
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
