package tusd

import (
	"sync"
	"time"
)

// minReadTime is how long a request may read its body before a newer one interrupts it.
// It is enough to read what has already arrived, so that many clients which compete for
// one upload make progress, and short against the 100 ms in which the newer request is
// to be served.
const minReadTime = 20 * time.Millisecond

// watchLease interrupts the body when the lock is preempted or lost, or the server
// shuts down. The watch begins after minReadTime; most bodies have ended before. It has
// ended when stop returns.
func (e *engine) watchLease(b *body, lease Lease) *leaseWatch {
	w := &leaseWatch{body: b, lease: lease, closing: e.background.Done()}
	w.timer = time.AfterFunc(minReadTime, w.run)
	return w
}

type leaseWatch struct {
	body    *body
	lease   Lease
	closing <-chan struct{}
	timer   *time.Timer

	mu      sync.Mutex
	stopped bool
	done    chan struct{} // closed by stop; nil: run has not begun
	ended   chan struct{} // closed at the end of run; made with done
}

func (w *leaseWatch) run() {
	if !w.prepare() {
		return
	}
	defer close(w.ended)
	select {
	case <-w.lease.Preempted():
		w.body.abort(ErrUploadInterrupted)
	case <-w.lease.Context().Done():
		w.body.abort(ErrLockLost)
	case <-w.closing:
		w.body.abort(ErrServerShutdown)
	case <-w.done:
	}
}

// prepare makes the channels that stop needs. It reports false if stop was called
// before.
func (w *leaseWatch) prepare() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.done, w.ended = make(chan struct{}), make(chan struct{})
	}
	return !w.stopped
}

func (w *leaseWatch) stop() {
	if w.timer.Stop() {
		return
	}
	w.mu.Lock()
	w.stopped = true
	running := w.done != nil
	w.mu.Unlock()
	if running {
		close(w.done)
		<-w.ended
	}
}
