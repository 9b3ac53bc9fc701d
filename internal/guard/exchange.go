package guard

import (
	"context"
	"io"
	"net/http"
	"time"

	"github.com/tus/tusd/internal/deadline"
)

// exchange is one request and its answer. It does not expose the server's own
// writer, so that deadlines are set only here.
type exchange struct {
	writer    http.ResponseWriter
	r         *http.Request
	guard     *Guard
	cancel    context.CancelFunc
	control   *http.ResponseController
	deadlines deadline.Request
	body      body
	unread    deadline.UnreadBody
	status    int
	written   int64
}

func newExchange(w http.ResponseWriter, r *http.Request, idle time.Duration) *exchange {
	x := &exchange{writer: w, control: http.NewResponseController(w), r: r}
	x.deadlines.Init(x.control, idle, x)
	has := r.ContentLength != 0 && r.Body != nil && r.Body != http.NoBody
	x.deadlines.Start(has)
	if deadline.AmbiguousEnd(r) {
		w.Header().Set("Connection", "close")
	}
	if has {
		x.body = body{src: r.Body, deadlines: &x.deadlines}
		own := *r
		own.Body = &x.body
		x.r = &own
	}
	return x
}

// WarnDeadlines is called if no deadlines can be set, as in tests without a
// connection.
func (x *exchange) WarnDeadlines(error) {}

func (x *exchange) Header() http.Header { return x.writer.Header() }

func (x *exchange) WriteHeader(status int) {
	if status >= 200 && x.status == 0 {
		x.status = status
		x.leaveBody()
	}
	x.deadlines.BeforeWrite()
	x.writer.WriteHeader(status)
}

// leaveBody decides what happens to the unread rest of the body.
func (x *exchange) leaveBody() {
	b := &x.body
	if b.src == nil || b.err == io.EOF || x.r.ProtoMajor != 1 {
		return
	}
	if x.Header().Get("Content-Length") == "" {
		// The end of the answer is sent after the handler has returned: net/http
		// then closes the connection, under the last deadline.
		x.Header().Set("Connection", "close")
		return
	}
	r := *x.r
	r.Body = b.src
	x.unread = deadline.Leave(x.writer, x.control, &r, r.ContentLength-b.n, b.begun, b.err != nil || x.deadlines.Aborted() != nil)
}

// Write removes the write deadline afterwards: a stream may pause.
func (x *exchange) Write(p []byte) (int, error) {
	if x.status == 0 {
		x.WriteHeader(http.StatusOK)
	}
	x.deadlines.BeforeWrite()
	n, err := x.writer.Write(p)
	x.written += int64(n)
	x.deadlines.AfterWrite()
	return n, err
}

// FlushError sends what has been written so far.
func (x *exchange) FlushError() error {
	x.deadlines.BeforeWrite()
	err := x.control.Flush()
	x.deadlines.AfterWrite()
	return err
}

// Flush is FlushError for callers that know only http.Flusher.
func (x *exchange) Flush() { x.FlushError() }

// end sends the rest of the answer, and reads what the connection needs for its
// next request.
func (x *exchange) end() {
	http1 := x.r.ProtoMajor == 1
	x.deadlines.BeforeWrite() // for what net/http sends itself, too
	if x.status != 0 {
		if http1 || x.written > 0 {
			x.control.Flush()
		}
		x.unread.Drain(&x.deadlines)
	}
	x.deadlines.Close(http1)
	x.guard.remove(x)
	x.cancel()
}

// maxBody is how many bytes of a body the pages can read.
const maxBody = 1 << 20

// body is the content of a request, under the read deadline.
type body struct {
	src       io.ReadCloser
	deadlines *deadline.Request
	begun     bool
	n         int64
	err       error // sticky
}

func (b *body) Read(p []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	b.begun = true
	if b.err = b.deadlines.BeforeRead(time.Now()); b.err != nil {
		return 0, b.err
	}
	n, err := b.src.Read(p)
	b.n += int64(n)
	if b.err = err; err == io.EOF {
		b.deadlines.AfterRead()
	} else if err == nil && b.n > maxBody {
		b.err = &http.MaxBytesError{Limit: maxBody}
	}
	return n, b.err
}

// Close does nothing: end closes the body.
func (b *body) Close() error { return nil }
