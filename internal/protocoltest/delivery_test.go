package protocoltest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/tuning"
	"github.com/tus/tusd/storetest"
)

// receiver is a tusd.EventReceiver that keeps the events that it accepts. The zero value
// accepts all.
type receiver struct {
	onDeliver func(ctx context.Context, event tusd.Event) error // nil: accepts the event

	mu     sync.Mutex
	events []tusd.Event
}

func (r *receiver) Deliver(ctx context.Context, event tusd.Event) error {
	if r.onDeliver != nil {
		if err := r.onDeliver(ctx, event); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.events = append(r.events, event)
	return nil
}

// all returns the events that the receiver has.
func (r *receiver) all() []tusd.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.events)
}

// of returns the types and offsets of the events of an upload.
func (r *receiver) of(id string) (list []string) {
	for _, event := range r.all() {
		if event.Upload.ID == id {
			list = append(list, fmt.Sprint(event.Type, " ", event.Upload.Offset))
		}
	}
	return list
}

func failingDelivery(context.Context, tusd.Event) error { return errors.New("the endpoint is down") }

// eventRecords counts the side records of events.
func eventRecords(t *testing.T, store concatStore) int {
	return sideRecords(t, store, "creating", "finishing", "removing")
}

// deliver serves a store with quick retries of deliveries.
func deliver(t *testing.T, store concatStore, d tusd.Delivery) *env {
	t.Helper()
	return serve(t, store, tusd.Config{Delivery: &d}, func(v *tuning.Values) {
		v.DeliveryDelay, v.RescanInterval = time.Millisecond, time.Hour
	})
}

func TestDeliveryInOrder(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		r := new(receiver)
		e := deliver(t, store, tusd.Delivery{Receiver: r})
		path := e.create(10)
		e.patch(path, 0, []byte("hello")).status(204)
		e.eventually("post-receive", func() bool { return len(r.of(idOf(path))) == 2 })
		e.patch(path, 5, []byte("world")).status(204)
		e.terminate(path).status(204)
		partial := e.createPartial([]byte("ab"))
		final := e.postFinal(partial).status(201).location()
		empty := e.post("Upload-Length: 0").status(201).location()
		for target, want := range map[string][]string{
			path:    {"post-create 0", "post-receive 5", "post-receive 10", "post-finish 10", "post-terminate 10"},
			partial: {"post-create 0", "post-receive 2"},
			final:   {"post-create 0", "post-finish 2"},
			empty:   {"post-create 0", "post-finish 0"},
		} {
			e.eventually(fmt.Sprintf("the events %q", want), func() bool { return slices.Equal(r.of(idOf(target)), want) })
		}
		e.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
		for _, event := range r.all() {
			want := map[tusd.EventType]int{tusd.EventPostCreate: 1, tusd.EventPostFinish: 2, tusd.EventPostTerminate: 3}[event.Type]
			if event.Sequence != want || event.ID == "" || event.Time.IsZero() || event.Attempt != 1 || event.HTTPRequest.Method == "" {
				t.Errorf("%s: sequence %d, id %q, time %v, attempt %d, request %+v", event.Type, event.Sequence, event.ID, event.Time, event.Attempt, event.HTTPRequest)
			}
		}
	})
}

// What a process could not deliver, the next one does, in order and without credentials.
func TestDeliveryAfterRestart(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		first := deliver(t, store, tusd.Delivery{Receiver: &receiver{onDeliver: failingDelivery}})
		path := first.post("Upload-Length: 5", "Authorization: Bearer secret", "Cookie: secret", "X-Tenant: a", "X-Request-Id: r1").status(201).location()
		first.patch(path, 0, []byte("hello")).status(204)
		removed := first.create(5)
		first.patch(removed, 0, []byte("hello")).status(204)
		first.terminate(removed).status(204)
		first.stop()
		store.reopen()
		r := new(receiver)
		second := deliver(t, store, tusd.Delivery{Receiver: r})
		for target, want := range map[string][]string{
			path:    {"post-create 0", "post-finish 5"},
			removed: {"post-create 0", "post-finish 5", "post-terminate 5"},
		} {
			second.eventually(fmt.Sprintf("the events %q", want), func() bool { return slices.Equal(r.of(idOf(target)), want) })
		}
		second.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
		for _, event := range r.all() {
			if header := event.HTTPRequest.Header; header.Get("Authorization") != "" || header.Get("Cookie") != "" || header.Get("X-Tenant") != "" {
				t.Errorf("%s has header %q", event.Type, header)
			}
			if event.Type == tusd.EventPostCreate && event.Upload.ID == idOf(path) && event.HTTPRequest.Header.Get("X-Request-Id") != "r1" {
				t.Errorf("post-create has header %q", event.HTTPRequest.Header)
			}
		}
	})
}

