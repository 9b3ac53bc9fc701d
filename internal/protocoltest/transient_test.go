package protocoltest

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// A client gives up an upload after a wrong status. So each transient error has its status
// for each method.
func TestTransientErrors(t *testing.T) {
	runOn(t, memoryStore, protocols, []scenario{
		{"store_unreachable", "an unreachable store: HEAD 423, GET 503, else 5xx, all with Retry-After, and the answer does not tell the cause", storeUnreachable},
		{"locker_unreachable", "an unreachable lock service: HEAD 423, else 503 ERR_LOCK_SERVICE_UNAVAILABLE, with Retry-After; reading needs no lock", lockerUnreachable},
		{"lock_timeout", "a holder that does not release its lock: 423 ERR_LOCK_TIMEOUT with Retry-After", lockTimesOut},
		{"store_fails_creation", "a store that fails a creation: 5xx with Retry-After, and no Location", creationUnreachable},
		{"finishing_fails", "while finishing fails HEAD is 423 and GET 503; once it succeeds the upload is complete", finishFailsForAWhile},
		{"shutdown", "a shutdown ends a running PATCH with 503 ERR_SERVER_SHUTDOWN, its bytes kept", serverShutsDown},
		{"never_these", "no transient error is 400, 408 or 429", permanentErrors},
		{"events_in_order", "the events of an upload are in order, each once", eventsInOrder},
	})
}

var errSecret = errors.New("secret: disk /dev/sdz is on fire")

// failingStore fails while failing is set.
type failingStore struct {
	tusd.DataStore
	failing atomic.Bool
}

func (s *failingStore) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	if s.failing.Load() {
		return nil, errSecret
	}
	return s.DataStore.NewUpload(ctx, lease, info)
}

func (s *failingStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	if s.failing.Load() {
		return nil, errSecret
	}
	return s.DataStore.GetUpload(ctx, lease, id)
}

func (e *env) failing() *failingStore {
	store := &failingStore{DataStore: e.config.StoreComposer.Core}
	e.config.StoreComposer.Core = store
	return store
}

func storeUnreachable(e *env) {
	store := e.failing()
	u := e.create(100)
	store.failing.Store(true)
	e.head(u).status(423)
	e.get(u, version).status(503)
	e.do(http.MethodHead, u, nil).status(423)
	e.get(u).status(503)
	a := e.patch(u, 0, content(10)).status(500, 503).code("ERR_INTERNAL_SERVER_ERROR")
	if strings.Contains(string(a.Body), "secret") {
		e.Errorf("the answer tells the cause: %s", a.Body)
	}
	store.failing.Store(false)
	e.wantOffset(u, 0)
	e.patch(u, 0, content(100)).status(204)
}

// failingLocker is a lock service that can be unreachable.
type failingLocker struct {
	tusd.LocalLocker
	failing atomic.Bool
}

func (l *failingLocker) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	if l.failing.Load() {
		return nil, errSecret
	}
	return l.LocalLocker.Lock(ctx, id, mode)
}

func lockerUnreachable(e *env) {
	locker := &failingLocker{}
	e.config.StoreComposer.UseLocker(locker)
	u := e.create(100)
	locker.failing.Store(true)
	const code = "ERR_LOCK_SERVICE_UNAVAILABLE"
	e.head(u).status(423).header("Retry-After", "1")
	if a := e.patch(u, 0, content(10)).status(503).code(code).header("Retry-After", "1"); strings.Contains(string(a.Body), "secret") {
		e.Errorf("the answer tells the cause: %s", a.Body)
	}
	e.terminate(u).status(503).code(code).header("Retry-After", "1")
	e.post("Upload-Length: 100").status(503).code(code).without("Location")
	e.get(u, version).status(409)
	locker.failing.Store(false)
	e.wantOffset(u, 0)
}

func lockTimesOut(e *env) {
	locker := &tusd.LocalLocker{}
	e.config.StoreComposer.UseLocker(locker)
	e.config.AcquireLockTimeout = 30 * time.Millisecond
	u := e.create(100)
	lease, err := locker.Lock(e.Context(), idOf(u), tusd.LockPreempt)
	if err != nil {
		e.Fatal(err)
	}
	e.head(u).status(423)
	e.patch(u, 0, content(10)).status(423).code("ERR_LOCK_TIMEOUT")
	e.terminate(u).status(423).code("ERR_LOCK_TIMEOUT")
	e.get(u, version).status(409) // reading takes no lock
	if err := lease.Unlock(e.Context()); err != nil {
		e.Fatal(err)
	}
	e.wantOffset(u, 0)
}

func creationUnreachable(e *env) {
	store := e.failing()
	store.failing.Store(true)
	e.post("Upload-Length: 100").status(500, 503).without("Location")
	e.postWith(content(10), "Upload-Length: 10").status(500, 503).without("Location")
	store.failing.Store(false)
	e.wantNoUploads()
}

func finishFailsForAWhile(e *env) {
	var fail atomic.Bool
	fail.Store(true)
	e.config.Callbacks.PreFinish = func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
		if fail.Load() {
			return tusd.HTTPResponse{}, errSecret
		}
		return tusd.HTTPResponse{}, nil
	}
	u := e.create(100)
	if a := e.patch(u, 0, content(100)); a.Status != 423 && a.Status/100 != 5 {
		e.Errorf("the PATCH whose finishing fails got %d, want a transient error", a.Status)
	}
	e.head(u).status(423)
	e.get(u, version).status(503)
	fail.Store(false)
	e.eventually("the upload is complete", func() bool { return e.head(u).status(200, 423).Status == 200 })
	e.get(u).status(200)
}

func serverShutsDown(e *env) {
	u := e.create(100)
	s := e.another().open(u, 0, 100)
	s.sendAndSee(content(100)[:30])
	if err := e.handler.Shutdown(e.Context()); err != nil {
		e.Errorf("Shutdown: %v", err)
	}
	s.answer().status(503).code("ERR_SERVER_SHUTDOWN").header("Retry-After", "1")
	e.waitIdle()
	e.restart()
	e.wantOffset(u, 30)
}

func permanentErrors(e *env) {
	store := e.failing()
	u := e.create(100)
	store.failing.Store(true)
	for _, a := range []*answer{e.head(u), e.patch(u, 0, content(10)), e.terminate(u), e.post("Upload-Length: 1"), e.get(u)} {
		if slices.Contains([]int{400, 408, 429}, a.Status) {
			e.Errorf("%s: status %d makes clients give up", a.request, a.Status)
		}
	}
}

func eventsInOrder(e *env) {
	e.start()
	subscription := e.handler.Subscribe(100)
	u := e.create(100)
	e.patch(u, 0, content(40)).status(204)
	e.patch(u, 40, content(60)).status(204)
	e.head(u).status(200)
	e.terminate(u).status(204)
	e.waitIdle()
	e.stop() // closes the subscription
	var got []tusd.EventType
	for event := range subscription.C {
		if event.Upload.ID != idOf(u) {
			e.Errorf("%s is of upload %q, want %q", event.Type, event.Upload.ID, idOf(u))
		}
		if event.Type != tusd.EventPostReceive { // told by the clock
			got = append(got, event.Type)
		}
	}
	want := []tusd.EventType{tusd.EventPostCreate, tusd.EventPostFinish, tusd.EventPostTerminate}
	if !slices.Equal(got, want) {
		e.Errorf("events %q, want %q", got, want)
	}
}
