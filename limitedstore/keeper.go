package limitedstore

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/tus/tusd"
)

// keeper works in the background: it renews the claim of this process, finds out what
// doubtful uploads count for, and counts.
type keeper struct {
	store  *LimitedStore
	locker tusd.Locker
	cancel context.CancelFunc
	ended  sync.WaitGroup
	wanted chan struct{} // has capacity 1: a request was refused
	first  chan struct{} // closed when the sums are exact for the first time

	// of keepSums, after a count that failed
	pause  time.Duration
	resume time.Time // earliest next count

	unresolved bool // the last call of resolve has failed
}

// start starts the keeper, which first removes the side records of the owners.
func (k *keeper) start(s *LimitedStore, locker tusd.Locker, ownerRecords int) {
	ctx, cancel := context.WithCancel(context.Background())
	k.store, k.locker, k.cancel = s, locker, cancel
	k.pause, k.resume, k.unresolved = 0, time.Time{}, false
	k.wanted, k.first = make(chan struct{}, 1), make(chan struct{})
	k.ended.Go(func() { k.keepClaim(ctx) })
	k.ended.Go(func() { k.keepSums(ctx) })
	k.ended.Go(func() { s.deleteOwners(ctx, ownerRecords) })
}

// stop stops the keeper and waits for its end.
func (k *keeper) stop() {
	k.cancel()
	k.ended.Wait()
}

// wantCount asks for a count because a request was refused.
func (k *keeper) wantCount() {
	select {
	case k.wanted <- struct{}{}:
	default:
	}
}

// waitCounted waits until the sums are exact, at most for limit.
func (k *keeper) waitCounted(ctx context.Context, limit time.Duration) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	select {
	case <-k.first:
	case <-ctx.Done():
	}
}

func (k *keeper) keepClaim(ctx context.Context) {
	for sleep(ctx, k.store.timing.beat) == nil {
		if h := k.store.holder.Load(); h != nil {
			k.store.renew(ctx, h)
		}
	}
}

// keepSums counts when the sums are not exact, when a request was refused, and from time to
// time.
func (k *keeper) keepSums(ctx context.Context) {
	s := k.store
	k.countUntilExact(ctx)
	close(k.first)
	tick := time.NewTicker(s.timing.beat)
	defer tick.Stop()
	for {
		refused := false
		select {
		case <-ctx.Done():
			return
		case <-k.wanted:
			refused = true
		case <-tick.C:
			k.resolve(ctx)
		}
		if k.isDue(refused) {
			k.count(ctx)
		}
	}
}

// isDue reports whether the uploads have to be counted again. Counts of a large store are
// rarer, because each may read many records. The time of the last one is that of an earlier
// process, too: meanwhile uploads may have changed without a limit.
func (k *keeper) isDue(refused bool) bool {
	if time.Now().Before(k.resume) {
		return false
	}
	t := &k.store.timing
	counted, took := k.store.ledger.lastCount()
	age := time.Since(counted)
	return age >= max(t.recount, 100*took) || refused && age >= max(t.refusedAge, 20*took) || k.store.ledger.isWrong()
}

// countUntilExact counts until the sums are exact.
func (k *keeper) countUntilExact(ctx context.Context) {
	for wait := k.store.timing.poll; !k.store.ledger.isExact(); wait = min(2*wait, time.Minute) {
		if k.count(ctx); k.store.ledger.isExact() || sleep(ctx, wait) != nil {
			return
		}
	}
}

// count counts. After a failure, isDue reports nothing for a time that doubles.
func (k *keeper) count(ctx context.Context) {
	began := time.Now()
	err := k.store.count(ctx)
	if err == nil || ctx.Err() != nil {
		k.pause = 0
		return
	}
	k.store.log().Error("limitedstore: the uploads could not be counted", "err", err)
	k.pause = min(max(2*k.pause, k.store.timing.beat), 10*time.Minute)
	k.resume = time.Now().Add(max(k.pause, 20*time.Since(began)))
}

// resolve finds out what the doubtful uploads count for that no request uses. It logs the first
// failure after a call that has not failed: an outage of the store or of the lock service has
// one line.
func (k *keeper) resolve(ctx context.Context) {
	before := k.unresolved
	k.unresolved = false
	for _, id := range k.store.ledger.doubtfulIDs() {
		err := k.reload(ctx, id)
		switch {
		case err == nil, errors.Is(err, tusd.ErrUploadLocked), errors.Is(err, tusd.ErrNotFound):
			continue
		case ctx.Err() != nil:
			return
		case errors.Is(err, tusd.ErrLockServiceUnavailable): // so would the others; the locker has logged it
			k.unresolved = before || k.unresolved
			return
		case !before && !k.unresolved:
			k.store.log().Warn("limitedstore: cannot find out what an upload counts for", "id", id, "err", err)
		}
		k.unresolved = true
	}
}

// reload loads an upload under its lock, which corrects the sums.
func (k *keeper) reload(ctx context.Context, id string) error {
	lease, err := k.locker.Lock(ctx, id, tusd.LockTry)
	if err != nil {
		return err
	}
	defer lease.Unlock(lease.Context())
	_, err = k.store.GetUpload(ctx, lease, id)
	return err
}

func (l *ledger) doubtfulIDs() (ids []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.doubtful == 0 {
		return nil
	}
	for id, a := range l.accounts {
		if a.doubtful && a.calls == 0 {
			ids = append(ids, id)
		}
	}
	return ids
}

func (l *ledger) isWrong() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.wrong
}
