package protocoltest

import (
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

func TestEventsInOrder(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	sub := e.handler.Subscribe(100)
	path := e.create(10)
	e.patch(path, 0, []byte("hello")).status(204)
	e.patch(path, 5, []byte("world")).status(204)
	e.patch(path, 10, nil).status(204) // nothing happens any more
	e.terminate(path).status(204)
	partial := e.create(2, "Upload-Concat: partial")
	e.patch(partial, 0, []byte("ab")).status(204)
	e.postFinal(partial).status(201)
	e.post("Upload-Length: 0").status(201)
	e.stop()

	var got []string
	for event := range sub.C {
		got = append(got, string(event.Type)+" "+strconv.FormatInt(event.Upload.Offset, 10))
	}
	want := []string{
		"post-create 0", "post-receive 5", "post-receive 10", "post-finish 10", "post-terminate 10",
		"post-create 0", "post-receive 2", // partial: no finish
		"post-create 0", "post-finish 2", // final
		"post-create 0", "post-finish 0", // empty
	}
	if !slices.Equal(got, want) {
		t.Errorf("events\n%q, want\n%q", got, want)
	}
}

func TestForgottenConsumerBlocksNothing(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	sub := e.handler.Subscribe(1)
	for range 5 {
		e.create(1)
	}
	if n := sub.Dropped(); n != 4 {
		t.Errorf("%d events dropped, want 4", n)
	}
}

func TestProgressWhileReceiving(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{ProgressInterval: time.Nanosecond})
	sub := e.handler.Subscribe(1000)
	path := e.create(100)
	<-sub.C
	patch := e.openNow(path, 0, -1)
	for i := int64(1); i <= 3; i++ {
		patch.send([]byte("ab"))
		if event := <-sub.C; event.Type != tusd.EventPostReceive || event.Upload.Offset != 2*i {
			t.Errorf("after %d bytes: %s at %d", 2*i, event.Type, event.Upload.Offset)
		}
	}
	patch.end()
	patch.answer()
}
