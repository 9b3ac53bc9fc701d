package limitedstore

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tus/tusd"
)

// The side records.
const (
	kindSpace   = "space"
	nameSums    = "sums"
	nameHolder  = "holder"
	ownerPrefix = "owners-"
	// ownersPerRecord keeps a side record with the sums of owners below its limit.
	ownersPerRecord = 900
	// minStep is the smallest step by which the upper bound in the side record is raised.
	minStep = 4 << 20
)

// sumsRecord is the side record of the sums.
type sumsRecord struct {
	// Clean means that the store was closed and the sums are exact. Otherwise only
	// AtMost is certain.
	Clean            bool
	AtMost           int64 // upper bound of Reserved
	Reserved, Stored int64
	HasOwners        bool // the sums of owners are in OwnerRecords side records
	OwnerRecords     int
	Counted          time.Time     // when the last count began
	Took             time.Duration // the last count
}

// records keeps the side records of the sums.
type records struct {
	raising chan struct{} // has capacity 1; full: a bound is being stored
}

func (r *records) lock(ctx context.Context) error {
	select {
	case r.raising <- struct{}{}:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (r *records) unlock() { <-r.raising }

func spaceKey(name string) tusd.SideRecordKey { return tusd.SideRecordKey{Kind: kindSpace, Name: name} }

func ownerKey(page int) tusd.SideRecordKey { return spaceKey(fmt.Sprintf("%s%08d", ownerPrefix, page)) }

// raise stores a higher upper bound, so that n more bytes can be reserved, and does nothing if
// another call has done that meanwhile.
func (s *LimitedStore) raise(ctx context.Context, n int64) error {
	if err := s.records.lock(ctx); err != nil {
		return err
	}
	defer s.records.unlock()
	bound, enough := s.ledger.nextBound(n)
	if enough {
		return nil
	}
	if err := s.putBound(ctx, bound); err != nil {
		return fmt.Errorf("limitedstore: raise the bound of the sum: %w", err)
	}
	s.ledger.setBound(bound)
	return nil
}

// lower stores the bound that fits the sums now. The caller has no lock.
func (s *LimitedStore) lower(ctx context.Context) error {
	if err := s.records.lock(ctx); err != nil {
		return err
	}
	defer s.records.unlock()
	bound := s.ledger.lowerBound()
	if err := s.putBound(ctx, bound); err != nil {
		return err
	}
	s.ledger.setBound(bound)
	return nil
}

func (s *LimitedStore) putBound(ctx context.Context, bound int64) error {
	u := s.ledger.usage()
	counted, took := s.ledger.lastCount()
	return s.putRecord(ctx, nameSums, sumsRecord{AtMost: bound, Reserved: u.Reserved, Stored: u.Stored, Counted: counted, Took: took})
}

func (s *LimitedStore) putRecord(ctx context.Context, name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return err
	}
	return s.inner.SideRecords.PutSideRecord(ctx, spaceKey(name), text)
}

// nextBound returns the bound that lets n more bytes be reserved, with a step of about 1 % of
// the limit. enough reports that the present one does.
func (l *ledger) nextBound(n int64) (bound int64, enough bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.bound(n), l.sums.reserved+n <= l.atMost
}

func (l *ledger) bound(n int64) int64 {
	needed := l.sums.reserved + n
	return min(needed+max(minStep, l.limit/100), max(needed, l.limit))
}

func (l *ledger) setBound(bound int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.atMost = bound
}

// lowerBound returns the bound that is one step above the sum. If it is lower than the present
// one, it holds at once: should the side record not be stored, it has a bound that is too high,
// which is safe. If it is higher, because a count has found more, it holds when it is stored.
func (l *ledger) lowerBound() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	bound := l.bound(0)
	l.atMost = min(l.atMost, bound)
	return bound
}

// loadSums reads the side record. Without one, or if it cannot be understood, nothing is known.
func (s *LimitedStore) loadSums(ctx context.Context) (r sumsRecord, owners map[owner]int64, err error) {
	none := sumsRecord{AtMost: unknown}
	text, err := s.inner.SideRecords.GetSideRecord(ctx, spaceKey(nameSums))
	if errors.Is(err, tusd.ErrNotFound) {
		return none, nil, nil
	}
	if err != nil {
		return none, nil, err
	}
	if json.Unmarshal(text, &r) != nil || r.AtMost < 0 {
		s.log().Warn("limitedstore: the side record of the sums cannot be read, the uploads are counted")
		return none, nil, nil
	}
	if r.Clean && r.HasOwners {
		owners, err = s.loadOwnersInTime(ctx, r.OwnerRecords)
		r.Clean = owners != nil
	}
	return r, owners, err
}

