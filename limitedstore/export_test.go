package limitedstore

import (
	"context"
	"time"

	"github.com/tus/tusd"
)

// Most tests do not wait for others that start at the same time.
func init() { defaultTiming.settle = 0 }

// SetSettle sets how long Open waits for others that start at the same time. Call it before Open.
func SetSettle(s *LimitedStore, d time.Duration) { s.timing.settle = d }

// Resolve finds out what the doubtful uploads count for.
func Resolve(s *LimitedStore) { s.keeper.resolve(context.Background()) }

// Count counts all uploads and takes over the sums.
func Count(s *LimitedStore) (tusd.SpaceUsage, error) {
	err := s.count(context.Background())
	return s.Usage(), err
}

// SetTiming shortens what s waits for. Call it before Open.
func SetTiming(s *LimitedStore, roomWait, silence, beat time.Duration) {
	s.timing.sameChange, s.timing.vainPause = 0, beat
	s.timing.roomWait, s.timing.silence, s.timing.beat, s.timing.poll = roomWait, silence, beat, beat
}

// OnCount calls f when a count begins. Call it before Open.
func OnCount(s *LimitedStore, f func()) { s.timing.onCount = f }

// Corrupt changes the sums, which only a count corrects.
func Corrupt(s *LimitedStore, reserved, stored int64) {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.ledger.sums.reserved += reserved
	s.ledger.sums.stored += stored
}

// WrapLister replaces the Lister of the wrapped store. Call it before UseIn.
func WrapLister(s *LimitedStore, wrap func(tusd.Lister) tusd.Lister) {
	s.inner.Lister = wrap(s.inner.Lister)
}

// Wanted returns how many bytes of room requests wait for.
func Wanted(s *LimitedStore) int64 {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	if s.ledger.eviction == nil {
		return 0
	}
	return s.ledger.eviction.needs(unknown)
}

// Truth sums up what the wrapped store lists.
func Truth(s *LimitedStore) (stored, reserved int64, err error) {
	err = s.eachListed(context.Background(), tusd.ListFilter{}, func(l *tusd.Listed) error {
		a, _, err := s.listedAmounts(context.Background(), l)
		stored, reserved = stored+a.stored, reserved+a.reserved
		return err
	})
	return stored, reserved, err
}

// Kill ends what s does in the background, as a crash of its process.
func Kill(s *LimitedStore) {
	s.holder.Store(nil)
	s.keeper.stop()
	s.evictor.stop()
}

// Stall lets s do nothing in the background, as if its process was stopped for a while.
func Stall(s *LimitedStore) { s.keeper.stop() }

// Renew renews the claim of s.
func Renew(s *LimitedStore) { s.renew(context.Background(), s.holder.Load()) }

// Inner returns the wrapped store.
func Inner(s *LimitedStore) tusd.DataStore { return s.inner.Core }

// Forget drops the accounts that are not needed.
func Forget(s *LimitedStore) {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	s.ledger.prune()
}

// RequestRoom asks for room for n more bytes.
func RequestRoom(s *LimitedStore, n int64) { s.evictor.requestLater(s.ledger.free() + n) }

// Evicting reports whether uploads are being removed.
func Evicting(s *LimitedStore) bool {
	s.ledger.mu.Lock()
	defer s.ledger.mu.Unlock()
	return s.ledger.eviction != nil
}
