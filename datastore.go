package tusd

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Env is the environment of a store, as Open gets it.
type Env struct {
	// Locker has granted every Lease that the store gets. Never nil.
	Locker Locker
	// LimitSize, if not nil, sets the largest upload that the store can keep.
	// Open may call it. Clients see the limit in Tus-Max-Size and Upload-Limit,
	// unless Config.MaxSize is lower.
	LimitSize func(bytes int64)
	// Evict removes an upload, to make room, like Handler.TryTerminate: it never
	// waits for a lock. allow is called under the lock with the record, which it must not
	// modify; if it returns false, nothing is removed and the error is ErrUploadLocked. A broken
	// upload is not removed, either. Other errors are those of TryTerminate. The removal is
	// published with RemovedForSpace. A store calls Evict only after Open has returned, and
	// without a lock on that upload.
	Evict func(ctx context.Context, id string, allow func(FileInfo) bool) error
	// ReadOnly promises that only methods are called that change nothing, for a tool
	// beside the process that serves the store. Open then locks, creates and removes
	// nothing, and what is missing is an error.
	ReadOnly bool
}

// DataStore keeps uploads, each with a record (FileInfo) and its bytes.
//
// All methods may be called concurrently. A store may rely on this: within the
// Scope of the composed Locker an id has at most one lease at a time, and only
// the holder of the lease changes the upload. GetUpload without a lease, and
// the reading methods of its result, may run during a change.
//
// An id is a string of its own, never a slice of a request: a store may keep it.
//
// Errors: ErrNotFound, ErrUploadExists, ErrNoSpace and ErrNoLease have meaning.
// A store returns them for the errors of its disk or service that mean the
// same, keeping the cause (ErrNotFound.With(err)). Every other error counts as
// transient: the client is asked to retry, never to abandon its upload.
type DataStore interface {
	// Open creates what is missing and probes the disk or service, so that a
	// fault is found at the start and not by the first upload. NewHandler
	// calls it once, before any other method, and returns its error. ctx
	// bounds the probes.
	Open(ctx context.Context, env Env) error

	// NewUpload stores the record of a new, empty upload.
	//
	// The caller has checked info.ID (ValidateID) and the length, holds lease
	// on the id, and has left Offset at 0. After success the upload is found
	// by GetUpload, also after a crash, as durably as the store's level says,
	// and Storage in the record of the result names its place. An id that exists gives
	// ErrUploadExists and changes nothing: an upload is never emptied. After
	// any error, a cancelled ctx included, nothing is left that a later call
	// takes for an upload. If there is no space for the length, NewUpload
	// returns ErrNoSpace at once; if there can never be, ErrMaxSizeExceeded.
	// It returns ErrInvalidName if the store cannot keep an upload at the
	// place that a callback chose or that is made from the client's metadata:
	// the place is impossible, or taken.
	NewUpload(ctx context.Context, lease Lease, info FileInfo) (Upload, error)

	// GetUpload loads an upload.
	//
	// With a lease on id all methods of the result may be used until the
	// lease ends. With a nil lease only GetInfo, MakeDurable, GetReader and
	// ServeContent work: the others return ErrNoLease.
	//
	// ErrNotFound is returned only if the record or its absence was read
	// without error. A record that exists but is not valid (cut short, of
	// another id, contradicted by the data) gives an ErrNotFound that also
	// matches ErrBroken; Terminate removes it.
	GetUpload(ctx context.Context, lease Lease, id string) (Upload, error)
}