// A removal takes over the events that wait, also those whose delivery fails just now: none is
// lost, and all come in order.
func TestRemovalBringsWhatWaits(t *testing.T) {
	for name, types := range map[string][]tusd.EventType{
		"all": nil, "without post-receive": {tusd.EventPostCreate, tusd.EventPostFinish, tusd.EventPostTerminate},
	} {
		t.Run(name, func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hookedStore) {
				removed := make(chan struct{})
				r := &receiver{onDeliver: func(_ context.Context, event tusd.Event) error {
					if event.Type == tusd.EventPostCreate && event.Attempt == 1 {
						<-removed
						return errors.New("the endpoint is down")
					}
					return nil
				}}
				e := deliver(t, store, tusd.Delivery{Receiver: r, Types: types})
				path := e.create(5)
				e.patch(path, 0, []byte("hello")).status(204)
				e.terminate(path).status(204)
				close(removed)
				want := []string{"post-create 0", "post-finish 5", "post-terminate 5"}
				e.eventually("the last event", func() bool { return slices.Contains(r.of(idOf(path)), want[2]) })
				if got := r.of(idOf(path)); !slices.Equal(got, want) {
					t.Errorf("events %q, want %q", got, want)
				}
				e.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
			})
		})
	}
}

// A client repeats a DELETE that a crash has stopped half-way: the removal is completed, with the
// events of the first request.
func TestHalfARemovalIsCompletedByTheNextDELETE(t *testing.T) {
	dir := t.TempDir()
	files := &filestore.FileStore{Path: dir}
	t.Cleanup(func() { files.Close() })
	var down atomic.Bool
	down.Store(true)
	r := &receiver{onDeliver: func(ctx context.Context, event tusd.Event) error {
		if down.Load() {
			return failingDelivery(ctx, event)
		}
		return nil
	}}
	store := &hookedStore{concatStore: files}
	e := deliver(t, store, tusd.Delivery{Receiver: r, Types: []tusd.EventType{tusd.EventPostCreate, tusd.EventPostFinish, tusd.EventPostTerminate}})
	path := e.create(5)
	e.patch(path, 0, []byte("hello")).status(204)
	store.onTerminate = func(func() error) error {
		return errors.Join(os.Remove(filepath.Join(dir, idOf(path))), errors.New("killed"))
	}
	e.terminate(path).status(500)
	store.onTerminate = nil
	e.terminate(path).status(204)
	down.Store(false)
	want := []string{"post-create 0", "post-finish 5", "post-terminate 5"}
	e.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
	if got := r.of(idOf(path)); !slices.Equal(got, want) {
		t.Errorf("events %q, want %q", got, want)
	}
	e.terminate(path).status(404)
}

// An upload is removed before the receiver has its events: they come, also if the receiver does not
// want to know of the removal, and after a restart.
func TestRemovalLosesNoEvent(t *testing.T) {
	for _, c := range []struct {
		types []tusd.EventType
		want  []string
	}{
		{[]tusd.EventType{tusd.EventPostFinish}, []string{"post-finish 5"}},
		{[]tusd.EventType{tusd.EventPostCreate, tusd.EventPostFinish}, []string{"post-create 0", "post-finish 5"}},
		{[]tusd.EventType{tusd.EventPostCreate, tusd.EventPostTerminate}, []string{"post-create 0", "post-terminate 5"}},
	} {
		t.Run(fmt.Sprint(c.types), func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hookedStore) {
				var down atomic.Bool
				down.Store(true)
				r := &receiver{onDeliver: func(ctx context.Context, event tusd.Event) error {
					if down.Load() {
						return failingDelivery(ctx, event)
					}
					return nil
				}}
				first := deliver(t, store, tusd.Delivery{Receiver: r, Types: c.types})
				early := first.createFull([]byte("hello"))
				first.terminate(early).status(204)
				down.Store(false)
				first.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
				down.Store(true)
				late := first.createFull([]byte("hello"))
				first.terminate(late).status(204)
				first.stop()
				down.Store(false)
				store.reopen()
				second := deliver(t, store, tusd.Delivery{Receiver: r, Types: c.types})
				second.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
				for _, path := range []string{early, late} {
					if got := r.of(idOf(path)); !slices.Equal(got, c.want) {
						t.Errorf("events %q, want %q", got, c.want)
					}
				}
			})
		})
	}
}

