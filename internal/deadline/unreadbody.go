package deadline

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// The rest of a body that nothing needs is read so far, so that the client
// comes to read the answer instead of a reset connection.
const (
	DrainBytes = 1 << 20
	DrainTime  = 2 * time.Second
)

// errNotDrained ends the reading of a body that nothing needs.
var errNotDrained = errors.New("the rest of the body did not come in time")

// UnreadBody is what a request of HTTP/1 has left of its body when it is answered.
// The answer goes out at once, and behind it the connection is at the start of
// the next request, or closed. HTTP/2 needs none of this: it resets the stream.
//
// The zero value is a body that has been read to its end.
type UnreadBody struct {
	w          http.ResponseWriter
	body       io.ReadCloser // nil: nothing is left
	unreadable bool          // reading would fail, or ask the client for the body
}

// Leave is called before the answer's header is written to w, if the body of r
// has not been read to its end. left is how many bytes of it are still to come,
// -1: not known; begun reports whether reading has begun, and failed whether it
// has failed.
func Leave(w http.ResponseWriter, control *http.ResponseController, r *http.Request, left int64, begun, failed bool) UnreadBody {
	if r.ProtoMajor != 1 {
		return UnreadBody{}
	}
	u := UnreadBody{w: w, body: r.Body, unreadable: failed || r.Header.Get("Expect") != "" && !begun}
	// Without full duplex net/http reads from the body before it sends the
	// answer, and knows a waiting client only if no middleware has wrapped the
	// body.
	full := control.EnableFullDuplex() == nil
	if !full || u.unreadable || left > DrainBytes {
		// What comes next may be the body all the same, or there is more of it
		// than will be read: a client that is not told does not expect the end.
		w.Header().Set("Connection", "close")
	}
	if !full {
		u.body = nil // it is net/http that closes it
	}
	return u
}

// Drain is called when the answer is on its way. It reads the rest of the body
// within limits. If the end is not found the connection is closed.
func (u *UnreadBody) Drain(d *Request) {
	if u.body == nil {
		return
	}
	end := false
	if d.Bound(errNotDrained, time.Now().Add(DrainTime)) && !u.unreadable {
		_, err := io.CopyN(io.Discard, u.body, DrainBytes+1)
		end = err == io.EOF
	}
	if end {
		d.AfterRead()
	}
	if !end {
		closeAfterAnswer(u.w)
	}
	// Closing reads a bit further. If net/http itself does so behind a full
	// duplex handler and finds the body's end, it panics.
	u.body.Close()
	u.body = nil
}

// closeAfterAnswer has net/http close the connection behind an answer whose header
// is written already: it does so if a body meets the limit of a MaxBytesReader,
// which therefore gets one that does. net/http itself takes the bytes that come
// after a body whose reading has failed for the next request.
func closeAfterAnswer(w http.ResponseWriter) {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			break
		}
		w = wrapper.Unwrap()
	}
	http.MaxBytesReader(w, io.NopCloser(strings.NewReader("x")), 0).Read(make([]byte, 1))
}
