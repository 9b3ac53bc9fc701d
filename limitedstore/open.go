package limitedstore

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/tus/tusd"
)

// Open opens the wrapped store, and takes the sums from its side record or begins to count. It
// fails if the settings or the wrapped store do not allow a limit, or if another process has
// the store open. For the latter it may wait 2 s, and after a crash 27 s (Exclusive). After an
// error the caller closes the wrapped store, if that has to be closed.
func (s *LimitedStore) Open(ctx context.Context, env tusd.Env) error {
	if err := s.check(env); err != nil {
		return fmt.Errorf("limitedstore: %w", err)
	}
	if s.holder.Load() != nil {
		return errors.New("limitedstore: the store is open already")
	}
	if err := s.inner.Core.Open(ctx, env); err != nil || env.ReadOnly {
		return err
	}
	if env.LimitSize != nil {
		env.LimitSize(s.ledger.limit)
	}
	if err := s.open(ctx, env); err != nil {
		return fmt.Errorf("limitedstore: %w", err)
	}
	return nil
}

// check checks the settings.
func (s *LimitedStore) check(env tusd.Env) error {
	evicts := s.Policy != "" && s.Policy != PolicyRefuse
	switch {
	case s.ledger.limit <= 0:
		return errors.New("the size of the store must be positive")
	case s.OwnerQuota < 0 || s.OwnerMaxUpload < 0:
		return errors.New("a limit of owners is negative")
	case s.Policy != "" && !slices.Contains(Policies(), s.Policy):
		return fmt.Errorf("there is no policy %q, but %q", s.Policy, Policies())
	case s.inner.Lister == nil || s.inner.SideRecords == nil:
		return errors.New("the wrapped store needs a Lister and SideRecords")
	case evicts && (s.inner.Terminater == nil || env.Evict == nil && !env.ReadOnly):
		return fmt.Errorf("policy %s needs a store with a Terminater, and a handler", s.Policy)
	}
	return nil
}

func (s *LimitedStore) open(ctx context.Context, env tusd.Env) (err error) {
	h, err := s.claim(ctx, env.Locker)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.release(h))
		}
	}()
	r, owners, err := s.loadSums(ctx)
	if err != nil {
		return err
	}
	s.records = records{raising: make(chan struct{}, 1)}
	s.ledger.reset(r, owners, s.OwnerQuota)
	if r.AtMost < unknown {
		if err := s.lower(ctx); err != nil { // says that the store is in use
			return err
		}
	}
	s.evict = env.Evict
	s.evictor.reset(s)
	s.holder.Store(h)
	s.keeper.start(s, env.Locker, r.OwnerRecords)
	s.keeper.waitCounted(ctx, s.timing.openWait) // a small store is counted at once
	return nil
}

// reset sets the sums of a side record.
func (l *ledger) reset(r sumsRecord, owners map[owner]int64, quota int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ownerQuota, l.accounts, l.pruneAt = quota, make(map[string]*account), minPrune
	l.counting, l.doubtful, l.wrong = nil, 0, false
	l.sums = newSums(quota > 0)
	l.exact = r.Clean && (quota == 0 || r.HasOwners)
	l.counted, l.took = r.Counted, r.Took
	l.sums.stored = r.Stored
	l.sums.reserved, l.atMost = r.AtMost, r.AtMost
	if l.exact {
		l.atMost = l.bound(0)
	}
	if l.exact && quota > 0 {
		l.sums.owners = owners
	}
}

// Close stores the sums and lets another process open the store. Call it after
// Handler.Shutdown, when no call runs and no lease is held; then close the wrapped store. If
// the sums are not exact, or cannot be stored in 4 s, the next Open counts the uploads. Close
// takes 8 s at most if the wrapped store obeys its contexts. A closed store can be opened again.
func (s *LimitedStore) Close() error {
	h := s.holder.Swap(nil)
	if h == nil {
		return nil
	}
	s.keeper.stop()
	s.evictor.stop()
	ctx, cancel := context.WithTimeout(context.Background(), s.timing.closeLimit)
	defer cancel()
	s.keeper.resolve(ctx)
	held, err := s.stillHolds(h)
	if exact, ok := s.ledger.exactSums(); ok && held {
		err = s.storeSums(ctx, exact)
	}
	if held {
		err = errors.Join(err, s.release(h))
	} else {
		err = errors.Join(err, h.release(ctx)) // of the lock within the process
	}
	if err != nil {
		return fmt.Errorf("limitedstore: close: %w", err)
	}
	return nil
}

// stillHolds reports whether no other process can have the store: since the last look, one may
// have taken this process for dead.
func (s *LimitedStore) stillHolds(h *holder) (bool, error) {
	if h.taken.Load() || h.lease != nil && h.lease.Context().Err() != nil {
		return false, nil
	}
	if !h.needsRecord() {
		return true, nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), s.timing.releaseLimit)
	defer cancel()
	other, err := s.otherHolder(ctx, h)
	return err == nil && other == nil, err
}

// release ends the claim of this process. It has time of its own, so that the next start does
// not wait for a process that is gone.
func (s *LimitedStore) release(h *holder) error {
	ctx, cancel := context.WithTimeout(context.Background(), s.timing.releaseLimit)
	defer cancel()
	err := s.inner.SideRecords.DeleteSideRecord(ctx, spaceKey(nameHolder))
	return errors.Join(err, h.release(ctx))
}

// exactSums returns the sums, if they are exact and no call can change them.
func (l *ledger) exactSums() (sums, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, a := range l.accounts {
		if a.calls > 0 || a.doubtful {
			return sums{}, false
		}
	}
	return l.sums, l.exact && !l.wrong
}
