package deadline

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"time"
)

// How much of the rest of a body is read, so that the client reads the answer
// instead of a connection reset.
const (
	DrainBytes = 1 << 20
	DrainTime  = 2 * time.Second
)

// errNotDrained ends the reading of the rest of a body.
var errNotDrained = errors.New("the rest of the body did not come in time")

// UnreadBody is the part of a body of HTTP/1 that is unread when the request is
// answered. The answer is sent at once, and then the connection is at the start
// of the next request, or closed. HTTP/2 resets the stream instead.
//
// The zero value is a body that has been read to its end.
type UnreadBody struct {
	w          http.ResponseWriter
	body       io.ReadCloser // nil: nothing is left
	unreadable bool          // reading would fail, or ask the client for the body
}

// Leave is called before the answer's header is written to w, if the body of r
// has not been read to its end. left is how many bytes are still to come, -1:
// unknown; begun says that reading has begun, failed that it has failed.
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
		// The client may still send the body, or more of it than will be read: it
		// must know that the connection ends.
		w.Header().Set("Connection", "close")
	}
	if !full {
		u.body = nil // net/http closes it
	}
	return u
}

// Drain is called when the answer is on its way. It reads the rest of the body
// within limits. If it does not find the end, it closes the connection.
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
	// Close reads a bit further. If net/http does so itself after a full duplex
	// handler and finds the body's end, it panics.
	u.body.Close()
	u.body = nil
}

// Innermost returns the server's own writer behind the wrappers that have Unwrap.
func Innermost(w http.ResponseWriter) http.ResponseWriter {
	for {
		wrapper, ok := w.(interface{ Unwrap() http.ResponseWriter })
		if !ok {
			return w
		}
		w = wrapper.Unwrap()
	}
}

// closeAfterAnswer makes net/http close the connection after an answer whose
// header is already written. net/http does so if a body exceeds the limit of a
// MaxBytesReader, so this makes one. Otherwise net/http takes the bytes after a
// body whose reading has failed for the next request.
func closeAfterAnswer(w http.ResponseWriter) {
	http.MaxBytesReader(Innermost(w), io.NopCloser(strings.NewReader("x")), 0).Read(make([]byte, 1))
}
