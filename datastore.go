package tusd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Env is what a store learns about its surroundings when it is opened.
type Env struct {
	// Locker is the locker that every Lease given to the store comes from.
	// Never nil.
	Locker Locker
	// LimitSize, if not nil, is for a store that cannot keep uploads of more
	// than so many bytes. Open may call it; clients are told, unless the
	// configuration allows less.
	LimitSize func(bytes int64)
}

// DataStore keeps uploads: a record (FileInfo) and bytes each.
//
// All methods may be called concurrently. A store may rely on this: no two
// leases on one id are held at the same time within the Scope of the composed
// Locker, and everything that changes an upload is called by the holder of
// its lease. Only GetUpload without a lease, and what may be called on its
// result, run beside a change.
//
// Ids own their bytes: a store may keep them without keeping the request alive.
//
// Errors: ErrNotFound, ErrUploadExists, ErrNoSpace, ErrNoLease have meaning.
// A store translates what it understands at its border, keeping the cause
// (ErrNotFound.With(err)). Every other error is taken for trouble that
// passes: the client is told to come back, never to throw its upload away.
type DataStore interface {
	// Open creates what is missing and probes what is there, so that the
	// first upload does not have to find out. NewHandler calls it once,
	// before any other method, and returns its error. ctx bounds the probing.
	Open(ctx context.Context, env Env) error

	// NewUpload stores the record of a new, empty upload.
	//
	// The caller has checked info.ID (ValidateID) and the length, holds lease
	// on the id, and has left Offset at 0. After success the upload is found
	// by GetUpload, also after a crash, as durably as the store's level says,
	// and info.Storage of the result tells where it is. An id that exists
	// gives ErrUploadExists and changes nothing: an upload is never emptied.
	// After any error, a cancelled ctx included, nothing of the new upload is
	// left that anybody would take for one. A length that the store cannot
	// take for lack of room gives ErrNoSpace at once, and one that it could never
	// take ErrMaxSizeExceeded. A place, chosen by a hook or made of what the client
	// says, where the store cannot keep the upload gives ErrInvalidName.
	NewUpload(ctx context.Context, lease Lease, info FileInfo) (Upload, error)

	// GetUpload loads an upload.
	//
	// With a lease on id the result may be used for everything until the
	// lease ends. With a nil lease it is for reading: GetInfo, GetReader,
	// ServeContent; the rest answers ErrNoLease.
	//
	// ErrNotFound means that the record or its absence was read without
	// error. A record that is there but cannot be one (cut, of another id,
	// contradicted by the data) gives an ErrNotFound that also matches
	// ErrBroken; Terminate removes it.
	GetUpload(ctx context.Context, lease Lease, id string) (Upload, error)
}

// Upload is one upload as loaded by NewUpload or GetUpload, bound to the
// lease that was given there. It is not safe for concurrent use, but for
// GetInfo. It needs no closing: what it opened it closes in each call.
type Upload interface {
	// GetInfo returns the record as of the last load or change through this
	// value. Offset may be shown to a client: whatever the store's level
	// promises to hold for an offset that was shown holds when GetInfo
	// returns, so this may have to wait for a disk.
	GetInfo(ctx context.Context) (FileInfo, error)

	// UpdateInfo changes the record. change gets a copy of the current one
	// and may be called more than once; if it returns an error, that error
	// is returned and nothing changes. Atomic: after a crash the record is
	// the old or the new one; as durable as the store's level says for
	// records. ID, Offset, Size, SizeIsDeferred and Storage are the store's:
	// changes to them are ignored.
	UpdateInfo(ctx context.Context, change func(*FileInfo) error) error

	// WriteChunk stores src at offset, which the caller has compared with
	// the stored offset, and which it has bounded: src never yields more
	// than the upload may still take. Writing to a complete upload is the
	// caller's fault and not asked for; an empty src is a valid chunk.
	//
	// n counts the bytes stored for good, also when err is not nil: a client
	// that goes on at offset+n loses nothing and repeats nothing. What
	// "for good" means is the store's durability level. If src fails, the
	// store keeps what came before and returns an error that matches src's.
	// A full store keeps what fits and returns ErrNoSpace. When ctx ends, or
	// the lease is lost, nothing more is sent, and n may be less than what
	// a later GetInfo finds.
	//
	// src is read from this call only, and not after it returned.
	WriteChunk(ctx context.Context, offset int64, src io.Reader) (n int64, err error)

	// GetReader opens the stored bytes from the start up to the offset at
	// the time of the call. The caller closes it. A store that can read only
	// what has all its bytes gives ErrIncompleteUpload for the rest.
	GetReader(ctx context.Context) (io.ReadCloser, error)

	// FinishUpload makes a full upload complete in the store. Idempotent,
	// also after a crash or an error half-way. Afterwards the bytes can be
	// read and the record is as durable as the level says for completion.
	FinishUpload(ctx context.Context) error
}

// ClaimedOffset tells which offset the request behind ctx, a call of
// GetUpload with a lease, goes on at. A store that keeps what it knows of an
// upload, and cannot be sure that nobody else has changed it, may use what it
// keeps without asking if the offset is this one: it was told to the client.
// ok is false if the request does not say.
func ClaimedOffset(ctx context.Context) (offset int64, ok bool) {
	c, ok := ctx.Value(claimedOffsetKey{}).(*claimedOffset)
	if !ok {
		return 0, false
	}
	return c.offset, true
}

