package protocoltest

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// endedBody is a body that has ended when a newer request preempts the PATCH, but the handler
// has not read the end yet.
type endedBody struct {
	io.ReadCloser
	ask     func() // lets the newer request ask
	aborted <-chan struct{}
	once    sync.Once
}

func (b *endedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == io.EOF {
		b.once.Do(func() {
			b.ask()
			<-b.aborted
		})
	}
	return n, err
}

// deadlineWatch closes aborted when a read deadline has passed.
type deadlineWatch struct {
	http.ResponseWriter
	aborted chan struct{}
	once    sync.Once
}

func (w *deadlineWatch) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *deadlineWatch) SetReadDeadline(t time.Time) error {
	err := http.NewResponseController(w.ResponseWriter).SetReadDeadline(t)
	if !t.IsZero() && time.Until(t) < time.Second {
		w.once.Do(func() { time.AfterFunc(time.Until(t), func() { close(w.aborted) }) })
	}
	return err
}

// A read deadline that passes after the end of a body would cancel the context of the next
// request on the connection. So the handler closes the connection.
func TestAbortBehindTheEndOfABody(t *testing.T) {
	e := newEnvOn(t, storetest.NewMemory(), tusd.Config{})
	newer := e.another()
	var done sync.WaitGroup
	e.outermost = func(next http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.Method == http.MethodPatch {
				watch := &deadlineWatch{ResponseWriter: w, aborted: make(chan struct{})}
				w = watch
				r.Body = &endedBody{ReadCloser: r.Body, aborted: watch.aborted, ask: func() {
					done.Go(func() { newer.raw(http.MethodHead, r.URL.Path, nil, version) })
				}}
			}
			next.ServeHTTP(w, r)
		})
	}
	answer := e.patch(e.create(10), 0, []byte("a"))
	done.Wait()
	if !answer.Close {
		t.Errorf("status %d, and the connection is kept", answer.Status)
	}
}
