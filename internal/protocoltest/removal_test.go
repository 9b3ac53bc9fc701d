package protocoltest

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// A program removes uploads in any state. The events are those of a DELETE, with another
// reason.
func TestTerminateByTheProgram(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		s := new(sink)
		asked := false
		e := serve(t, store, tusd.Config{Events: s, Callbacks: tusd.Callbacks{
			PreTerminate: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
				asked = true
				return tusd.HTTPResponse{}, nil
			},
		}})
		fresh, half, full := e.create(5), e.create(5), e.createFull([]byte("hello"))
		e.patch(half, 0, []byte("he")).status(204)
		for i, path := range []string{fresh, half, full} {
			remove := e.handler.Terminate
			if i%2 == 1 {
				remove = e.handler.TryTerminate
			}
			if err := remove(t.Context(), idOf(path)); err != nil {
				t.Errorf("Terminate: %v", err)
			}
			e.head(path).status(404)
			if err := remove(t.Context(), idOf(path)); !errors.Is(err, tusd.ErrNotFound) {
				t.Errorf("Terminate of a removed upload: %v", err)
			}
			if _, err := e.handler.Info(t.Context(), idOf(path)); !errors.Is(err, tusd.ErrNotFound) {
				t.Errorf("Info of a removed upload: %v", err)
			}
		}
		for _, event := range s.events {
			if event.Type == tusd.EventPostTerminate && (event.Reason != tusd.RemovedByOperator || event.HTTPRequest.Method != "") {
				t.Errorf("post-terminate with reason %q and request %q", event.Reason, event.HTTPRequest.Method)
			}
		}
		if n := s.count(tusd.EventPostTerminate); n != 3 || asked {
			t.Errorf("%d events, callback asked: %t", n, asked)
		}
		if err := e.handler.Terminate(t.Context(), "../x"); !errors.Is(err, tusd.ErrInvalidID) {
			t.Errorf("Terminate of an invalid id: %v", err)
		}
		e.stop()
		if err := e.handler.Terminate(t.Context(), "x"); !errors.Is(err, tusd.ErrServerShutdown) {
			t.Errorf("Terminate after Shutdown: %v", err)
		}
	})
}

// A partial that an unfinished final needs cannot be removed, and no request is interrupted for
// that. After a day the final fails, unless the callback refuses the removal.
func TestRemovalKeepsTheDutiesToFinals(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		refuse := true
		e := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{
			PreTerminate: func(_ context.Context, event tusd.Event) (tusd.HTTPResponse, error) {
				if event.Reason != tusd.RemovedByClient {
					t.Errorf("reason %q", event.Reason)
				}
				if refuse {
					return tusd.HTTPResponse{}, tusd.ErrTerminationRejected
				}
				return tusd.HTTPResponse{}, nil
			},
		}})
		_, open, final := e.pendingFinal()
		patch := e.another().openNow(open, 1, 2)
		patch.sendAndSee([]byte("d"))
		if err := e.handler.Terminate(t.Context(), idOf(open)); !errors.Is(err, tusd.ErrPartialInUse) {
			t.Errorf("Terminate of a partial that is needed: %v", err)
		}
		patch.send([]byte("e"))
		patch.answer().status(204)
		e.waitForFinal(final)

		_, open, final = e.pendingFinal()
		e.ahead.Store(int64(25 * time.Hour))
		e.terminate(open).status(400)
		e.head(final).status(200)
		e.complete(open)
		e.waitForFinal(final) // the refused removal has not failed it

		e.ahead.Store(0)
		_, open, final = e.pendingFinal()
		e.ahead.Store(int64(25 * time.Hour))
		refuse = false
		e.terminate(open).status(204)
		e.head(final).status(410)
	})
}

