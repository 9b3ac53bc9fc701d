package protocoltest

import (
	"testing"

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
