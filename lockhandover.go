package tusd

import (
	"sync"
	"time"
)

// minReadTime is how long a request may read its body before a newer one ends
// it: enough to take what has already arrived, so that many clients fighting
// for one upload make progress, and short against the 100 ms in which the
// newer one is to be served.
const minReadTime = 20 * time.Millisecond

// watchLease ends the body when the lock is wanted or lost or the server closes. It
// begins when the body has had its slice of time, which most bodies do not
// need. Nothing of it runs any more when stop has returned.
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

// prepare prepares for stop, unless that was first.
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
