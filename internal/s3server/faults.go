package s3server

import (
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"time"
)

// Outcome says how a call ends. The zero value serves it.
//
// The body of the call is received in every case, except if the connection is
// cut within it. Delay and Until come after that and before the work. All
// waiting ends with the client's connection and with the Server.
type Outcome struct {
	Delay time.Duration   // before the work
	Until <-chan struct{} // the work starts when it is closed
	Hold  <-chan struct{} // the work is done, and the answer is sent when it is closed

	Status int    // of an error that is answered instead; 0: none
	Code   string // of the error
	Done   bool   // the work is done although an error is answered or the connection is cut
	Inside bool   // in DeleteObjects: the error is that of the last key, the others are removed

	Cut   bool  // the connection is reset
	After int64 // bytes of the body, or of the answer if the call has no body, that are transferred before

	Alter func(http.Header, []byte) // changes an answer of success, but not its length
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

// Reset resets the connection after after bytes of the call's body, and does
// no work. If the call has no body, the work is done and the answer is cut
// after after bytes.
func Reset(after int64) Outcome { return Outcome{Cut: true, After: after} }

// Delay serves a call later.
func Delay(d time.Duration) Outcome { return Outcome{Delay: d} }

// Stall makes a call wait until release is closed, and then serves it.
func Stall(release <-chan struct{}) Outcome { return Outcome{Until: release} }

// HoldAnswer does the work, and answers when release is closed.
func HoldAnswer(release <-chan struct{}) Outcome { return Outcome{Hold: release} }

// FlipBit flips one bit in the middle of an answer's body, like a fault of memory or of a
// network.
func FlipBit() Outcome {
	return Outcome{Alter: func(_ http.Header, body []byte) {
		if len(body) > 0 {
			body[len(body)/2] ^= 1
		}
	}}
}

// Page answers with the page of a proxy, with the status of the service and the same
// length.
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

// alter changes the answer.
func (o Outcome) alter(a *answer) {
	if o.Alter == nil || a.status >= http.StatusMultipleChoices {
		return
	}
	body := a.body.bytes()
	o.Alter(a.header, body)
	a.body = newContent(body)
}

// succeeds reports whether a call is served without an error.
func (o Outcome) succeeds() bool { return o.Status == 0 && !o.Cut && o.Alter == nil }

// doesWork reports whether the work is done, whatever the answer.
func (o Outcome) doesWork() bool { return o.Status == 0 || o.Done }

// within passes an error for a part of the call to the operation.
func (o Outcome) within(req *request) Outcome {
	if o.Inside && req.Operation == DeleteObjects {
		req.refuseLast, o.Status = o.Code, 0
	}
	return o
}

// cutsRequest reports whether the connection is cut before the work.
func (o Outcome) cutsRequest(req *request) bool { return o.Cut && !o.Done && req.Size > 0 }

// cut receives n bytes of the body and resets the connection.
func (req *request) cut(w http.ResponseWriter, n int64) {
	_, _ = io.CopyN(io.Discard, req.body, min(n, req.Size))
	reset(w)
}

// deliver sends the answer, or as much of it as the outcome allows.
func (o Outcome) deliver(w http.ResponseWriter, req *request, a *answer) {
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

// reset closes a connection so that the client sees a reset. With HTTP/2 it
// ends the stream.
func reset(w http.ResponseWriter) {
	connection, _, err := http.NewResponseController(w).Hijack()
	if errors.Is(err, http.ErrNotSupported) {
		panic(http.ErrAbortHandler)
	}
	if err != nil {
		return // it is closed already
	}
	if tcp, ok := connection.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = connection.Close()
}