// A tool removes an upload whose events the server has not delivered: the next server delivers
// all of them.
func TestEventsOfAnUploadThatAToolRemoves(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		first := deliver(t, store, tusd.Delivery{Receiver: &receiver{onDeliver: failingDelivery}})
		path := first.createFull([]byte("hello"))
		first.stop()
		store.reopen()
		composer := tusd.NewStoreComposer()
		composer.UseCore(store)
		tool, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, Offline: true})
		if err != nil {
			t.Fatal(err)
		}
		if err := tool.Terminate(t.Context(), idOf(path)); err != nil {
			t.Fatal(err)
		}
		tool.Shutdown(t.Context())
		store.reopen()
		r := new(receiver)
		second := deliver(t, store, tusd.Delivery{Receiver: r})
		second.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
		want := []string{"post-create 0", "post-finish 5", "post-terminate 5"}
		if got := r.of(idOf(path)); !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

func TestKeptHeaders(t *testing.T) {
	store := storetest.NewMemory()
	first := deliver(t, store, tusd.Delivery{Receiver: &receiver{onDeliver: failingDelivery}, KeepHeaders: []string{"x-tenant"}})
	first.post("Upload-Length: 5", "X-Tenant: a").status(201)
	first.stop()
	r := new(receiver)
	second := deliver(t, store, tusd.Delivery{Receiver: r})
	second.eventually("the event", func() bool { return len(r.all()) == 1 })
	if got := r.all()[0].HTTPRequest.Header; got.Get("X-Tenant") != "a" || got.Get("Host") == "" {
		t.Errorf("header %q", got)
	}
	for _, name := range []string{"authorization", "Cookie", "Proxy-Authorization"} {
		composer := tusd.NewStoreComposer()
		storetest.NewMemory().UseIn(composer)
		if _, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, Delivery: &tusd.Delivery{Receiver: r, KeepHeaders: []string{name}}}); err == nil {
			t.Errorf("%s can be kept", name)
		}
	}
}

// failingCreation is a store that creates no upload.
type failingCreation struct{ *hookedStore }

func (failingCreation) NewUpload(context.Context, tusd.Lease, tusd.FileInfo) (tusd.Upload, error) {
	return nil, errors.New("the disk is broken")
}

// The side record of a creation comes before the store acts. Without an upload there is no
// event, and the record goes.
func TestNoEventOfAnUploadThatNeverWas(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		first := deliver(t, failingCreation{store}, tusd.Delivery{Receiver: new(receiver)})
		first.post("Upload-Length: 5").status(500)
		first.stop()
		if n := eventRecords(t, store.concatStore); n != 1 {
			t.Fatalf("%d side records after the creation that failed, want 1", n)
		}
		store.reopen()
		r := new(receiver)
		second := newEnvOn(t, store, tusd.Config{Delivery: &tusd.Delivery{Receiver: r}})
		second.ahead.Store(int64(time.Hour)) // no process can be at work on it any more
		second.start()
		second.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
		if got := r.all(); len(got) > 0 {
			t.Errorf("%d events of an upload that never was", len(got))
		}
	})
}