// Upload is an upload as returned by NewUpload or GetUpload, bound to the
// lease that was given there. It is not safe for concurrent use, except
// GetInfo. It needs no closing: each call closes what it opens.
type Upload interface {
	// GetInfo returns the record as of the last load or change through this
	// value, with the offset as it is stored, and the time of the last change. It promises nothing about the
	// offset and never waits for a sync: before a client sees the offset, the
	// caller calls MakeDurable.
	GetInfo(ctx context.Context) (FileInfo, error)

	// MakeDurable makes the bytes before the offset that GetInfo returns as
	// durable as the store's level promises for an offset that a client knows.
	// It changes neither record nor bytes. After an error the offset must not be
	// shown; MakeDurable can be called again.
	MakeDurable(ctx context.Context) error

	// UpdateInfo changes the record. change gets a copy of the current one
	// and may be called more than once; if it returns an error, that error
	// is returned and nothing changes. Atomic, and as durable as the store's
	// level says for records: after a crash the record is the old or the new
	// one. ID, Offset, Size, SizeIsDeferred, Storage and Changed belong to the store:
	// changes to them are ignored. A call counts as a change even if the record stays
	// the same.
	UpdateInfo(ctx context.Context, change func(*FileInfo) error) error

	// WriteChunk stores src at offset. The caller has compared offset with the
	// stored offset, limits src to the bytes that the upload may still take,
	// and never writes to a complete upload; an empty src is a valid chunk.
	//
	// n counts the bytes that are stored, also when err is not nil: a client
	// that continues at offset+n loses nothing and repeats nothing. They are
	// as durable as the store's durability level says. If src fails, the
	// store keeps the bytes that it has read and returns an error that
	// matches the error of src. A full store keeps the bytes that fit and
	// returns ErrNoSpace. When ctx ends, or the lease is lost, the store
	// writes nothing more, and n may be less than the offset that a later
	// GetInfo returns.
	//
	// A chunk that arrives slowly keeps its upload young: at least every hour in which
	// src returns bytes, something changes in the store, so that Changed tells of it.
	//
	// src is read during this call only, and not after it returned.
	WriteChunk(ctx context.Context, offset int64, src io.Reader) (n int64, err error)

	// GetReader opens the stored bytes from the start up to the offset at
	// the time of the call. The caller closes it. A store that can read only
	// full uploads returns ErrIncompleteUpload for the others. If the result
	// is an io.Seeker, too, bytes that are not needed are not read.
	GetReader(ctx context.Context) (io.ReadCloser, error)

	// FinishUpload makes a full upload complete in the store. Idempotent,
	// also after a crash or an error half-way. Afterwards the bytes can be
	// read and the record is as durable as the level says for completion. If the
	// server dies before this call, the handler may never repeat it: GetUpload
	// with a lease then finishes a full upload itself, or GetInfo returns
	// StateFinishing until FinishUpload has succeeded.
	FinishUpload(ctx context.Context) error
}

// ClaimedOffset returns the offset that the client claimed, from the ctx of
// GetUpload with a lease. A store may cache the state of an upload that other
// processes can change, too. If the cached offset is the claimed one, the store
// may use the cached state without reading it again, since a server has sent
// this offset to the client. ok is false if the request claims no offset.
func ClaimedOffset(ctx context.Context) (offset int64, ok bool) {
	c, ok := ctx.Value(claimedOffsetKey{}).(*claimedOffset)
	if !ok {
		return 0, false
	}
	return c.offset, true
}

type claimedOffsetKey struct{}

// claimedOffset is the context of a request that claims an offset. It is its own
// value, which saves an allocation.
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
	// the store's level promises that. ErrNotFound: nothing of it existed.
	// After another error it can be called again.
	Terminate(ctx context.Context, lease Lease, id string) error
}

// Concater builds a final upload from partial ones (tus 1.0, Concatenation).
type Concater interface {
	// Concat gives final the bytes of partials in order; one may appear more
	// than once. All were returned by this store under leases that the caller
	// holds, the partials are full, and final's Size is the sum. Repeatable:
	// bytes that an interrupted call left in final are replaced. After success
	// final is full and durable as after WriteChunk. If there is no space for
	// all of final, Concat returns ErrNoSpace before it copies a byte. Blocks
	// that the store could share count as needed space, too.
	Concat(ctx context.Context, final Upload, partials []Upload) error
}

