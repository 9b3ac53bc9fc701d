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

// failingCallbacks: none of these is an answer.
var failingCallbacks = map[string]failingCallback{
	"status 1": answering(1), "status 99": answering(99), "status 101": answering(101), "status 199": answering(199),
	"status 600": answering(600), "status 9999": answering(9999), "status -200": answering(-200),
	"refusal with status 99": refusesWith(99), "refusal with status 1000": refusesWith(1000),
	"a panic": panicking("on purpose"), "a panic that ends the request": panicking(http.ErrAbortHandler), "an error as panic": panicking(errors.New("on purpose")),
}

// A callback that panics or answers with a status that HTTP does not have has
// failed: that passes, nothing stays locked, and no record says otherwise.
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
			l := live(t, storetest.NewMemory(), tusd.Callbacks{
				PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
					response, err := once()
					return response, tusd.FileInfoChanges{}, err
				},
				PreFinish:    func(context.Context, tusd.Event) (tusd.HTTPResponse, error) { return once() },
				PreTerminate: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) { return once() },
			})
			broken.Store(true)
			l.want(l.send("POST", "/files/", "", "Upload-Length", "3"), 500)
			u := l.create(3)
			broken.Store(true)
			l.want(l.patch(u, 0, "abc"), 503)
			l.eventually("the upload is finished", func() bool { return l.patch(u, 3, "").StatusCode == 204 })
			if a := l.want(l.send("HEAD", u, ""), 200); a.Header.Get("Upload-Offset") != "3" {
				t.Errorf("the upload is at %s", a.Header.Get("Upload-Offset"))
			}
			broken.Store(true)
			l.want(l.send("DELETE", u, ""), 500)
			l.want(l.send("DELETE", u, ""), 204)
		})
	}
}

// The same while a final is built: its partials are free again, and the final can
// be asked for once more.
func TestFailingCallbacksOfFinals(t *testing.T) {
	for name, fail := range failingCallbacks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var broken atomic.Bool
			l := live(t, storetest.NewMemory(), tusd.Callbacks{
				PreFinish: func(_ context.Context, event tusd.Event) (tusd.HTTPResponse, error) {
					if broken.Load() && event.Upload.IsFinal {
						return fail()
					}
					return tusd.HTTPResponse{}, nil
				},
			})
			partial := l.create(3, "Upload-Concat", "partial")
			l.want(l.patch(partial, 0, "abc"), 204)
			broken.Store(true)
			a := l.send("POST", "/files/", "", "Upload-Concat", "final;"+partial)
			if a.StatusCode < 500 {
				t.Errorf("a final whose callback fails: status %d (%s)", a.StatusCode, a.body)
			}
			broken.Store(false)
			var u string
			l.eventually("the final is built", func() bool {
				a := l.send("POST", "/files/", "", "Upload-Concat", "final;"+partial)
				u = a.Header.Get("Location")
				return a.StatusCode == 201
			})
			l.eventually("the final has its bytes", func() bool { return l.send("HEAD", u, "").Header.Get("Upload-Offset") == "3" })
			l.want(l.send("DELETE", u, ""), 204)
			l.want(l.send("DELETE", partial, ""), 204)
		})
	}
}

// A callback of access that panics locks nobody out.
func TestFailingAccess(t *testing.T) {
	var fail failingCallback
	l := live(t, storetest.NewMemory(), tusd.Callbacks{PreAccess: func(context.Context, tusd.Event) error {
		if fail == nil {
			return nil
		}
		_, err := fail()
		return err
	}})
	u := l.create(3)
	for name, broken := range map[string]failingCallback{
		"a panic": panicking("on purpose"), "a panic that ends the request": panicking(http.ErrAbortHandler), "refusal with status 99": refusesWith(99),
	} {
		fail = broken
		for method, status := range map[string]int{"HEAD": 423, "GET": 503, "DELETE": 500} {
			if a := l.send(method, u, ""); a.StatusCode != status {
				t.Errorf("%s: %s: status %d, want %d (%s)", name, method, a.StatusCode, status, a.body)
			}
		}
		fail = nil
		l.want(l.send("HEAD", u, ""), 200)
	}
}
