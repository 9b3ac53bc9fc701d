package tusd

import (
	"context"
	"time"
)

// minReadTime is how long a request may read its body before a newer one interrupts it.
// It is enough to read what has already arrived, so that many clients which compete for
// one upload make progress, and short against the 100 ms in which the newer request is
// to be served.
const minReadTime = 20 * time.Millisecond

// watchLease aborts the body when the lock is preempted or lost, until stop is called.
// The lock does so itself if it can: then a slow upload has no other goroutine than that
// of its request. At a shutdown, the requestList aborts the body.
func (e *engine) watchLease(b *body, lease Lease) (stop func()) {
	notifier, ok := lease.(PreemptNotifier)
	if !ok {
		return waitForPreemption(b, lease)
	}
	notifier.AfterPreempt(func() { b.abort(ErrUploadInterrupted) })
	if e.store.Locker.Scope() != ScopeLease { // such a lock cannot be lost
		return func() { notifier.AfterPreempt(nil) }
	}
	stopLoss := context.AfterFunc(lease.Context(), func() { b.abort(ErrLockLost) })
	return func() {
		notifier.AfterPreempt(nil)
		stopLoss()
	}
}

// waitForPreemption is watchLease for a lock without PreemptNotifier.
func waitForPreemption(b *body, lease Lease) (stop func()) {
	ctx, cancel := context.WithCancel(lease.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-lease.Preempted():
			b.abort(ErrUploadInterrupted)
		case <-ctx.Done():
			if lease.Context().Err() != nil {
				b.abort(ErrLockLost)
			}
		}
	}()
	return func() {
		cancel()
		<-ended
	}
}