// LengthDeferrer keeps uploads whose length is not known at creation
// (tus 1.0, creation-defer-length).
type LengthDeferrer interface {
	// DeclareLength fixes the length (bytes) of an upload with
	// SizeIsDeferred. The caller has checked that it is neither below the
	// offset nor above a limit. As atomic and durable as UpdateInfo. If there
	// is no space for the missing bytes, DeclareLength returns ErrNoSpace, or
	// ErrMaxSizeExceeded if there never can be, and changes nothing.
	//
	// A length of -1 makes the length deferred again, before FinishUpload: the
	// request that declared it is refused.
	DeclareLength(ctx context.Context, upload Upload, length int64) error
}

// ContentServer serves downloads with ranges and conditional requests.
type ContentServer interface {
	// ServeContent answers a GET or HEAD for the bytes of a complete upload
	// (RFC 9110, sections 13 and 14), with an ETag, or redirects a GET to
	// where the bytes are. The caller has set Content-Type,
	// Content-Disposition and other fields in w's header; a server to which
	// the GET is redirected has to send them, too. If an error is returned,
	// nothing has been written to w; an error that occurs later cuts the
	// response short.
	ServeContent(ctx context.Context, upload Upload, w http.ResponseWriter, r *http.Request) error
}

// Lister enumerates uploads, for sweeping and administration.
type Lister interface {
	// List returns up to limit uploads after cursor ("" is the start), in an order of
	// the store in which an upload keeps its place, without those that filter leaves
	// out. next is the cursor of the following page, "" after the last. Several
	// listings may be under way. An upload that exists during a whole listing, and that
	// filter never leaves out, appears exactly once. GetUpload finds it under its ID,
	// unless it cannot be read: such an upload is listed without Record.
	//
	// The result is as of the listing: the caller locks and loads an upload before it
	// relies on it. List reads no record of an upload that it leaves out, unless its disk
	// or service cannot tell without. Its memory is bounded by a page, however many
	// uploads there are. Records that it reads do not replace others in a cache.
	List(ctx context.Context, cursor string, filter ListFilter, limit int) (uploads []Listed, next string, err error)
}

// ListFilter leaves uploads out of a listing. The zero value leaves out none.
type ListFilter struct {
	// Before leaves out the uploads of a class that have changed at this time or later; nil:
	// none. A class without a time is left out. If the listing does not tell the class of an
	// upload, any class that it may have lets it in.
	Before map[UploadClass]time.Time
	// Pace, if not nil, is called before each record is read. It may wait; an error ends the
	// listing. Safe for concurrent use.
	Pace func(ctx context.Context) error
}

// Listed is what a listing tells of an upload.
type Listed struct {
	ID      string
	Changed time.Time // as FileInfo.Changed
	Bytes   int64     // that are stored for it, without its record; -1: not known
	// Record is the record, if the listing has read it, else nil. It is also nil if GetUpload
	// fails: the record is broken or of a newer version, or the data is missing. If the listing does
	// not know the offset, Offset is -1, and the record does not tell whether it is complete.
	Record *FileInfo
	// Complete tells whether the upload is complete.
	Complete Completeness
}

// Completeness is what is known about the completeness of an upload.
type Completeness int8

// The values.
const (
	CompletenessUnknown Completeness = iota
	Incomplete
	Complete
)

// MaxSideRecord is the longest value of a side record, in bytes.
const MaxSideRecord = 64 << 10

