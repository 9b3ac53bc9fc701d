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
// set them: SetReadDeadline, called too late, cuts the next request of an
// HTTP/1.1 connection, or meets a finished stream of HTTP/2.
//
// Deadlines follow progress: a body may take days if bytes keep arriving. The
// zero value sets no deadlines. Safe for concurrent use.
type Request struct {
	control *http.ResponseController // nil: no deadlines are set
	idle    time.Duration
	warner  Warner

	mu              sync.Mutex
	closed          bool
	broken          bool      // deadlines cannot be set; warner has been called
	ended           bool      // nothing more is read
	endedAfterAbort bool      // the body ended after the deadline of an abort
	readSet         time.Time // when the read deadline was last set
	writeSet        time.Time
	writeAt         time.Time // the write deadline; zero: none
	lastWrite       time.Time // when the last write began
	cause           error     // of the abort; sticky
	abortAt         time.Time
	hasty           error // cause of aborts after Hasten; nil before
}

// Times for clients after Hasten.
const (
	hastyWrite    = time.Second            // from now on
	hastyProgress = 2 * time.Second        // from one write to the next
	hastyRead     = 20 * time.Millisecond  // enough for what has arrived
	hastyDrain    = 250 * time.Millisecond // for the rest of a body
)

// Warner is called once per request if deadlines cannot be set.
type Warner interface {
	WarnDeadlines(error)
}

// Init is called first: a body or an answer that makes no progress for idle is
// ended.
func (d *Request) Init(control *http.ResponseController, idle time.Duration, warner Warner) {
	d.control, d.idle, d.warner = control, idle, warner
}

// Start is called with whether there is a body. No deadline is set before it is
// needed: the first read sets the read deadline, because the server may first
// wait for something else than the client, and a deadline that passes ends an
// HTTP/2 stream for good.
func (d *Request) Start(body bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = !body
}

// BeforeRead extends the read deadline, or returns the cause of an abort.
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

// AfterRead is called when a read has ended the body: the client sends nothing more, so
// there is no read deadline.
func (d *Request) AfterRead() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setRead(time.Now(), time.Time{})
	d.ended, d.endedAfterAbort = true, d.cause != nil && !time.Now().Before(d.abortAt)
}

// Poisoned reports whether no other request may follow on an HTTP/1.1
// connection: the deadline of an abort has passed at the end of the body. From
// that end on net/http watches whether the client disconnects, and mistakes a
// deadline that passes for that: it would end the context of all later requests.
func (d *Request) Poisoned() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.endedAfterAbort
}

// BeforeWrite sets or extends the write deadline. While there is nothing to
// write there is none: the time of the server's own work is not limited.
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

// Broken reports whether deadlines cannot be set: a wrapper hides the server's own writer,
// or the connection is closed.
func (d *Request) Broken() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.broken
}

// AfterWrite removes the write deadline: the next write may come later.
func (d *Request) AfterWrite() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setWrite(time.Time{}, time.Time{})
}

// Abort ends the reading of the body with cause, at once or at notBefore,
// whichever is later. It reports whether it does: not if the body has ended, or
// was aborted before.
func (d *Request) Abort(cause error, notBefore time.Time) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed || d.ended || d.cause != nil {
		return false
	}
	d.abort(time.Now(), cause, notBefore)
	return true
}

func (d *Request) abort(now time.Time, cause error, notBefore time.Time) {
	d.cause, d.abortAt = cause, now
	if notBefore.After(now) {
		d.abortAt = notBefore
	}
	d.setRead(now, d.abortAt)
}

// Hasten is called when the server cannot wait for the client any longer, as at
// a shutdown. The reading of the body ends with cause after what has arrived is
// read. An answer goes on while it makes progress. The server's own work is not
// limited.
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

// Bound limits the reading of the rest of the body to t, with cause as the
// error. It reports whether there is anything to read; after an abort there is
// not.
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

// Close ends the ownership, before the handler returns. It removes the write
// deadline of an HTTP/1.1 connection, which would outlive the request. net/http
// sets the read deadline itself before the next request; until then it looks
// for the end of an unread body, which is bounded.
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
	if !errors.Is(err, net.ErrClosed) { // a closed connection needs no deadlines
		d.warner.WarnDeadlines(err)
	}
}
