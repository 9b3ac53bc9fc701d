package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/tus/tusd"
)

const (
	// probeTimeout is how long a part may take to say that all is well.
	probeTimeout = 2 * time.Second
	// probeCacheTime is how long an answer counts: however often somebody asks,
	// the store and the lock service are asked once in that time.
	probeCacheTime = time.Second
	// probeID is locked to see whether locks can be had. It is like any other
	// upload's id: should there be such an upload, its requests do not notice.
	probeID = "tusd-readyz"
)

// probe asks a part of the server whether it can work. However many want to
// know, and however long the part hangs, it is asked by one goroutine.
type probe struct {
	name        string
	publicError string                      // what the answer says of an error; "": its text, which is fit for strangers
	check       func(context.Context) error // nil: well

	mu     sync.Mutex
	latest *probeRun
}

var errProbeTimeout = fmt.Errorf("no answer in %v", probeTimeout)

// text is what the answer says of this part.
func (p *probe) text(err error) string {
	switch {
	case err == nil:
		return "ok"
	case isOnlyWarning(err):
		return "ok, but " + err.Error()
	case p.publicError != "" && err != errProbeTimeout:
		return p.publicError
	}
	return err.Error()
}

// isOnlyWarning tells that err leaves the server of use: on a disk without room
// uploads can be looked at, read and removed, and small ones may still fit.
func isOnlyWarning(err error) bool { return errors.Is(err, tusd.ErrNoSpace) }

// probeRun is one asking.
type probeRun struct {
	started time.Time
	done    chan struct{} // closed when it is over; then the rest is set
	ended   time.Time
	err     error
}

// start returns the run that is under way or has just ended, or a new one.
func (p *probe) start() *probeRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.latest == nil || p.latest.stale() {
		p.latest = &probeRun{started: time.Now(), done: make(chan struct{})}
		go p.latest.run(p.check)
	}
	return p.latest
}

func (r *probeRun) stale() bool { return r.over() && time.Since(r.ended) > probeCacheTime }

func (r *probeRun) over() bool {
	select {
	case <-r.done:
		return true
	default:
		return false
	}
}

func (r *probeRun) run(ask func(context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	r.err = ask(ctx)
	r.ended = time.Now()
	close(r.done)
}

// wait returns what was found out, or that it takes too long.
func (r *probeRun) wait(ctx context.Context) error {
	if r.over() {
		return r.err
	}
	late := time.NewTimer(time.Until(r.started.Add(probeTimeout)))
	defer late.Stop()
	select {
	case <-r.done:
		return r.err
	case <-late.C:
		return errProbeTimeout
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// prober is a store that can be asked whether it can work. Its errors name
// nothing that strangers should not know.
type prober interface {
	Probe(context.Context) error
}

func storeProbe(store prober) *probe { return &probe{name: "store", check: store.Probe} }

func lockerProbe(locker tusd.Locker) *probe {
	return &probe{
		name: "lock", publicError: "no lock can be had",
		check: func(ctx context.Context) error { return probeLocker(ctx, locker) },
	}
}

// probeLocker takes a lock and gives it back. That another process is just
// doing the same is as good an answer.
func probeLocker(ctx context.Context, locker tusd.Locker) error {
	lease, err := locker.Lock(ctx, probeID, tusd.LockTry)
	if errors.Is(err, tusd.ErrUploadLocked) {
		return nil
	}
	if err != nil {
		return err
	}
	return lease.Unlock(ctx)
}
