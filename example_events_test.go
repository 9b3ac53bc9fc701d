package tusd_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// eventQueue passes events to one goroutine.
type eventQueue struct {
	events chan tusd.Event
	done   chan struct{}
}

// Send waits only while the queue is full. An error makes the handler send a post-finish
// again; other events are lost then.
func (q *eventQueue) Send(ctx context.Context, event tusd.Event) error {
	select {
	case q.events <- event:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// Close is called by Shutdown, after the last event.
func (q *eventQueue) Close() { close(q.events) }

func (q *eventQueue) run() {
	defer close(q.done)
	for event := range q.events {
		fmt.Println(event.Type, event.Upload.Offset, "of", event.Upload.Size, "bytes")
	}
}

// Get the events of all uploads. A queue in memory is lost if the process dies: a program
// that must not lose a post-finish has stored it when Send returns.
func ExampleEventSink() {
	queue := &eventQueue{events: make(chan tusd.Event, 100), done: make(chan struct{})}
	go queue.run()
	composer := tusd.NewStoreComposer()
	storetest.NewMemory().UseIn(composer) // for tests; a program uses filestore or s3store
	handler, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, Events: queue})
	if err != nil {
		panic(err)
	}

	r := httptest.NewRequest("POST", "/", strings.NewReader("hello")) // create, with all of the content
	r.Header.Set("Tus-Resumable", "1.0.0")
	r.Header.Set("Upload-Length", "5")
	r.Header.Set("Content-Type", "application/offset+octet-stream")
	handler.ServeHTTP(httptest.NewRecorder(), r)

	handler.Shutdown(context.Background())
	<-queue.done
	// Output:
	// post-create 0 of 5 bytes
	// post-receive 5 of 5 bytes
	// post-finish 5 of 5 bytes
}
