package protocoltest

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/tuning"
	"github.com/tus/tusd/storetest"
)

// sink keeps the events that it takes. The zero value takes all.
type sink struct {
	onSend func(ctx context.Context, event tusd.Event) error // nil: takes the event

	mu     sync.Mutex
	events []tusd.Event
	closed int
	late   int // calls of Send after Close
}

func (s *sink) Send(ctx context.Context, event tusd.Event) error {
	if s.onSend != nil {
		if err := s.onSend(ctx, event); err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed > 0 {
		s.late++
	}
	s.events = append(s.events, event)
	return nil
}

func (s *sink) Close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.closed++
}

// of returns the types and offsets of the events of an upload.
func (s *sink) of(id string) (list []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, event := range s.events {
		if event.Upload.ID == id {
			list = append(list, fmt.Sprint(event.Type, " ", event.Upload.Offset))
		}
	}
	return list
}

// count returns how many events of a type the sink has.
func (s *sink) count(kind tusd.EventType) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, event := range s.events {
		if event.Type == kind {
			n++
		}
	}
	return n
}

func (s *sink) closedOnce() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed == 1 && s.late == 0
}

// refusingFinish is an onSend that takes no post-finish.
func refusingFinish(_ context.Context, event tusd.Event) error {
	if event.Type == tusd.EventPostFinish {
		return errors.New("the queue is down")
	}
	return nil
}

// wantNoFinishRecords checks that nothing is left to finish or to tell.
func wantNoFinishRecords(t *testing.T, store tusd.SideRecords) {
	t.Helper()
	if names, _, err := store.ListSideRecords(t.Context(), "finishing", "", 10); err != nil || len(names) != 0 {
		t.Errorf("side records left: %v, %v", names, err)
	}
}

func TestSinkGetsEventsInOrder(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		s := new(sink)
		e := serve(t, store, tusd.Config{Events: s})
		path := e.create(10)
		e.patch(path, 0, []byte("hello")).status(204)
		e.patch(path, 5, []byte("world")).status(204)
		e.terminate(path).status(204)
		partial := e.createPartial([]byte("ab"))
		final := e.postFinal(partial).status(201).location()
		empty := e.post("Upload-Length: 0").status(201).location()
		e.stop()
		for target, want := range map[string][]string{
			path:    {"post-create 0", "post-receive 5", "post-receive 10", "post-finish 10", "post-terminate 10"},
			partial: {"post-create 0", "post-receive 2"},
			final:   {"post-create 0", "post-finish 2"},
			empty:   {"post-create 0", "post-finish 0"},
		} {
			if got := s.of(idOf(target)); !slices.Equal(got, want) {
				t.Errorf("events of %s: %q, want %q", target, got, want)
			}
		}
		if !s.closedOnce() {
			t.Errorf("closed %d times, %d events afterwards", s.closed, s.late)
		}
		wantNoFinishRecords(t, store)
	})
}

// The sink is there before the handler continues with what an earlier process has left.
func TestSinkGetsTheEventsOfTheStart(t *testing.T) {
	store := storetest.NewMemory()
	first := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
		return tusd.HTTPResponse{}, errors.New("not now")
	}}})
	path := first.create(5)
	first.patch(path, 0, []byte("hello")).status(503)
	first.stop()
	s := new(sink)
	second := serve(t, store, tusd.Config{Events: s})
	second.eventually("the event", func() bool { return slices.Equal(s.of(idOf(path)), []string{"post-finish 5"}) })
}

// A running request tells its events during the shutdown, before the sink is closed. A
// later request cannot.
func TestSinkIsClosedAfterTheLastEvent(t *testing.T) {
	s := new(sink)
	arrived, release := make(chan struct{}), make(chan struct{})
	s.onSend = func(_ context.Context, event tusd.Event) error {
		if event.Type == tusd.EventPostReceive && event.Upload.Offset == 5 {
			close(arrived)
			<-release
		}
		return nil
	}
	e := serve(t, storetest.NewMemory(), tusd.Config{Events: s})
	sub := e.handler.Subscribe(100)
	path := e.create(5)
	patch := e.openNow(path, 0, 5)
	patch.send([]byte("hello"))
	await(t, arrived)
	ended := make(chan error)
	go func() { ended <- e.handler.Shutdown(t.Context()) }()
	other := e.another()
	e.eventually("requests are refused", func() bool { return other.post("Upload-Length: none").Status == 503 }) // 400 before
	other.patch(path, 5, nil).status(503).code("ERR_SERVER_SHUTDOWN")
	select {
	case err := <-ended:
		t.Fatalf("Shutdown returns (%v) before the event is told", err)
	default:
	}
	close(release)
	patch.answer().status(204)
	if err := <-ended; err != nil {
		t.Errorf("Shutdown: %v", err)
	}
	if err := e.handler.Shutdown(t.Context()); err != nil { // closes nothing again
		t.Errorf("the second Shutdown: %v", err)
	}
	got := s.of(idOf(path))
	if !slices.Contains(got, "post-finish 5") || !s.closedOnce() {
		t.Errorf("events %q, closed %d times, %d afterwards", got, s.closed, s.late)
	}
	wantEvents(t, sub, got2types(got)...)
}