// ValidateSideRecord returns an error if key cannot name a side record or value
// is too long for one. Stores call it in every method of SideRecords that
// has a key.
func ValidateSideRecord(key SideRecordKey, value []byte) error {
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

// AtomicWriter stores chunks as a whole or not at all, as chunks with a checksum
// need it (tus 1.0, Checksum).
type AtomicWriter interface {
	// WriteAtomic is WriteChunk with one difference: if src ends with an
	// error other than io.EOF, nothing of the chunk is ever part of the
	// upload and the offset stays; n is then 0. If the process or machine
	// dies before the call has returned, all of the chunk is part of the
	// upload or nothing, and all of it only if src had returned io.EOF.
	// src returns io.EOF only after it has verified its bytes.
	WriteAtomic(ctx context.Context, upload Upload, offset int64, src io.Reader) (n int64, err error)
}

// Rewinder cuts off a chunk whose unannounced trailing checksum does not match
// (tus 1.0, Checksum).
type Rewinder interface {
	// ReadsIncomplete reports whether GetReader reads an incomplete upload. If so,
	// the handler reads a chunk again when its trailing checksum has arrived. If
	// not, the handler runs all hashes on each chunk that may have one.
	ReadsIncomplete() bool
	// Rewind cuts the upload back to offset, where the last WriteChunk with this
	// value began: its src has ended with an error that matches ErrUnverified. As
	// durable as WriteChunk. After success the bytes after offset never come back.
	// If the process dies before that, they may stay: no client has an answer for
	// them. After an error it can be called again.
	Rewind(ctx context.Context, upload Upload, offset int64) error
}

// Tidier removes what belongs to no upload any more: temporary files, pieces of removed
// uploads and the like.
type Tidier interface {
	// Tidy looks at everything in the store that is no upload, and calls t.Report for
	// each leftover. It removes a leftover if it is certain that no upload needs it, not even
	// one that is paused or being received by another process: it has not changed since
	// t.Before, and t.Lock is held where an upload of that id could exist. Everything else is only reported. Several calls at the same time, in several
	// processes, do no harm.
	Tidy(ctx context.Context, t Tidying) error
}

// Tidying is how Tidy works.
type Tidying struct {
	Before time.Time // only what has not changed since then is removed
	DryRun bool      // nothing is removed
	// Lock locks the id of an upload, or returns ErrUploadLocked at once.
	Lock func(ctx context.Context, id string) (Lease, error)
	// Pace is called before each thing that Tidy looks at. It waits, or returns the cause
	// of ctx.
	Pace func(ctx context.Context) error
	// Report is called for each leftover, one at a time.
	Report func(Leftover)
}

// Leftover is something in a store that belongs to no upload.
type Leftover struct {
	Kind    LeftoverKind
	Name    string // a path or a key, as the operator sees it
	Upload  string // the id of the upload that it was of, if that is known
	Bytes   int64
	Changed time.Time
	Removed bool  // in a dry run: it would be removed
	Err     error // why it could not be removed, or what is wrong with it
}

// LeftoverKind is the kind of a leftover.
type LeftoverKind string

// The kinds.
const (
	LeftoverTemporary LeftoverKind = "temporary" // a file that was to replace another one
	LeftoverUndo      LeftoverKind = "undo"      // an undo record without an upload
	LeftoverLock      LeftoverKind = "lock"      // a lock file that no process holds
	LeftoverTail      LeftoverKind = "tail"      // a piece of an upload that is in a part, or is gone
	LeftoverMultipart LeftoverKind = "multipart" // a multipart upload that no record names
	LeftoverData      LeftoverKind = "data"      // data without a record
	LeftoverBroken    LeftoverKind = "broken"    // a record that cannot be read
	LeftoverForeign   LeftoverKind = "foreign"   // a record of another program
)

// Verifier checks uploads.
type Verifier interface {
	// Verify compares the record of the upload id with what is stored, and returns what
	// does not agree, a sentence each, or nothing. It changes nothing and takes no lock: if a request
	// changes the upload meanwhile, it looks again. ErrNotFound: there is no such upload.
	Verify(ctx context.Context, id string) (faults []string, err error)
}

// LoadedOnce reports whether the upload that is loaded with ctx will probably not be
// loaded again soon: a store does not keep it in a cache in place of others.
func LoadedOnce(ctx context.Context) bool { return ctx.Value(loadedOnceKey{}) != nil }

type loadedOnceKey struct{}

func withLoadedOnce(ctx context.Context) context.Context {
	return context.WithValue(ctx, loadedOnceKey{}, true)
}
