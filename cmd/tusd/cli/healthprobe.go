package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tus/tusd"
)

const (
	// probeTimeout is how long a probe may take.
	probeTimeout = 2 * time.Second
	// probeCacheTime is how long a result is used: however many requests come,
	// the store and the lock service are probed once in that time.
	probeCacheTime = time.Second
	// sharedProbeWait is how long /readyz waits for the probe of a part that all servers
	// share: load balancers take a server out that does not answer soon.
	sharedProbeWait = 500 * time.Millisecond
	// probeID is the id that the probe of the locker locks. If there is an upload
	// with this id, its requests only wait for a moment.
	probeID = "tusd-readyz"
)

// probe checks whether a part of the server works. One goroutine checks at a
// time, however many requests wait and however long the part hangs.
type probe struct {
	name        string
	publicError string                      // answered in place of any error; "": errors may be shown to everyone
	check       func(context.Context) error // nil: it works
	// shared means that all servers use the same part: if it fails, no other server would
	// do better, and this one stays ready.
	shared bool
	// unproven means that the part has never worked in this process: its settings may be
	// wrong, so that other servers do better. Until a check succeeds, the part is not shared.
	unproven atomic.Bool
	// logsItself means that a failure of a shared part has a line in the log already.
	logsItself bool

	mu     sync.Mutex
	latest *probeRun
}

var errProbeTimeout = fmt.Errorf("no answer in %v", probeTimeout)

// failsForAll reports whether a failure concerns all servers.
func (p *probe) failsForAll() bool { return p.shared && !p.unproven.Load() }

// text returns what the answer to a health check says of a result. forAll means that a
// failure concerns all servers.
func (p *probe) text(err error, forAll bool) string {
	switch {
	case err == nil:
		return "ok"
	case isOnlyWarning(err):
		return "ok, but " + err.Error()
	}
	text := err.Error()
	if p.publicError != "" && err != errProbeTimeout {
		text = p.publicError
	}
	if forAll {
		text += " (for all servers, so this one stays ready)"
	}
	return text
}

// isOnlyWarning reports whether the server is ready in spite of err: on a full
// disk uploads can be read and removed, and small ones may still fit.
func isOnlyWarning(err error) bool { return errors.Is(err, tusd.ErrNoSpace) }

// probeRun is one run of a probe.
type probeRun struct {
	started time.Time
	before  error         // result of the run before; nil for the first one
	done    chan struct{} // closed when the run is over; the fields below are set then
	ended   time.Time
	err     error
}

// start returns the run that is under way or has just ended, or starts one.
func (p *probe) start() *probeRun {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.latest == nil || p.latest.stale() {
		next := &probeRun{started: time.Now(), done: make(chan struct{})}
		if p.latest != nil {
			next.before = p.latest.err
		}
		p.latest = next
		go next.run(p)
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

func (r *probeRun) run(p *probe) {
	ctx, cancel := context.WithTimeout(context.Background(), probeTimeout)
	defer cancel()
	r.err = p.check(ctx)
	if r.err == nil {
		p.unproven.Store(false)
	}
	r.ended = time.Now()
	close(r.done)
}

// wait returns the result of the run, or errProbeTimeout.
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

// waitBriefly returns the result of the run if it is over soon, else that of the run before.
func (r *probeRun) waitBriefly(ctx context.Context) error {
	soon := time.NewTimer(sharedProbeWait)
	defer soon.Stop()
	select {
	case <-r.done:
	case <-ctx.Done():
	case <-soon.C:
		if time.Since(r.started) < probeTimeout {
			return r.before
		}
	}
	return r.wait(ctx)
}

// prober is a store that can be probed. Its errors contain nothing confidential.
type prober interface {
	Probe(context.Context) error
}

func storeProbe(store prober) *probe { return &probe{name: "store", check: store.Probe} }

func lockerProbe(locker tusd.Locker) *probe {
	isService := locker.Scope() == tusd.ScopeLease
	p := &probe{
		name: "lock", publicError: "no lock can be acquired", shared: isService, logsItself: isService,
		check: func(ctx context.Context) error { return probeLocker(ctx, locker) },
	}
	p.unproven.Store(isService) // the start does not call it
	return p
}

// probeLocker takes a lock and releases it. If another process holds it for its
// own probe, the locker works: it has answered, and no probe waits for another.
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
