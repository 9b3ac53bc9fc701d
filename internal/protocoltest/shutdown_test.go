package protocoltest

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

func TestShutdownKeepsWhatArrived(t *testing.T) {
	store := storetest.NewMemory()
	e := serve(t, store, tusd.Config{})
	path := e.create(100)
	patch := e.openNow(path, 0, 100)
	patch.send([]byte("hello"))
	e.eventually("the bytes are received", func() bool { return recordOf(t, store, path).Offset == 5 })
	if err := e.handler.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	patch.answer().status(503).code("ERR_SERVER_SHUTDOWN").headerMatches("Retry-After", ".")
	next := serve(t, store, tusd.Config{})
	if a := next.head(path).status(200); a.Header.Get("Upload-Offset") != "5" {
		t.Errorf("offset after the restart: %s, want 5", a.Header.Get("Upload-Offset"))
	}
}

// interruptedBuild concatenates nothing at its first call: it waits for the end of its context.
type interruptedBuild struct {
	*storetest.Memory
	interrupted atomic.Bool
	began       chan struct{}
}

func (s *interruptedBuild) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	if s.interrupted.Swap(true) {
		return s.Memory.Concat(ctx, final, partials)
	}
	close(s.began)
	<-ctx.Done()
	return ctx.Err()
}

// Shutdown interrupts the build for which the POST of a final waits. The client retries, and the
// next server continues the build.
func TestShutdownInterruptsABuild(t *testing.T) {
	store := &interruptedBuild{Memory: storetest.NewMemory(), began: make(chan struct{})}
	e := serve(t, store, tusd.Config{GracePeriod: time.Millisecond}, buildTimeout(time.Hour))
	partial := e.createPartial([]byte("ab"))
	posted := make(chan *answer, 1)
	go func() { posted <- e.another().postFinal(partial) }()
	await(t, store.began)
	if err := e.handler.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	(<-posted).status(503).code("ERR_SERVER_SHUTDOWN").headerMatches("Retry-After", ".")
	next := serve(t, store, tusd.Config{})
	final := next.postFinal(partial).status(201).location()
	next.waitForFinal(final)
	next.wantFinal(final, partial, []byte("ab"))
}
