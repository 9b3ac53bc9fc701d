package s3server

import (
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"time"
)

// Outcome is what becomes of a call. The zero value serves it.
//
// The body of the call is received in every case, except where the connection
// is cut within it. Delay and Until come between that and the work. Waiting of
// any kind ends with the client's connection and with the Server.
type Outcome struct {
	Delay time.Duration   // before the work
	Until <-chan struct{} // closed: the work begins
	Hold  <-chan struct{} // closed: the answer goes out, the work is done before

	Status int    // of an error that is answered instead; 0: none
	Code   string // of the error
	Done   bool   // the work is done although an error is answered, or the request is cut
	Inside bool   // in DeleteObjects: the error is that of the last key, the others are removed

	Cut   bool  // the connection is reset
	After int64 // bytes of the body, or of the answer if the call has no body, that pass before

	Alter func(http.Header, []byte) // changes an answer of success, whose length stays
}

// Refuse answers an error and does nothing.
func Refuse(status int, code string) Outcome { return Outcome{Status: status, Code: code} }

// RefuseDone does the work and answers an error nevertheless.
func RefuseDone(status int, code string) Outcome {
	return Outcome{Status: status, Code: code, Done: true}
}

// RefuseInside answers 200 with an error inside. Nothing is done, except in a
// DeleteObjects: there the last key is not removed, and the error is its own.
func RefuseInside(code string) Outcome {
	return Outcome{Status: http.StatusOK, Code: code, Inside: true}
}

// LoseAnswer does the work and resets the connection instead of answering.
//
// The http.Transport of Go repeats a GET or HEAD that fails so on a connection
// that was used before: then the caller sees nothing but a second call.
func LoseAnswer() Outcome { return Outcome{Cut: true, Done: true} }

// Reset resets the connection within the body of the call, after so many bytes
// of it; nothing is done. A call without a body is done, and its answer is cut
// after so many bytes.
func Reset(after int64) Outcome { return Outcome{Cut: true, After: after} }

// Delay serves a call, later.
func Delay(d time.Duration) Outcome { return Outcome{Delay: d} }

// Stall lets a call wait until release is closed, and then serves it.
func Stall(release <-chan struct{}) Outcome { return Outcome{Until: release} }

// HoldAnswer does the work, and answers when release is closed.
func HoldAnswer(release <-chan struct{}) Outcome { return Outcome{Hold: release} }

// FlipBit answers a call with one bit of the middle byte wrong, as memory and
// networks do.
func FlipBit() Outcome {
	return Outcome{Alter: func(_ http.Header, body []byte) {
		if len(body) > 0 {
			body[len(body)/2] ^= 1
		}
	}}
}

// Page answers as a proxy does that serves a page of its own with the status
// of the service, and as many bytes.
func Page() Outcome {
	return Outcome{Alter: func(header http.Header, body []byte) {
		const page = "<html>please log in</html>"
		for at := 0; at < len(body); at += len(page) {
			copy(body[at:], page)
		}
		clear(header)
		header.Set("Content-Type", "text/html")
	}}
}

// alter changes the answer as the outcome wants it.
func (o Outcome) alter(a *answer) {
	if o.Alter == nil || a.status >= http.StatusMultipleChoices {
		return
	}
	body := a.body.bytes()
	o.Alter(a.header, body)
	a.body = newContent(body)
}

// passes tells whether a call is served without an error.
func (o Outcome) passes() bool { return o.Status == 0 && !o.Cut && o.Alter == nil }

// works tells whether the work is done, whatever is answered.
func (o Outcome) works() bool { return o.Status == 0 || o.Done }

// within hands an error inside an answer to the operation that knows where it
// belongs.
func (o Outcome) within(q *query) Outcome {
	if o.Inside && q.Operation == DeleteObjects {
		q.refuseLast, o.Status = o.Code, 0
	}
	return o
}

// cutsRequest tells whether the connection ends before the work.
func (o Outcome) cutsRequest(q *query) bool { return o.Cut && !o.Done && q.Size > 0 }

// cut receives n bytes of the body and resets the connection.
func (q *query) cut(w http.ResponseWriter, n int64) {
	_, _ = io.CopyN(io.Discard, q.body, min(n, q.Size))
	reset(w)
}

// deliver answers, as far as the outcome lets it.
func (o Outcome) deliver(w http.ResponseWriter, q *query, a *answer) {
	o.alter(a)
	switch {
	case !o.Cut:
		a.writeHead(w)
		a.write(w, math.MaxInt64)
	case o.Done:
		reset(w)
	default:
		a.writeHead(w)
		a.write(w, o.After)
		_ = http.NewResponseController(w).Flush()
		reset(w)
	}
}

// reset ends a connection at once, so that the other end sees a reset. Where
// there is no connection of our own (HTTP/2), the stream ends.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		return // it is gone already
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}