// loadOwnersInTime is loadOwners, but returns nil if that takes too long for a start.
func (s *LimitedStore) loadOwnersInTime(ctx context.Context, pages int) (map[owner]int64, error) {
	limited, cancel := context.WithTimeout(ctx, s.timing.ownersLimit)
	defer cancel()
	owners, err := s.loadOwners(limited, pages)
	if err != nil && limited.Err() != nil && ctx.Err() == nil {
		s.log().Warn("limitedstore: it takes too long to read the sums of the owners, the uploads are counted")
		return nil, nil
	}
	return owners, err
}

// errNoPage ends loadOwners if a side record is missing or cannot be understood.
var errNoPage = errors.New("no sums of owners")

// loadOwners reads the sums of the owners; nil: a record is missing.
func (s *LimitedStore) loadOwners(ctx context.Context, pages int) (map[owner]int64, error) {
	var mu sync.Mutex
	owners := make(map[owner]int64)
	err := inParallel(ctx, pages, func(ctx context.Context, page int) error {
		text, err := s.inner.SideRecords.GetSideRecord(ctx, ownerKey(page))
		if errors.Is(err, tusd.ErrNotFound) {
			return errNoPage
		}
		if err != nil {
			return err
		}
		mu.Lock()
		defer mu.Unlock()
		return addPage(owners, text)
	})
	if errors.Is(err, errNoPage) {
		return nil, nil
	}
	return owners, err
}

// addPage adds the sums of a side record.
func addPage(owners map[owner]int64, text []byte) error {
	var named map[string]int64
	if json.Unmarshal(text, &named) != nil {
		return errNoPage
	}
	for name, n := range named {
		hash, err := hex.DecodeString(name)
		if err != nil || len(hash) != len(owner{}) {
			return errNoPage
		}
		owners[owner(hash)] = n
	}
	return nil
}

// inParallel calls f for 0 to n-1, for several at the same time, until one fails. It returns the
// first error.
func inParallel(ctx context.Context, n int, f func(context.Context, int) error) error {
	const calls = 16
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var working sync.WaitGroup
	for range min(n, calls) {
		working.Go(func() {
			for i := int(next.Add(1)) - 1; i < n && ctx.Err() == nil; i = int(next.Add(1)) - 1 {
				if err := f(ctx, i); err != nil {
					cancel(err)
				}
			}
		})
	}
	working.Wait()
	return context.Cause(ctx)
}

// storeSums stores the sums at a clean end. The record that says so is the last one.
func (s *LimitedStore) storeSums(ctx context.Context, exact sums) error {
	counted, took := s.ledger.lastCount()
	r := sumsRecord{Counted: counted, Took: took, Clean: true, AtMost: exact.reserved, Reserved: exact.reserved, Stored: exact.stored, HasOwners: exact.owners != nil}
	pages := slices.Collect(slices.Chunk(slices.Collect(maps.Keys(exact.owners)), ownersPerRecord))
	err := inParallel(ctx, len(pages), func(ctx context.Context, page int) error {
		named := make(map[string]int64, len(pages[page]))
		for _, o := range pages[page] {
			named[hex.EncodeToString(o[:])] = exact.owners[o]
		}
		return s.putRecord(ctx, ownerKey(page).Name, named)
	})
	if err != nil {
		return err
	}
	r.OwnerRecords = len(pages)
	return s.putRecord(ctx, nameSums, r)
}

// deleteOwners removes the side records of the owners, which are read. What is left after an error
// has no meaning, and is replaced later.
func (s *LimitedStore) deleteOwners(ctx context.Context, pages int) {
	err := inParallel(ctx, pages, func(ctx context.Context, page int) error {
		return s.inner.SideRecords.DeleteSideRecord(ctx, ownerKey(page))
	})
	if err != nil && ctx.Err() == nil {
		s.log().Warn("limitedstore: cannot remove the side records of the sums of the owners", "err", err)
	}
}
