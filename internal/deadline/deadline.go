// Package deadline keeps the read and write deadlines of a request. It knows
// HTTP, and nothing of uploads.
package deadline

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Request owns the read and write deadlines of one request. Nothing else may
// set them: called too late, SetReadDeadline cuts the next request of an
// HTTP/1.1 connection, or meets a finished stream of HTTP/2.
//
// Deadlines follow progress: a body may take days if it keeps moving.
// The zero value sets no deadlines. Safe for concurrent use.
type Request struct {
	control *http.ResponseController // nil: there are none to be set
	idle    time.Duration
	warner  Warner

	mu              sync.Mutex
	closed          bool
	broken          bool      // the warner was told
	ended           bool      // nothing more is read
	endedAfterAbort bool      // it ended after an abort
	readSet         time.Time // when the read deadline was last set
	writeSet        time.Time
	writeAt         time.Time // the write deadline; zero: none
	lastWrite       time.Time // when a write last began, and so the one before was done
	cause           error     // of the abort; sticky
	abortAt         time.Time
	hasty           error // cause of aborts since Hasten; nil before
}

// Times for a client that the server cannot wait for, see Hasten.
const (
	hastyWrite    = time.Second            // from now on
	hastyProgress = 2 * time.Second        // from one write to the next
	hastyRead     = 20 * time.Millisecond  // takes what has arrived
	hastyDrain    = 250 * time.Millisecond // for the rest of a body
)

// Warner is told, once per request, that deadlines cannot be set.
type Warner interface {
	WarnDeadlines(error)
}

// Init is called once, before all else: a body or an answer that does not move
// for idle is ended.
func (d *Request) Init(control *http.ResponseController, idle time.Duration, warner Warner) {
	d.control, d.idle, d.warner = control, idle, warner
}

// Start is told whether there is a body. Nothing is armed before it is needed:
// the read deadline with the first read, because the server may have to wait
// for something else than the client first, and a deadline that passes ends an
// HTTP/2 stream for good.
func (d *Request) Start(body bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = !body
}

// BeforeRead prolongs the read deadline, or returns the cause of an abort.
func (d *Request) BeforeRead(now time.Time) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.hasty != nil && d.cause == nil {
		d.abort(now, d.hasty, now.Add(hastyRead))
	}
	switch {
	case d.cause != nil && !now.Before(d.abortAt):
		return d.cause
	case d.cause == nil && now.Sub(d.readSet) > d.idle/8:
		d.setRead(now, now.Add(d.idle))
	}
	return nil
}

// AfterRead is told that a read has ended the body: nothing more is expected
// from the client, and the server may now take its time.
func (d *Request) AfterRead() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setRead(time.Now(), time.Time{})
	d.ended, d.endedAfterAbort = true, d.cause != nil
}

// Poisoned tells whether no other request may follow on an HTTP/1.1 connection:
// the body ended well while an abort had set its deadline. From its end on
// net/http looks whether the client goes away, and it takes a deadline that
// passes for that: it would end the context of all requests to come.
func (d *Request) Poisoned() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.endedAfterAbort
}

// BeforeWrite arms or prolongs the write deadline. While there is nothing to
// write there is none: the server may work as long as it has to.
func (d *Request) BeforeWrite() {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := time.Now()
	d.lastWrite = now
	if d.hasty != nil {
		d.setWrite(now, now.Add(min(2*d.idle, hastyProgress)))
	} else if now.Sub(d.writeSet) > d.idle/8 {
		d.setWrite(now, now.Add(2*d.idle))
	}
}

// AfterWrite takes the write deadline off: the answer is not to follow at once.
func (d *Request) AfterWrite() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setWrite(time.Time{}, time.Time{})
}

// Abort ends the reading of the body with cause, at once or, if that is
// later, at the time notBefore. The first abort counts; nothing undoes it.
func (d *Request) Abort(cause error, notBefore time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.cause != nil {
		return
	}
	d.abort(time.Now(), cause, notBefore)
}

func (d *Request) abort(now time.Time, cause error, notBefore time.Time) {
	d.cause, d.abortAt = cause, now
	if notBefore.After(now) {
		d.abortAt = notBefore
	}
	d.setRead(now, d.abortAt)
}

// Hasten is called when the server cannot wait for the client any longer, as at
// a shutdown. The reading of the body ends with cause as soon as what has
// arrived is read. An answer goes on as long as it moves. The time that the
// server itself needs is not limited.
func (d *Request) Hasten(cause error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.hasty != nil {
		return
	}
	d.hasty = cause
	now := time.Now()
	switch limit := now.Add(hastyDrain); {
	case d.cause == nil && !d.readSet.IsZero():
		d.abort(now, cause, now.Add(hastyRead))
	case d.cause != nil && d.abortAt.After(limit):
		d.abortAt = limit
		d.setRead(now, limit)
	}
	if d.writeAt.IsZero() {
		return
	}
	at := now.Add(hastyWrite)
	if moving := d.lastWrite.Add(hastyProgress); moving.After(at) {
		at = moving
	}
	if at.Before(d.writeAt) {
		d.setWrite(now, at)
	}
}

// Hastened reports whether Hasten was called.
func (d *Request) Hastened() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.hasty != nil
}

// Aborted returns the cause of an abort, or nil.
func (d *Request) Aborted() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.cause
}

// Bound gives the body that is read from now on until t in all, and ends it
// then with cause. It reports whether there is anything to be had: not after an
// abort.
func (d *Request) Bound(cause error, t time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cause != nil || d.closed || d.ended {
		return false
	}
	now := time.Now()
	if limit := now.Add(hastyDrain); d.hasty != nil && limit.Before(t) {
		t = limit
	}
	d.abort(now, cause, t)
	return true
}

// Close ends the ownership, before the handler returns. The write deadline
// of an HTTP/1.1 connection would outlive the request and is taken off. The
// read deadline net/http sets anew itself before the next request; until then
// it looks for the end of a body that was not read to it, which is bounded.
func (d *Request) Close(http1 bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); http1 {
		d.setWrite(now, time.Time{})
		if d.cause == nil {
			d.setRead(now, now.Add(DrainTime))
		}
	}
	d.closed = true
}

// setRead sets the read deadline. The caller holds d.mu.
func (d *Request) setRead(now, t time.Time) {
	if d.closed || d.broken || d.ended || d.control == nil {
		return
	}
	d.readSet = now
	d.check(d.control.SetReadDeadline(t))
}

// setWrite is setRead for writing.
func (d *Request) setWrite(now, t time.Time) {
	if d.closed || d.broken || d.control == nil {
		return
	}
	d.writeSet, d.writeAt = now, t
	d.check(d.control.SetWriteDeadline(t))
}

func (d *Request) check(err error) {
	if err == nil {
		return
	}
	d.broken = true
	if !errors.Is(err, net.ErrClosed) { // a connection that is gone needs no deadlines
		d.warner.WarnDeadlines(err)
	}
}