// A crash in the middle of a creation leaves a record without content. It is no upload, and the
// event does not wait for ever.
func TestNoEventOfHalfACreation(t *testing.T) {
	dir := t.TempDir()
	store := &filestore.FileStore{Path: dir}
	first := deliver(t, failingCreation{&hookedStore{concatStore: store}}, tusd.Delivery{Receiver: new(receiver)})
	first.post("Upload-Length: 5").status(500)
	var id string
	err := first.handler.Undelivered(t.Context(), func(event tusd.UndeliveredEvent) error {
		id = event.UploadID
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	first.stop()
	store.Close()
	for _, name := range []string{id, id + ".info"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	store = &filestore.FileStore{Path: dir}
	t.Cleanup(func() { store.Close() })
	r := new(receiver)
	second := newEnvOn(t, store, tusd.Config{Delivery: &tusd.Delivery{Receiver: r}})
	second.ahead.Store(int64(time.Hour)) // no process can be at work on it any more
	second.start()
	second.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
	if got := r.all(); len(got) > 0 {
		t.Errorf("%d events of half a creation", len(got))
	}
}

// A receiver that blocks slows no request. Its memory is bounded: the rest waits in the store.
func TestDeliveryToABlockedReceiver(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		release := make(chan struct{})
		r := &receiver{onDeliver: func(ctx context.Context, _ tusd.Event) error {
			select {
			case <-release:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}}
		e := deliver(t, store, tusd.Delivery{Receiver: r, MaxBytes: 20_000, AtOnce: 2})
		const uploads = 30
		for range uploads {
			path := e.create(5)
			e.patch(path, 0, []byte("hello")).status(204)
		}
		if n := eventRecords(t, store); n != 2*uploads {
			t.Errorf("%d side records, want %d", n, 2*uploads)
		}
		close(release)
		e.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
		events := make(map[string][]tusd.EventType)
		for _, event := range r.all() {
			if event.Sequence > 0 {
				events[event.Upload.ID] = append(events[event.Upload.ID], event.Type)
			}
		}
		if len(events) != uploads {
			t.Errorf("events of %d uploads, want %d", len(events), uploads)
		}
		for id, got := range events {
			if !slices.Equal(got, []tusd.EventType{tusd.EventPostCreate, tusd.EventPostFinish}) {
				t.Errorf("upload %s: %q", id, got)
			}
		}
	})
}

// Of the post-receive events that wait, only the newest is delivered.
func TestWaitingPostReceivesAreOne(t *testing.T) {
	release := make(chan struct{})
	r := &receiver{onDeliver: func(context.Context, tusd.Event) error { <-release; return nil }}
	e := deliver(t, storetest.NewMemory(), tusd.Delivery{Receiver: r})
	path := e.create(10)
	for i := range int64(9) {
		e.patch(path, i, []byte("x")).status(204)
	}
	close(release)
	e.eventually("the last offset", func() bool { return slices.Contains(r.of(idOf(path)), "post-receive 9") })
	if got := r.of(idOf(path)); len(got) != 2 || e.handler.Metrics().EventsDropped.Load() != 8 {
		t.Errorf("events %q, %d dropped", got, e.handler.Metrics().EventsDropped.Load())
	}
}

func TestBestEffortDelivery(t *testing.T) {
	store := storetest.NewMemory()
	r := new(receiver)
	failing := true
	r.onDeliver = func(context.Context, tusd.Event) error {
		if failing {
			failing = false
			return errors.New("once")
		}
		return nil
	}
	e := deliver(t, store, tusd.Delivery{Receiver: r, BestEffort: true})
	path := e.create(5)
	e.eventually("post-create is lost", func() bool { return e.handler.Metrics().EventsDropped.Load() == 1 })
	e.patch(path, 0, []byte("hello")).status(204)
	e.eventually("the others are delivered", func() bool {
		return slices.Equal(r.of(idOf(path)), []string{"post-receive 5", "post-finish 5"})
	})
	if n := eventRecords(t, store); n != 0 {
		t.Errorf("%d side records", n)
	}
}

// An event that is given up stays in the store until an operator decides.
func TestDeadEvents(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		var down atomic.Bool
		down.Store(true)
		r := &receiver{onDeliver: func(ctx context.Context, event tusd.Event) error {
			if down.Load() {
				return failingDelivery(ctx, event)
			}
			return nil
		}}
		e := deliver(t, store, tusd.Delivery{Receiver: r, GiveUpAfter: time.Nanosecond, Types: []tusd.EventType{tusd.EventPostCreate, tusd.EventPostFinish}})
		path := e.create(5)
		e.patch(path, 0, []byte("hello")).status(204)
		e.eventually("both are dead", func() bool { return e.handler.Metrics().EventsDead.Load() == 2 })
		var dead []tusd.UndeliveredEvent
		list := func() {
			dead = nil
			err := e.handler.Undelivered(t.Context(), func(event tusd.UndeliveredEvent) error {
				dead = append(dead, event)
				return nil
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		list()
		if len(dead) != 2 || dead[0].Type != tusd.EventPostCreate || dead[1].Type != tusd.EventPostFinish {
			t.Fatalf("undelivered: %+v", dead)
		}
		for _, event := range dead {
			if !event.Dead || event.UploadID != idOf(path) || event.Attempts != 1 || !strings.Contains(event.Error, "down") {
				t.Errorf("%+v", event)
			}
		}
		down.Store(false)
		if err := e.handler.DropEvent(t.Context(), dead[0].Key); err != nil {
			t.Error(err)
		}
		if err := e.handler.Redeliver(t.Context(), dead[1].Key); err != nil {
			t.Error(err)
		}
		e.eventually("post-finish alone is delivered", func() bool { return slices.Equal(r.of(idOf(path)), []string{"post-finish 5"}) })
		e.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
		if err := e.handler.Redeliver(t.Context(), dead[1].Key); !errors.Is(err, tusd.ErrNotFound) {
			t.Errorf("again: %v", err)
		}
	})
}

func TestPartialFinish(t *testing.T) {
	var asked atomic.Int32
	r := new(receiver)
	e := serve(t, storetest.NewMemory(), tusd.Config{
		Delivery: &tusd.Delivery{Receiver: r}, PartialFinish: true,
		Callbacks: tusd.Callbacks{PreFinish: func(_ context.Context, event tusd.Event) (tusd.HTTPResponse, error) {
			asked.Add(1)
			return tusd.HTTPResponse{Header: map[string]string{"X-Seen": fmt.Sprint(event.Upload.IsPartial)}}, nil
		}},
	})
	partial := e.post("Upload-Length: 2", "Upload-Concat: partial").status(201).location()
	answer := e.patch(partial, 0, []byte("ab")).status(204)
	if answer.Header.Get("X-Seen") != "true" {
		t.Errorf("the callback of the partial changes %q", answer.Header)
	}
	final := e.postFinal(partial).status(201).location()
	for target, want := range map[string]string{partial: "post-finish 2", final: "post-finish 2"} {
		e.eventually("post-finish", func() bool { return slices.Contains(r.of(idOf(target)), want) })
	}
	if asked.Load() != 2 {
		t.Errorf("pre-finish was asked %d times, want 2", asked.Load())
	}
}

// A callback that takes long holds the request only for a while; HEAD never waits for it.
func TestSlowPreFinish(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		release := make(chan struct{})
		var calls atomic.Int32
		config := tusd.Config{Callbacks: tusd.Callbacks{PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			calls.Add(1)
			<-release
			return tusd.HTTPResponse{}, nil
		}}}
		e := serve(t, store, config, func(v *tuning.Values) { v.FinishWait = 10 * time.Millisecond })
		path := e.create(5)
		e.patch(path, 0, []byte("hello")).status(423).code("ERR_UPLOAD_FINISHING")
		e.head(path).status(423)
		e.patch(path, 5, nil).status(423)
		close(release)
		e.eventually("the upload is complete", func() bool { return e.head(path).Status == http.StatusOK })
		if calls.Load() != 1 {
			t.Errorf("the callback was called %d times", calls.Load())
		}
	})
}