func got2types(list []string) (types []tusd.EventType) {
	for _, event := range list {
		var kind string
		var offset int64
		fmt.Sscan(event, &kind, &offset)
		types = append(types, tusd.EventType(kind))
	}
	return types
}

// If the requests do not end in time, the sink is closed when they have ended.
func TestSinkIsClosedAfterAShutdownThatTimedOut(t *testing.T) {
	s := new(sink)
	arrived, release := make(chan struct{}), make(chan struct{})
	s.onSend = func(_ context.Context, event tusd.Event) error {
		close(arrived)
		<-release
		return nil
	}
	e := serve(t, storetest.NewMemory(), tusd.Config{Events: s})
	done := make(chan *answer)
	go func() { done <- e.another().post("Upload-Length: 1") }()
	await(t, arrived)
	ctx, cancel := context.WithCancelCause(t.Context())
	tooLong := errors.New("too long")
	cancel(tooLong)
	if err := e.handler.Shutdown(ctx); !errors.Is(err, tooLong) {
		t.Errorf("Shutdown: %v, want the cause of its context", err)
	}
	if s.closed != 0 {
		t.Error("the sink is closed before the last event")
	}
	close(release)
	(<-done).status(201)
	e.eventually("the sink is closed", s.closedOnce)
}

// A sink that does not take post-finish gets it again. The upload is complete meanwhile.
func TestPostFinishIsSentUntilTheSinkTakesIt(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		s := new(sink)
		var mu sync.Mutex
		attempts := 0
		s.onSend = func(ctx context.Context, event tusd.Event) error {
			if event.Type != tusd.EventPostFinish {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			switch attempts++; attempts {
			case 1:
				return tusd.ErrNotFound // it looks like a refusal, and is none
			case 2:
				panic("the sink is broken")
			case 3:
				return errors.New("not yet")
			}
			if event.HTTPRequest.Method != "PATCH" {
				t.Errorf("the event has the request %q", event.HTTPRequest.Method)
			}
			return nil
		}
		e := serve(t, store, tusd.Config{Events: s})
		sub := e.handler.Subscribe(100)
		path := e.create(5)
		e.patch(path, 0, []byte("hello")).status(204)
		e.wantOffset(path, 5)
		e.patch(path, 5, nil).status(204)
		e.get(path).status(200)
		e.eventually("the sink takes the event", func() bool { return s.count(tusd.EventPostFinish) == 1 })
		e.stop()
		if n := e.handler.Metrics().UploadsFinished.Load(); n != 1 {
			t.Errorf("%d uploads are finished", n)
		}
		if n := e.handler.Metrics().EventsFailed.Load(); n != 3 {
			t.Errorf("%d failed events are counted, want 3", n)
		}
		wantEvents(t, sub, tusd.EventPostCreate, tusd.EventPostReceive, tusd.EventPostFinish)
		wantNoFinishRecords(t, store)
	})
}

// A look at the side records may find an upload while a request finishes it, before the
// sink has refused the event of that request. What the request has done is not done again,
// and the event that the sink takes names it.
func TestFinishIsFoundWhileARequestFinishes(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		last := tusd.SideRecordKey{Kind: "finishing", Name: "zzz"} // is listed behind the upload
		finished, found := make(chan struct{}), make(chan struct{})
		store.onListSideRecords = func(kind string) {
			if kind != "finishing" {
				return
			}
			<-finished
			if err := store.PutSideRecord(t.Context(), last, []byte(`{"ID":"none"}`)); err != nil {
				t.Error(err)
			}
		}
		store.onGetSideRecord = func(key tusd.SideRecordKey) {
			if key == last {
				select {
				case <-found:
				default:
					close(found)
				}
			}
		}
		var requests []string
		s := &sink{onSend: func(_ context.Context, event tusd.Event) error {
			if event.Type != tusd.EventPostFinish {
				return nil
			}
			requests = append(requests, event.HTTPRequest.Method)
			if len(requests) == 1 {
				close(finished)
				await(t, found)
				return errors.New("not yet")
			}
			return nil
		}}
		e := newEnvOn(t, store, tusd.Config{Events: s})
		e.config.StoreComposer.Locker = unlockNotifier{new(tusd.LocalLocker), func() {
			select {
			case <-finished: // the attempt of the queue gets the lock before the request goes on
				e.eventually("the sink takes the event", func() bool { return s.count(tusd.EventPostFinish) == 1 })
			default:
			}
		}}
		e.start()
		sub := e.handler.Subscribe(100)
		path := e.create(5)
		e.patch(path, 0, []byte("hello")).status(204)
		e.stop()
		store.onListSideRecords = nil
		if err := store.DeleteSideRecord(t.Context(), last); err != nil {
			t.Error(err)
		}
		if !slices.Equal(requests, []string{"PATCH", "PATCH"}) {
			t.Errorf("the events have the requests %q", requests)
		}
		if n := e.handler.Metrics().UploadsFinished.Load(); n != 1 {
			t.Errorf("%d uploads are finished", n)
		}
		wantEvents(t, sub, tusd.EventPostCreate, tusd.EventPostReceive, tusd.EventPostFinish)
		wantNoFinishRecords(t, store)
	})
}

