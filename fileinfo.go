package tusd

import (
	"encoding/base64"
	"maps"
	"slices"
	"time"
	"unsafe"
)

// RecordVersion is the value of FileInfo.Version in records written by this
// package. Records of tusd v2 carry none.
const RecordVersion = 1

// FileInfo is the record of one upload. Its JSON form is that of tusd v2 with
// further fields that tusd v2 ignores, so that either program can take over
// the other's unfinished uploads.
//
// A FileInfo is a value: nobody changes what its maps, slices and pointers lead
// to once a store has been given it or has returned it, since others may have
// the same ones. Who wants another one makes a Clone, or puts something new in
// place. What callbacks and subscriptions get is a Clone.
type FileInfo struct {
	ID             string
	Size           int64 // bytes; 0 while SizeIsDeferred
	SizeIsDeferred bool
	// Offset counts the bytes, from the start and without a gap, that are
	// stored as durably as the store's level promises to show. It comes from
	// the data; the number in a stored record is never read.
	Offset         int64
	MetaData       MetaData // what is not UTF-8 in it does not survive being stored; RawMetaData does
	IsPartial      bool
	IsFinal        bool
	PartialUploads []string          // ids, in the order of the final's bytes; only if IsFinal
	Storage        map[string]string // where the store keeps it; only the store interprets it

	Version     int       `json:",omitempty"` // RecordVersion; 0 in records of tusd v2
	Created     time.Time `json:",omitzero"`
	Dialect     Dialect   `json:",omitempty"` // of the creation
	State       State     `json:",omitempty"`
	RawMetaData string    `json:",omitempty"` // Upload-Metadata byte for byte; empty after a hook changed MetaData
	RawConcat   string    `json:",omitempty"` // Upload-Concat of a final, byte for byte
	Finals      []string  `json:",omitempty"` // unfinished finals that wait for this partial
	Failure     *Failure  `json:",omitempty"` // only if State is StateFailed
	Digests     []Digest  `json:",omitempty"`
	// KnownLength is what an upload of deferred length is going to have, if
	// its client has said so in the IETF draft's way. There, only a request
	// that says so completes an upload; until then the length counts as
	// deferred, which is how tus clients and tusd v2 understand that.
	KnownLength *int64 `json:",omitempty"`
}

// State is where an upload stands in its life. It is written only where the
// data cannot tell: a record without a state means that an upload whose offset
// equals its length is complete.
type State string

// The states that a record can carry.
const (
	StateUploading State = "uploading" // offset = length is not completion: something must confirm it
	StateFinishing State = "finishing" // all bytes are there, the server is finishing
	StateComplete  State = "complete"
	StateFailed    State = "failed" // refused or impossible; Failure has the answer
)

// Dialect names the protocol that a request or an upload's creator speaks.
type Dialect string

// The dialects. Records of tusd v2 carry none, which means DialectTus.
const (
	DialectTus  Dialect = "tus"
	DialectIETF Dialect = "ietf"
)

// Failure is the answer that every request on a failed upload gets.
type Failure struct {
	Code       string
	StatusCode int
	Body       string            `json:",omitempty"`
	Header     map[string]string `json:",omitempty"`
}

// Digest is the state of one digest of an upload, as it is in its record.
type Digest struct {
	Algorithm string // by its name in RFC 9530, as "sha-256"
	Offset    int64  // how many bytes State covers
	State     []byte `json:",omitempty"` // of the hash function
	Sum       []byte `json:",omitempty"` // of the complete upload
	Want      []byte `json:",omitempty"` // what the client says it must be
}

// Value is the digest as a member of Repr-Digest, "" if it is not known.
func (d Digest) Value() string {
	if d.Sum == nil {
		return ""
	}
	return d.Algorithm + "=:" + base64.StdEncoding.EncodeToString(d.Sum) + ":"
}

// Complete tells whether the upload is finished: its bytes are all there and
// whatever had to confirm them has.
func (i FileInfo) Complete() bool {
	if i.State != "" {
		return i.State == StateComplete
	}
	return i.Full()
}

// Full tells whether all bytes of a known length are stored.
func (i FileInfo) Full() bool {
	return !i.SizeIsDeferred && i.Offset == i.Size
}

// length is the length as far as it is known, deferred or not; -1 if not.
func (i FileInfo) length() int64 {
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

// MemorySize estimates how many bytes of memory i leads to, beside the struct
// itself: what a cache of records counts. Clients choose most of it: metadata and
// a list of partial uploads may have many times the size of a usual record.
func (i FileInfo) MemorySize() int {
	n := len(i.ID) + len(i.Dialect) + len(i.State) + len(i.RawMetaData) + len(i.RawConcat)
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

// A map has room for so many entries, which it begins with and then doubles, and
// so many bytes for itself. An allocation has some bytes more than was asked for.
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