type claimedOffsetKey struct{}

// claimedOffset is the context of a request that goes on at offset. It is
// its own value, which spares an allocation.
type claimedOffset struct {
	context.Context
	offset int64
}

// Value implements context.Context.
func (c *claimedOffset) Value(key any) any {
	if key == (claimedOffsetKey{}) {
		return c
	}
	return c.Context.Value(key)
}

// Terminater removes uploads (tus 1.0, Termination).
type Terminater interface {
	// Terminate removes the upload id and everything that belongs to it,
	// whatever its state, broken records included. The caller holds lease.
	// After success nothing of it comes back, not even after a power cut if
	// the store's level promises that. ErrNotFound: there was nothing at
	// all. After another error it can be called again.
	Terminate(ctx context.Context, lease Lease, id string) error
}

// Concater joins uploads (tus 1.0, Concatenation).
type Concater interface {
	// Concat makes final's bytes those of partials in order; one may appear
	// more than once. All were returned by this store under leases that the
	// caller holds, the partials are full, and final's Size is the sum.
	// Repeatable: what an earlier call that was cut short left in final is
	// replaced. After success final is full and durable as after WriteChunk.
	// If there is no room for all of final: ErrNoSpace, before a byte is
	// copied. Blocks that the store might share are not counted on.
	Concat(ctx context.Context, final Upload, partials []Upload) error
}

// LengthDeferrer keeps uploads whose length is not known at creation
// (tus 1.0, creation-defer-length).
type LengthDeferrer interface {
	// DeclareLength fixes the length (bytes) of an upload with
	// SizeIsDeferred. The caller has checked that it is neither below the
	// offset nor above a limit. As atomic and durable as UpdateInfo. If there
	// is no room for the bytes that are missing: ErrNoSpace, or ErrMaxSizeExceeded
	// if there never is; nothing changes.
	//
	// A length of -1 takes the length back, before FinishUpload: the request that
	// brought it is refused.
	DeclareLength(ctx context.Context, upload Upload, length int64) error
}

// ContentServer serves downloads with ranges and conditional requests.
type ContentServer interface {
	// ServeContent answers a GET or HEAD for the bytes of a complete upload
	// (RFC 9110, sections 13 and 14), with an ETag, or redirects a GET to
	// where the bytes are. The caller has set Content-Type,
	// Content-Disposition and what else it wants in w's header, which is as
	// binding for whoever answers in the end. If an error is returned,
	// nothing has been written to w; one that occurs later ends the response
	// short.
	ServeContent(ctx context.Context, upload Upload, w http.ResponseWriter, r *http.Request) error
}

// Lister enumerates uploads, for clean-up and administration.
type Lister interface {
	// List returns up to limit ids of uploads, complete or not, in an order
	// of the store's own in which an upload keeps its place, beginning
	// behind cursor ("" is the start). Uploads whose record or data changed
	// after before are left out; the zero time leaves out none. next is the
	// cursor of the following page, "" after the last. An upload that
	// exists during a whole listing appears exactly once; ids are only
	// candidates: they are to be locked and loaded before they are believed.
	List(ctx context.Context, cursor string, before time.Time, limit int) (ids []string, next string, err error)
}

// MaxSideRecord is the longest value of a side record, in bytes.
const MaxSideRecord = 64 << 10

// ValidateSideRecord returns an error if key cannot name a side record or value
// is too long for one. Stores call it in every method of SideRecords.
func ValidateSideRecord(key SideKey, value []byte) error {
	if !validSideName(key.Kind) || !validSideName(key.Name) {
		return fmt.Errorf("%q/%q cannot name a side record", key.Kind, key.Name)
	}
	if len(value) > MaxSideRecord {
		return fmt.Errorf("a side record of %d bytes is too long: at most %d are allowed", len(value), MaxSideRecord)
	}
	return nil
}

func validSideName(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return false
		}
	}
	return s != "" && len(s) <= 100
}

// AtomicWriter stores chunks that count as a whole or not at all, which is
// what a chunk with a checksum needs (tus 1.0, Checksum).
type AtomicWriter interface {
	// WriteAtomic is WriteChunk with one difference: if src ends with an
	// error other than io.EOF, nothing of the chunk is ever part of the
	// upload and the offset stays; n is then 0. If the process or machine
	// dies before the call has returned, all of the chunk is part of the
	// upload or nothing, and all of it only if src had answered io.EOF.
	// src answers that only after it has verified what it delivered.
	WriteAtomic(ctx context.Context, upload Upload, offset int64, src io.Reader) (n int64, err error)
}

// Rewinder takes back a chunk whose checksum came last, was not announced, and is
// wrong (tus 1.0, Checksum).
type Rewinder interface {
	// ReadsIncomplete reports whether GetReader reads an upload that lacks bytes.
	// If so, a chunk is read again when its checksum has come. If not, all hashes
	// that there are run along with each chunk that may end with a checksum.
	ReadsIncomplete() bool
	// Rewind cuts the upload back to offset, where the last WriteChunk with this
	// value began: its src has ended with an error that matches ErrUnverified. As
	// durable as WriteChunk. After success the bytes behind offset never come back.
	// If the process dies before that, they may stay: their client has no answer.
	// After an error it can be called again.
	Rewind(ctx context.Context, upload Upload, offset int64) error
}