// The answer of a slow hook does not remove a later upload that has the same id, nor end its
// request.
func TestTerminateWithIsOfOneLife(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
		return tusd.HTTPResponse{}, tusd.FileInfoChanges{ID: "same"}, nil
	}}})
	path := e.create(10)
	first, err := e.handler.Info(t.Context(), "same")
	if err != nil {
		t.Fatal(err)
	}
	e.terminate(path).status(204)
	e.create(10)
	patch := e.openNow(path, 0, 10)
	patch.send([]byte("hello"))
	e.eventually("the content arrives", func() bool {
		running := e.handler.Running()
		return len(running) == 1 && running[0].Received == 5
	})
	if err := e.handler.TerminateWith(t.Context(), first, nil); !errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("%v", err)
	}
	patch.send([]byte("world"))
	patch.answer().status(204)
	second, err := e.handler.Info(t.Context(), "same")
	if err != nil {
		t.Fatal(err)
	}
	if err := e.handler.TerminateWith(t.Context(), second, nil); err != nil {
		t.Errorf("the later upload: %v", err)
	}
	e.another().head(path).status(404)
}

// An upload whose id changes hands while TerminateWith waits for the lock stays, too.
func TestTerminateWithDecidesUnderTheLock(t *testing.T) {
	e := newEnvOn(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
		return tusd.HTTPResponse{}, tusd.FileInfoChanges{ID: "same"}, nil
	}}})
	var replace func()
	e.config.StoreComposer.Locker = lockHook{new(tusd.LocalLocker), func(string, tusd.LockMode) {
		if f := replace; f != nil {
			replace = nil
			f()
		}
	}}
	e.start()
	path := e.create(10)
	first, err := e.handler.Info(t.Context(), "same")
	if err != nil {
		t.Fatal(err)
	}
	replace = func() {
		e.terminate(path).status(204)
		e.create(10)
	}
	if err := e.handler.TerminateWith(t.Context(), first, nil); !errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("%v", err)
	}
	e.wantOffset(path, 0)
}