// unlockNotifier is a locker that calls after after each unlock of a lease.
type unlockNotifier struct {
	tusd.Locker
	after func()
}

func (l unlockNotifier) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	lease, err := l.Locker.Lock(ctx, id, mode)
	if err != nil {
		return nil, err
	}
	return unlockNotifyingLease{lease, l.after}, nil
}

type unlockNotifyingLease struct {
	tusd.Lease
	after func()
}

func (l unlockNotifyingLease) Unlock(ctx context.Context) error {
	err := l.Lease.Unlock(ctx)
	l.after()
	return err
}

// A crash between "complete" and "told" loses no event.
func TestPostFinishIsToldByTheNextProcess(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{Events: &sink{onSend: refusingFinish}})
		path := e.create(5)
		e.patch(path, 0, []byte("hello")).status(204)
		final := e.postFinal(e.createPartial([]byte("ab"))).status(201).location()
		e.stop()
		store.reopen()
		s := new(sink)
		second := serve(t, store, tusd.Config{Events: s})
		second.eventually("both events", func() bool { return s.count(tusd.EventPostFinish) == 2 })
		second.wantOffset(path, 5)
		second.stop()
		if got := s.of(idOf(path)); !slices.Equal(got, []string{"post-finish 5"}) {
			t.Errorf("events %q", got)
		}
		if got := s.of(idOf(final)); !slices.Equal(got, []string{"post-finish 2"}) {
			t.Errorf("events of the final %q", got)
		}
		wantNoFinishRecords(t, store)
	})
}

// Whatever operation of the store fails, an upload that becomes complete has its event.
func TestNoFaultLosesPostFinish(t *testing.T) {
	for _, form := range []storetest.FaultForm{storetest.Refused, storetest.Lost} {
		for n := int64(2); ; n++ { // the first operation is Open
			store := storetest.NewMemory()
			composer := tusd.NewStoreComposer()
			composer.UseCore(store)
			faults := &storetest.Faults{FailAt: n, Form: form}
			s := new(sink)
			e := newEnvOn(t, store, tusd.Config{Events: s})
			e.config.StoreComposer = faults.Wrap(composer)
			e.start()
			var created *answer
			for created = e.post("Upload-Length: 5"); created.Status != 201; created = e.post("Upload-Length: 5") {
			}
			path := created.location()
			e.eventually("the upload is complete", func() bool {
				a := e.head(path)
				if a.Status == 200 && a.Header.Get("Upload-Offset") == "0" {
					e.patch(path, 0, []byte("hello"))
				}
				return a.Status == 200 && a.Header.Get("Upload-Offset") == "5"
			})
			e.eventually(fmt.Sprintf("the event after fault %d (%v)", n, form), func() bool { return s.count(tusd.EventPostFinish) >= 1 })
			e.stop()
			if !faults.Fired() {
				break
			}
			if n > 200 {
				t.Fatal("the sweep does not end")
			}
		}
	}
}

// A sink that is slow for one upload delays no other, and no error of a sink fails a
// request.
func TestSinkDelaysOnlyItsUpload(t *testing.T) {
	s := new(sink)
	arrived, release := make(chan struct{}), make(chan struct{})
	var begun atomic.Bool
	s.onSend = func(context.Context, tusd.Event) error {
		if begun.CompareAndSwap(false, true) {
			close(arrived)
			<-release
		}
		return errors.New("no")
	}
	e := serve(t, storetest.NewMemory(), tusd.Config{Events: s})
	done := make(chan *answer)
	go func() { done <- e.another().post("Upload-Length: 1") }()
	await(t, arrived)
	path := e.create(3)
	e.patch(path, 0, []byte("ab")).status(204)
	e.terminate(path).status(204)
	close(release)
	(<-done).status(201)
	if n := e.handler.Metrics().EventsFailed.Load(); n != 4 {
		t.Errorf("%d failed events are counted, want 4", n)
	}
}