// TryTerminate does not touch an upload that a request uses; Terminate interrupts the
// request, whose client learns that the upload is gone.
func TestTerminateBesideARunningRequest(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	for _, draft := range []bool{false, true} {
		path := e.create(10)
		var patch *openRequest
		if !draft {
			patch = e.another().openNow(path, 0, 10)
		} else {
			path = e.ietf(9).create(false, nil).status(201).location()
			patch = e.another().openMethod("PATCH", path, 10, "Upload-Draft-Interop-Version: 9", "Upload-Offset: 0", "Upload-Complete: ?0", appendType)
		}
		patch.sendAndSee([]byte("hello"))
		if err := e.handler.TryTerminate(t.Context(), idOf(path)); !errors.Is(err, tusd.ErrUploadLocked) {
			t.Errorf("TryTerminate: %v", err)
		}
		patch.sendAndSee([]byte("w"))
		if err := e.handler.Terminate(t.Context(), idOf(path)); err != nil {
			t.Errorf("Terminate: %v", err)
		}
		if a, err := patch.Answer(); err != nil || a.Status != 410 || !strings.Contains(string(a.Body), "ERR_UPLOAD_TERMINATED") {
			t.Errorf("the interrupted request gets %d %s, %v", a.Status, a.Body, err)
		}
		e.raw("HEAD", path, nil, version).status(404)
	}
}

// Clients write, and the program removes: each removal that returns nil is final, each
// upload that stays has what was acknowledged.
func TestTerminateBesideClients(t *testing.T) {
	const uploads, rounds = 4, 1000
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	var work sync.WaitGroup
	for i := range uploads {
		removeOften := e.handler.Terminate
		if i%2 == 1 {
			removeOften = e.handler.TryTerminate
		}
		c := e.another()
		path := make(chan string)
		removed := make(chan error)
		work.Go(func() { // the program
			for p := range path {
				removed <- removeOften(t.Context(), idOf(p))
			}
			close(removed)
		})
		work.Go(func() { // the client
			defer close(path)
			for range rounds / uploads {
				p := c.create(6)
				path <- p
				acknowledged, gone := int64(0), false
				for acknowledged < 6 && !gone {
					a := c.patch(p, acknowledged, make([]byte, 1+rand.IntN(3)))
					switch a.Status {
					case 204:
						acknowledged = mustInt(t, a.Header.Get("Upload-Offset"))
					case 404, 410:
						gone = true
					case 400, 413: // too long: nothing is stored
					case 423, 503:
					default:
						t.Errorf("PATCH beside a removal: status %d", a.Status)
						gone = true
					}
				}
				err := <-removed
				switch {
				case err == nil:
					c.head(p).status(404)
				case errors.Is(err, tusd.ErrUploadLocked) && i%2 == 1:
					if !gone {
						c.wantOffset(p, acknowledged)
					} else {
						t.Error("gone, although the removal was refused")
					}
				default:
					t.Errorf("the removal: %v", err)
				}
			}
		})
	}
	work.Wait()
}

func mustInt(t *testing.T, s string) (n int64) {
	t.Helper()
	for _, c := range []byte(s) {
		if !slices.Contains([]byte("0123456789"), c) {
			t.Errorf("%q is no number", s)
		}
		n = 10*n + int64(c-'0')
	}
	return n
}

// A sweep of the program does not remove an upload before its post-finish is sent.
func TestTryTerminateWaitsForPostFinish(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		var works atomic.Bool
		s := &sink{onSend: func(ctx context.Context, event tusd.Event) error {
			if works.Load() {
				return nil
			}
			return refusingFinish(ctx, event)
		}}
		e := serve(t, store, tusd.Config{Events: s})
		path, lost := e.createFull([]byte("hello")), e.createFull([]byte("hello"))
		for _, p := range []string{path, lost} {
			if err := e.handler.TryTerminate(t.Context(), idOf(p)); !errors.Is(err, tusd.ErrUploadFinishing) && !errors.Is(err, tusd.ErrUploadLocked) {
				t.Errorf("TryTerminate before post-finish: %v", err)
			}
			e.head(p).status(200)
		}
		if err := e.handler.Terminate(t.Context(), idOf(lost)); err != nil {
			t.Errorf("Terminate before post-finish: %v", err)
		}
		works.Store(true)
		e.eventually("post-finish is sent", func() bool { return slices.Contains(s.of(idOf(path)), "post-finish 5") })
		e.eventually("the upload can be removed", func() bool { return e.handler.TryTerminate(t.Context(), idOf(path)) == nil })
		if slices.Contains(s.of(idOf(lost)), "post-finish 5") {
			t.Error("post-finish of a removed upload")
		}
		wantNoFinishRecords(t, store)
	})
}