// In a store that cannot remove uploads, the running request ends all the same.
func TestTerminateWithoutTerminater(t *testing.T) {
	e := serve(t, struct{ tusd.DataStore }{storetest.NewMemory()}, tusd.Config{})
	path := e.create(10)
	patch := e.openNow(path, 0, 10)
	patch.send([]byte("hello"))
	e.eventually("the content arrives", func() bool {
		running := e.handler.Running()
		return len(running) == 1 && running[0].Received == 5
	})
	err := e.handler.TerminateWith(t.Context(), tusd.FileInfo{ID: idOf(path)}, tusd.ErrUploadStopped.Refuse(tusd.HTTPResponse{StatusCode: 413}))
	if !errors.Is(err, tusd.ErrNotImplemented) {
		t.Errorf("%v", err)
	}
	patch.answer().status(413).code("ERR_UPLOAD_STOPPED")
}

func TestTerminateWith(t *testing.T) {
	r := new(receiver)
	e := deliver(t, storetest.NewMemory(), tusd.Delivery{Receiver: r})
	path := e.create(10)
	patch := e.openNow(path, 0, 10)
	patch.send([]byte("hello"))
	e.eventually("the content arrives", func() bool {
		running := e.handler.Running()
		return len(running) == 1 && running[0].Received == 5
	})
	answer := tusd.ErrUploadStopped.Refuse(tusd.HTTPResponse{StatusCode: 413})
	if err := e.handler.TerminateWith(t.Context(), tusd.FileInfo{ID: idOf(path)}, answer); err != nil {
		t.Fatal(err)
	}
	patch.answer().status(413).code("ERR_UPLOAD_STOPPED")
	e.another().head(path).status(404)
	e.eventually("post-terminate", func() bool { return slices.Contains(r.of(idOf(path)), "post-terminate 5") })
}

// Callbacks cannot change what the protocols and browsers depend on.
func TestCallbacksKeepProtocolFields(t *testing.T) {
	change := tusd.HTTPResponse{Header: map[string]string{
		"upload-offset": "7", "Tus-Resumable": "2", "Location": "/other", "Content-Length": "99", "Access-Control-Allow-Origin": "evil", "Vary": "x", "X-Mine": "yes",
		"access-control-expose-headers": "X-Mine",
	}}
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
		PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
			return change, tusd.FileInfoChanges{}, nil
		},
		PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) { return change, nil },
	}})
	created := e.post("Upload-Length: 2", "Origin: https://a.example").status(201)
	if h := created.Header; h.Get("Location") == "/other" || h.Get("Tus-Resumable") != "1.0.0" || h.Get("Access-Control-Allow-Origin") == "evil" || h.Get("Vary") == "x" || h.Get("X-Mine") != "yes" {
		t.Errorf("creation: %q", h)
	}
	if exposed := created.Header.Get("Access-Control-Expose-Headers"); !strings.HasPrefix(exposed, "Upload-Offset, Location, ") || !strings.HasSuffix(exposed, ", X-Mine") {
		t.Errorf("exposed to scripts: %q", exposed)
	}
	done := e.patch(created.location(), 0, []byte("ab")).status(204)
	if h := done.Header; h.Get("Upload-Offset") != "2" || h.Get("X-Mine") != "yes" || h.Get("Access-Control-Expose-Headers") != "" {
		t.Errorf("completion: %q", h)
	}
}

