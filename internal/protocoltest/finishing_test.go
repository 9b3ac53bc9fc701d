package protocoltest

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

func TestPreFinishIsTriedAgain(t *testing.T) {
	store := storetest.NewMemory()
	var attempts atomic.Int32
	release := make(chan struct{})
	e := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{
		PreFinish: func(_ context.Context, event tusd.Event) (tusd.HTTPResponse, error) {
			if !event.Upload.Full() {
				t.Errorf("asked about an upload at %d of %d", event.Upload.Offset, event.Upload.Size)
			}
			if attempts.Add(1) > 1 {
				<-release
				return tusd.HTTPResponse{}, nil
			}
			return tusd.HTTPResponse{}, errors.New("not now")
		},
	}})
	path := e.create(5)
	if a := e.patch(path, 0, []byte("hello")).status(503); a.Header.Get("Retry-After") == "" || !strings.HasPrefix(string(a.Body), "ERR_FINISH_FAILED: ") {
		t.Errorf("first attempt: %q", a.Body)
	}
	if a := e.head(path).status(423); a.Header.Get("Retry-After") == "" || a.Header.Get("Upload-Offset") != "" {
		t.Errorf("HEAD while finishing: %v", a.Header)
	}
	e.patch(path, 5, nil).status(423)
	e.get(path, version).status(503)
	close(release)
	e.eventually("HEAD is 200", func() bool { return e.head(path).Status == 200 })
	e.patch(path, 5, nil).status(204)
	if n := attempts.Load(); n != 2 {
		t.Errorf("%d attempts, want 2", n)
	}
	if names, _, err := store.ListSideRecords(t.Context(), "finishing", "", 10); err != nil || len(names) != 0 {
		t.Errorf("side records left: %v, %v", names, err)
	}
}

func TestPreFinishRefusalIsKept(t *testing.T) {
	store := storetest.NewMemory()
	callbacks := tusd.Callbacks{
		PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			return tusd.HTTPResponse{}, tusd.ErrUploadRejected.Refuse(tusd.HTTPResponse{StatusCode: 422, Body: "virus", Header: map[string]string{"X-Why": "scan"}})
		},
	}
	e := serve(t, store, tusd.Config{Callbacks: callbacks})
	path := e.create(5)
	check := func(method string, body []byte, header ...string) {
		t.Helper()
		a := e.raw(method, path, body, append(header, version)...).status(422)
		if a.Header.Get("X-Why") != "scan" || method != "HEAD" && string(a.Body) != "virus" {
			t.Errorf("%s: %q %v", method, a.Body, a.Header)
		}
	}
	check("PATCH", []byte("hello"), octets, "Upload-Offset: 0")
	e.stop()
	e = serve(t, store, tusd.Config{}) // the answer is with the upload, not with the callback
	check("HEAD", nil)
	check("PATCH", nil, octets, "Upload-Offset: 5")
	check("GET", nil)
	e.terminate(path).status(204)
	e.head(path).status(404)
}

func TestFinishingOutlivesTheClientAndTheServer(t *testing.T) {
	store := storetest.NewMemory()
	asked, answer := make(chan struct{}, 1), make(chan error)
	e := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{
		PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			asked <- struct{}{}
			return tusd.HTTPResponse{}, <-answer
		},
	}})
	path := e.create(5)
	patch := e.openNow(path, 0, 5)
	patch.send([]byte("hello"))
	<-asked
	_ = patch.Abort()
	e.drop()
	answer <- errors.New("the machine is about to stop") // the first server gives up on it
	<-asked                                              // tries again
	go func() { answer <- errors.New("still") }()
	e.stop()

	var finished atomic.Int32
	second := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{
		PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			finished.Add(1)
			return tusd.HTTPResponse{}, nil
		},
	}})
	// No request starts the finish, the side record does.
	second.eventually("the next server finishes it", func() bool { return finished.Load() == 1 })
	second.eventually("HEAD is 200", func() bool { return second.head(path).Status == 200 })
	if n := finished.Load(); n != 1 {
		t.Errorf("finished %d times", n)
	}
}

func TestRequestStartsTheFinishOfAFullUpload(t *testing.T) {
	store := storetest.NewMemory()
	store.UseIn(tusd.NewStoreComposer())
	first := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
		return tusd.HTTPResponse{}, errors.New("never here")
	}}})
	path := first.create(5)
	first.patch(path, 0, []byte("hello")).status(503)
	first.stop()
	names, _, err := store.ListSideRecords(t.Context(), "finishing", "", 10)
	if err != nil || len(names) != 1 {
		t.Fatalf("side records: %v, %v", names, err)
	}
	if err := store.DeleteSideRecord(t.Context(), tusd.SideRecordKey{Kind: "finishing", Name: names[0]}); err != nil { // as if it crashed before
		t.Fatal(err)
	}
	second := serve(t, store, tusd.Config{})
	second.head(path).status(423)
	second.eventually("HEAD is 200", func() bool { return second.head(path).Status == 200 })
}