// An upload that is removed before its post-finish was told has none afterwards.
func TestNoPostFinishAfterPostTerminate(t *testing.T) {
	store := storetest.NewMemory()
	s := &sink{onSend: refusingFinish}
	e := serve(t, store, tusd.Config{Events: s}, func(v *tuning.Values) { v.RescanInterval = 20 * time.Millisecond })
	path := e.create(5)
	e.patch(path, 0, []byte("hello")).status(204)
	e.terminate(path).status(204)
	e.eventually("the side record is gone", func() bool {
		names, _, err := store.ListSideRecords(t.Context(), "finishing", "", 10)
		return err == nil && len(names) == 0
	})
	if got := s.of(idOf(path)); !slices.Equal(got, []string{"post-create 0", "post-receive 5", "post-terminate 5"}) {
		t.Errorf("events %q", got)
	}
}

// Pre-access gets the record when it asks for it. The owner of an upload is what pre-create
// has set; clients do not see it.
func TestOwnerIsKnownInPreAccess(t *testing.T) {
	store := storetest.NewMemory()
	loads := 0
	callbacks := tusd.Callbacks{
		PreCreate: func(_ context.Context, event tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
			return tusd.HTTPResponse{}, tusd.FileInfoChanges{Owner: event.HTTPRequest.Header.Get("X-User")}, nil
		},
		PreAccess: func(ctx context.Context, event tusd.Event) error {
			if event.HTTPRequest.Header.Get("X-User") == "root" {
				return nil
			}
			loads++
			info, err := event.Record(ctx)
			if err == nil && info.Owner != event.HTTPRequest.Header.Get("X-User") {
				err = tusd.ErrAccessDenied
			}
			return err
		},
	}
	e := serve(t, store, tusd.Config{Callbacks: callbacks})
	path := e.post("Upload-Length: 5", "X-User: ann").status(201).location()
	e.raw("HEAD", path, nil, version, "X-User: bob").status(403)
	e.raw("PATCH", path, []byte("hello"), version, octets, "Upload-Offset: 0", "X-User: bob").status(403)
	e.raw("PATCH", path, []byte("hello"), version, octets, "Upload-Offset: 0", "X-User: ann").status(204)
	e.raw("GET", path, nil, version, "X-User: bob").status(403)
	e.raw("HEAD", path+"x", nil, version, "X-User: ann").status(404)
	asked := loads
	a := e.raw("HEAD", path, nil, version, "X-User: root").status(200)
	if loads != asked {
		t.Error("a record is loaded that the callback does not want")
	}
	for name, values := range a.Header {
		if slices.Contains(values, "ann") {
			t.Errorf("the owner is in the answer: %s", name)
		}
	}
	info, err := e.handler.Info(t.Context(), idOf(path))
	if err != nil || info.Owner != "ann" || info.Offset != 5 || !info.Complete() {
		t.Errorf("Info: %+v, %v", info, err)
	}
}

// The callbacks of a request find in their ctx what a middleware has put into its context.
func TestCallbacksHaveTheValuesOfTheRequest(t *testing.T) {
	type user struct{}
	called := map[tusd.EventType]any{}
	note := func(ctx context.Context, event tusd.Event) { called[event.Type] = ctx.Value(user{}) }
	callbacks := tusd.Callbacks{
		PreAccess: func(ctx context.Context, event tusd.Event) error {
			note(ctx, event)
			return nil
		},
		PreCreate: func(ctx context.Context, event tusd.Event) (r tusd.HTTPResponse, c tusd.FileInfoChanges, err error) {
			note(ctx, event)
			return r, c, nil
		},
		PreTerminate: func(ctx context.Context, event tusd.Event) (r tusd.HTTPResponse, err error) {
			note(ctx, event)
			return r, nil
		},
	}
	e := newEnvOn(t, storetest.NewMemory(), tusd.Config{Callbacks: callbacks})
	e.mount = func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			h.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), user{}, "ann")))
		})
	}
	e.start()
	path := e.post("Upload-Length: 5").status(201).location()
	e.raw("HEAD", path, nil, version).status(200)
	e.raw("DELETE", path, nil, version).status(204)
	for _, event := range []tusd.EventType{tusd.EventPreAccess, tusd.EventPreCreate, tusd.EventPreTerminate} {
		if called[event] != "ann" {
			t.Errorf("%s has the user %v", event, called[event])
		}
	}
}
