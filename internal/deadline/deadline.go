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

	mu       sync.Mutex
	closed   bool
	broken   bool      // the warner was told
	ended    bool      // nothing more is read
	late     bool      // it ended after an abort
	readSet  time.Time // when the read deadline was last set
	writeSet time.Time
	cause    error // of the abort; sticky
	abortAt  time.Time
}

// Warner is told, once per request, that deadlines cannot be set.
type Warner interface {
	WarnDeadlines(error)
}

// DrainTime is how long the rest of a body is read that nothing needs.
const DrainTime = 2 * time.Second

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
	d.ended, d.late = true, d.cause != nil
}

// Poisoned tells whether no other request may follow on an HTTP/1.1 connection:
// the body ended well while an abort had set its deadline. From its end on
// net/http looks whether the client goes away, and it takes a deadline that
// passes for that: it would end the context of all requests to come.
func (d *Request) Poisoned() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.late
}

// BeforeWrite arms or prolongs the write deadline. While there is nothing to
// write there is none: the server may work as long as it has to.
func (d *Request) BeforeWrite() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if now := time.Now(); now.Sub(d.writeSet) > d.idle/8 {
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
	now := time.Now()
	d.cause, d.abortAt = cause, now
	if notBefore.After(now) {
		d.abortAt = notBefore
	}
	d.setRead(now, d.abortAt)
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
	d.cause, d.abortAt = cause, t
	d.setRead(time.Now(), t)
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
	d.writeSet = now
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
