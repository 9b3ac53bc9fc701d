// Package limitedstore limits the bytes of a store. It wraps the composer of any store:
//
//	composer := tusd.NewStoreComposer()
//	filestore.New("uploads").UseIn(composer)
//	limited := limitedstore.New(100<<30, composer)
//	limited.UseIn(composer)
//
// # What counts
//
// The limit applies to reserved bytes. An incomplete upload whose length is declared or
// announced reserves that length. Other uploads reserve the bytes that are stored: those
// of deferred length, failed and complete ones. A final counts beside its partials. Bytes are
// reserved before the wrapped store is called, so the sum never exceeds the limit, whatever
// happens at the same time. Records, side records and what else a store needs do not count.
//
// A creation, a declared length or a final that does not fit is answered 507. So is the
// content of an upload of deferred length when nothing is left: the bytes that fit are kept.
// A length that can never fit is answered 413.
//
// # The sums
//
// A clean Close stores the sums in a side record; the next Open takes them from there. While
// the store is open, the side record has an upper bound, which is raised before the sum
// exceeds it. After a crash the uploads are counted in the background, beside requests. Until
// then, what surely fits below the bound is accepted, and the rest is answered 507 with
// Retry-After. The uploads are also counted every hour, and after 30 seconds when a request was
// refused, because another process may have removed some; less often if a count takes long.
//
// # One process
//
// One process at a time uses a limited store: Open fails in a second one, with the name of
// the first. If the locker works among processes, the store holds its lock on the id
// "limitedstore-holder" as long as it is open; requests for an upload of this name are
// answered 423. Otherwise a side record has a number that changes every 10 s; after a crash
// Open waits until it has not changed for 25 s, unless the wrapped store lets only one
// process in by itself (Exclusive). Open then always waits 2 s, for others that start at the
// same time.
package limitedstore

import (
	"log/slog"
	"sync/atomic"

	"github.com/tus/tusd"
)

// Policy says how a store makes room for an upload that does not fit.
type Policy string

// The policies. Only a policy with "complete" in its name removes complete uploads. No policy
// removes an upload that a request uses, a partial that an unfinished final needs, a final
// that is not built, or an upload whose post-finish is not sent.
const (
	PolicyRefuse     Policy = "refuse"                // nothing is removed; also the zero value
	PolicyUnfinished Policy = "unfinished"            // incomplete uploads, the one that has not changed for the longest time first
	PolicyOldest     Policy = "oldest-even-complete"  // any upload, the one that has not changed for the longest time first
	PolicyBiggest    Policy = "biggest-even-complete" // any upload, the one that reserves the most bytes first
)

// Policies returns all policies.
func Policies() []Policy {
	return []Policy{PolicyRefuse, PolicyUnfinished, PolicyOldest, PolicyBiggest}
}

// LimitedStore is a store with a limit. Make one with New, fill the fields before Open (which
// tusd.NewHandler calls) and do not change them afterwards. Safe for concurrent use.
type LimitedStore struct {
	// Policy is how room is made; "": PolicyRefuse.
	Policy Policy
	// OwnerQuota is how many bytes the uploads of one owner (FileInfo.Owner) may reserve
	// together; 0: no quota. Uploads without an owner have none. Bytes beyond it are
	// refused with tusd.ErrQuotaExceeded, whatever the policy.
	OwnerQuota int64
	// OwnerMaxUpload is the largest upload of an owner, in bytes; 0: no limit. Uploads
	// without an owner have none.
	OwnerMaxUpload int64
	// Log gets what happens in the background; nil: nothing.
	Log *slog.Logger

	inner   tusd.StoreComposer
	timing  timing
	ledger  ledger
	records records
	evictor evictor
	keeper  keeper
	holder  atomic.Pointer[holder] // nil: not open
	evict   evictFunc
	evicted atomic.Uint64
}

// New returns a store that limits the store of composer to storeSize bytes. It copies
// composer, so that UseIn may be called with the same one.
func New(storeSize int64, composer *tusd.StoreComposer) *LimitedStore {
	s := &LimitedStore{inner: *composer, timing: defaultTiming}
	s.ledger.limit, s.ledger.accounts = storeSize, make(map[string]*account)
	s.evictor.store = s
	return s
}

// UseIn makes s the store of composer, with exactly the abilities of the wrapped store, and with
// its locker, if composer has none.
func (s *LimitedStore) UseIn(composer *tusd.StoreComposer) {
	in := &s.inner
	*composer = tusd.StoreComposer{Core: s, Locker: composer.Locker}
	if composer.Locker == nil {
		composer.Locker = in.Locker
	}
	if in.Terminater != nil {
		composer.Terminater = terminater{s}
	}
	if in.Concater != nil {
		composer.Concater = concater{s}
	}
	if in.LengthDeferrer != nil {
		composer.LengthDeferrer = lengthDeferrer{s}
	}
	if in.ContentServer != nil {
		composer.ContentServer = contentServer{s}
	}
	if in.AtomicWriter != nil {
		composer.AtomicWriter = atomicWriter{s}
	}
	if in.Rewinder != nil {
		composer.Rewinder = rewinder{s}
	}
	// The other abilities get no Upload and change none.
	composer.Lister = in.Lister
	composer.SideRecords = in.SideRecords
	composer.Tidier = in.Tidier
	composer.Verifier = in.Verifier
}

// Usage returns the sums at this moment.
func (s *LimitedStore) Usage() tusd.SpaceUsage {
	u := s.ledger.usage()
	u.Evicted = s.evicted.Load()
	return u
}

// OwnerUsage returns how many bytes the uploads of an owner reserve. It is 0 without
// OwnerQuota, and until the sums are exact.
func (s *LimitedStore) OwnerUsage(owner string) int64 { return s.ledger.ownerUsage(ownerOf(owner)) }

func (s *LimitedStore) log() *slog.Logger {
	if s.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return s.Log
}
