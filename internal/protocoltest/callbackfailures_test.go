package protocoltest

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// failingCallback is a callback that fails in one way.
type failingCallback func() (tusd.HTTPResponse, error)

func refusesWith(status int) failingCallback {
	return func() (tusd.HTTPResponse, error) {
		return tusd.HTTPResponse{}, tusd.ErrUploadRejected.Refuse(tusd.HTTPResponse{StatusCode: status})
	}
}

func answering(status int) failingCallback {
	return func() (tusd.HTTPResponse, error) { return tusd.HTTPResponse{StatusCode: status}, nil }
}

func panicking(value any) failingCallback {
	return func() (tusd.HTTPResponse, error) { panic(value) }
}

// failingCallbacks are callbacks that fail in each way, by name.
var failingCallbacks = map[string]failingCallback{
	"status 1": answering(1), "status 99": answering(99), "status 101": answering(101), "status 199": answering(199),
	"status 600": answering(600), "status 9999": answering(9999), "status -200": answering(-200),
	"refusal with status 99": refusesWith(99), "refusal with status 1000": refusesWith(1000),
	"a panic": panicking("on purpose"), "a panic that ends the request": panicking(http.ErrAbortHandler), "an error as panic": panicking(errors.New("on purpose")),
}

// A callback that panics or answers with a status that HTTP does not have has failed: the
// error is transient, the lock is released, and the record does not change.
func TestFailingCallbacks(t *testing.T) {
	for name, fail := range failingCallbacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			once := func() (tusd.HTTPResponse, error) {
				if broken.CompareAndSwap(true, false) {
					return fail()
				}
				return tusd.HTTPResponse{}, nil
			}
			e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
				PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
					response, err := once()
					return response, tusd.FileInfoChanges{}, err
				},
				PreFinish:    func(context.Context, tusd.Event) (tusd.HTTPResponse, error) { return once() },
				PreTerminate: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) { return once() },
			}})
			broken.Store(true)
			e.post("Upload-Length: 3").status(500)
			u := e.create(3)
			broken.Store(true)
			e.patch(u, 0, []byte("abc")).status(503)
			e.eventually("the upload is finished", func() bool { return e.patch(u, 3, nil).Status == 204 })
			if a := e.head(u).status(200); a.Header.Get("Upload-Offset") != "3" {
				t.Errorf("the upload is at %s", a.Header.Get("Upload-Offset"))
			}
			broken.Store(true)
			e.terminate(u).status(500)
			e.terminate(u).status(204)
		})
	}
}

// The same is true while a final is built: its partials are unlocked, and the final can be
// created again.
func TestFailingCallbacksOfFinals(t *testing.T) {
	for name, fail := range failingCallbacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
				PreFinish: func(_ context.Context, event tusd.Event) (tusd.HTTPResponse, error) {
					if broken.Load() && event.Upload.IsFinal {
						return fail()
					}
					return tusd.HTTPResponse{}, nil
				},
			}})
			partial := e.create(3, "Upload-Concat: partial")
			e.patch(partial, 0, []byte("abc")).status(204)
			broken.Store(true)
			a := e.postFinal(partial)
			if a.Status < 500 {
				t.Errorf("a final whose callback fails: status %d (%s)", a.Status, a.Body)
			}
			broken.Store(false)
			var u string
			e.eventually("the final is built", func() bool {
				a := e.postFinal(partial)
				if a.Status == 201 {
					u = a.location()
				}
				return u != ""
			})
			e.eventually("the final has its bytes", func() bool { return e.head(u).Header.Get("Upload-Offset") == "3" })
			e.terminate(u).status(204)
			e.terminate(partial).status(204)
		})
	}
}

// A pre-access callback that panics refuses only this request.
func TestFailingAccess(t *testing.T) {
	var fail failingCallback
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{PreAccess: func(context.Context, tusd.Event) error {
		if fail == nil {
			return nil
		}
		_, err := fail()
		return err
	}}})
	u := e.create(3)
	for name, broken := range map[string]failingCallback{
		"a panic": panicking("on purpose"), "a panic that ends the request": panicking(http.ErrAbortHandler), "refusal with status 99": refusesWith(99),
	} {
		fail = broken
		for method, status := range map[string]int{"HEAD": 423, "GET": 503, "DELETE": 500} {
			if a := e.do(method, u, nil, version); a.Status != status {
				t.Errorf("%s: %s: status %d, want %d (%s)", name, method, a.Status, status, a.Body)
			}
		}
		fail = nil
		e.head(u).status(200)
	}
}