// lostAnswers is a store that stores content, or not, and then says that it has failed.
type lostAnswers struct {
	concatStore
	stores bool
}

func (s lostAnswers) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	upload, err := s.concatStore.GetUpload(ctx, lease, id)
	return lostAnswerUpload{upload, s.stores}, err
}

type lostAnswerUpload struct {
	tusd.Upload
	stores bool
}

func (u lostAnswerUpload) WriteChunk(ctx context.Context, offset int64, src io.Reader) (int64, error) {
	var err error
	if u.stores {
		_, err = u.Upload.WriteChunk(ctx, offset, src)
	} else {
		_, err = io.Copy(io.Discard, src)
	}
	return 0, errors.Join(err, errors.New("the answer of the disk is lost"))
}

// The side record of a finish comes before the last byte. A process that ends after that byte loses
// no event; there is none if the byte is not stored.
func TestFinishIsIntendedBeforeTheLastByte(t *testing.T) {
	for _, stores := range []bool{true, false} {
		t.Run(fmt.Sprintf("stores=%t", stores), func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hookedStore) {
				first := deliver(t, lostAnswers{store, stores}, tusd.Delivery{Receiver: new(receiver)})
				path := first.create(5)
				first.eventually("post-create", func() bool { return eventRecords(t, store) == 0 })
				first.patch(path, 0, []byte("hello")).status(500)
				if n := sideRecords(t, store, "finishing"); n != 1 {
					t.Fatalf("%d side records of finishes, want 1", n)
				}
				first.stop()
				store.reopen()
				r := new(receiver)
				second := deliver(t, store, tusd.Delivery{Receiver: r})
				second.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
				want := []string{"post-finish 5"}
				if !stores {
					want = nil
				}
				if got := r.of(idOf(path)); !slices.Equal(got, want) {
					t.Errorf("the events are %q, want %q", got, want)
				}
				if !stores {
					second.patch(path, 0, []byte("hello")).status(204)
					second.eventually("post-finish", func() bool { return slices.Contains(r.of(idOf(path)), "post-finish 5") })
				}
			})
		})
	}
}

// Content that does not make the upload full needs no side record, and without the side record the
// last byte is not stored.
func TestContentThatDoesNotFinish(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		var puts atomic.Int64
		var broken atomic.Bool
		store.onPutSideRecord = func(key tusd.SideRecordKey) error {
			if key.Kind != "finishing" {
				return nil
			}
			puts.Add(1)
			if broken.Load() {
				return errors.New("the disk is broken")
			}
			return nil
		}
		r := new(receiver)
		e := deliver(t, store, tusd.Delivery{Receiver: r})
		path := e.create(10)
		e.patch(path, 0, []byte("hello")).status(204)
		s := e.another().openMethod(http.MethodPatch, path, -1, version, octets, "Upload-Offset: 5")
		s.send([]byte("wo"))
		s.end()
		s.answer().status(204)
		s = e.another().open(path, 7, 3)
		s.sendAndSee([]byte("r"))
		s.Abort()
		e.eventually("the end of the request", func() bool { return len(e.handler.Running()) == 0 })
		if n := puts.Load(); n != 0 {
			t.Errorf("%d side records for a part of the content", n)
		}
		broken.Store(true)
		offset := e.offset(path)
		rest := []byte("helloworld")[offset:]
		e.patch(path, offset, rest).status(500)
		if got := e.offset(path); got != offset {
			t.Errorf("the offset is %d without a side record, want %d", got, offset)
		}
		broken.Store(false)
		e.patch(path, offset, rest).status(204)
		e.eventually("post-finish", func() bool { return slices.Contains(r.of(idOf(path)), "post-finish 10") })
	})
}
