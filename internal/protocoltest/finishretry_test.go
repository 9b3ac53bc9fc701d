package protocoltest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/heaptest"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/tuning"
	"github.com/tus/tusd/storetest"
)

func rescanEvery(interval time.Duration) func(*tuning.Values) {
	return func(v *tuning.Values) { v.RescanInterval = interval }
}

// failingFinish is a pre-finish callback that fails.
func failingFinish(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
	return tusd.HTTPResponse{}, errors.New("the callback is down")
}

// halfFinisher is a store that fails the first FinishUpload of each upload, and counts how
// many run.
type halfFinisher struct {
	*storetest.Memory
	failed        sync.Map // by id
	running, most atomic.Int64
	pause         sync.RWMutex // locked: no upload is loaded
}

// quietHeap returns the bytes of the heap that are in use while the workers wait: what they
// drop would count in it.
func (s *halfFinisher) quietHeap() int64 {
	s.pause.Lock()
	defer s.pause.Unlock()
	return heaptest.InUse()
}

func (s *halfFinisher) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	s.pause.RLock()
	defer s.pause.RUnlock()
	upload, err := s.Memory.GetUpload(ctx, lease, id)
	return &halfFinished{upload, s, id}, err
}

type halfFinished struct {
	tusd.Upload
	store *halfFinisher
	id    string
}

func (u *halfFinished) FinishUpload(ctx context.Context) error {
	s := u.store
	n := s.running.Add(1)
	defer s.running.Add(-1)
	for most := s.most.Load(); n > most && !s.most.CompareAndSwap(most, n); most = s.most.Load() {
	}
	runtime.Gosched()
	if _, failed := s.failed.LoadOrStore(u.id, true); !failed {
		return errors.New("the disk is slow")
	}
	return u.Upload.FinishUpload(ctx)
}

// leaveFinishing lets a process leave n uploads that it could not finish.
func leaveFinishing(t *testing.T, store *storetest.Memory, n int) {
	t.Helper()
	composer := tusd.NewStoreComposer()
	composer.UseCore(store)
	h, err := tusd.NewHandler(tusd.Config{
		BasePath: "/files/", StoreComposer: composer, Callbacks: tusd.Callbacks{PreFinish: failingFinish}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	for range n {
		if status := createWith(h, 10, 0); status < 500 {
			t.Fatalf("status %d", status)
		}
	}
	if err := h.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Ten thousand uploads that an earlier process has left are finished by few workers, in
// little memory, although the store fails half the time. Each is told once.
func TestManyFinishesAtTheStart(t *testing.T) {
	require.Long(t)
	const workers = 16
	for _, c := range []struct {
		name           string
		uploads, limit int
	}{{"all wait in memory", 10_000, 10_000}, {"few wait in memory", 2_000, 100}} {
		t.Run(c.name, func(t *testing.T) {
			uploads := int64(c.uploads)
			store := &halfFinisher{Memory: storetest.NewMemory()}
			leaveFinishing(t, store.Memory, c.uploads)
			before, goroutines := store.quietHeap(), runtime.NumGoroutine()
			var most, told atomic.Int64
			s := countingSink{func(id string) {
				told.Add(1)
				most.Store(max(most.Load(), int64(runtime.NumGoroutine()-goroutines)))
			}}
			h, err := newTunedHandler(tusd.Config{
				BasePath: "/files/", StoreComposer: &tusd.StoreComposer{Core: store, SideRecords: store.Memory}, Events: s, Logger: slog.New(slog.DiscardHandler),
			}, func(v *tuning.Values) { v.FirstRetryDelay, v.MaxFinishTasks = time.Millisecond, c.limit })
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { h.Shutdown(t.Context()) })
			var peak int64
			quarters := int64(0)
			deadline := time.Now().Add(3 * time.Minute)
			for told.Load() < uploads && time.Now().Before(deadline) {
				if n := 4 * told.Load() / uploads; n > quarters {
					quarters, peak = n, max(peak, store.quietHeap()-before)
				}
				time.Sleep(time.Millisecond)
			}
			if err := h.Shutdown(t.Context()); err != nil {
				t.Fatal(err)
			}
			if told.Load() != uploads || h.Metrics().UploadsFinished.Load() != uint64(uploads) {
				t.Errorf("%d uploads are told, %d finished, want %d", told.Load(), h.Metrics().UploadsFinished.Load(), uploads)
			}
			if store.most.Load() > workers || most.Load() > 2*workers {
				t.Errorf("the store has finished %d uploads at the same time, with %d goroutines, want at most %d workers", store.most.Load(), most.Load(), workers)
			}
			t.Logf("the heap has grown by %d KiB, seen %d times", peak>>10, quarters)
			if most := int64(8 << 20); peak > most || quarters == 0 {
				t.Errorf("the heap has grown by %d KiB, seen %d times", peak>>10, quarters)
			}
			wantNoFinishRecords(t, store.Memory)
		})
	}
}

// countingSink calls a function for each upload that is finished.
type countingSink struct{ finished func(id string) }

func (s countingSink) Send(_ context.Context, event tusd.Event) error {
	if event.Type == tusd.EventPostFinish {
		s.finished(event.Upload.ID)
	}
	return nil
}

func (countingSink) Close() {}

// A request that finds an upload full and not complete wakes the finisher, also if that is
// about to end a look at the same upload, which was not full then.
func TestWakeAtTheEndOfAnAttempt(t *testing.T) {
	store := &hookedStore{open: inMemory(t)}
	store.reopen()
	e := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{PreFinish: failingFinish}})
	path := e.create(5)
	e.patch(path, 0, []byte("hel")).status(204)
	e.stop()
	key := tusd.SideRecordKey{Kind: "finishing", Name: "stale"}
	if err := store.PutSideRecord(t.Context(), key, []byte(idOf(path))); err != nil {
		t.Fatal(err)
	}
	// The first server finds the stale record. While it ends its look, another process fills
	// the upload, and a request of its client comes.
	looked, woken := make(chan struct{}), make(chan struct{})
	var gets atomic.Int64
	store.onGetSideRecord = func(key tusd.SideRecordKey) {
		if key.Kind == "finishing" && gets.Add(1) == 2 { // the listing gets it before the attempt does
			close(looked)
			await(t, woken)
		}
	}
	var finished atomic.Int64
	second := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
		finished.Add(1)
		return tusd.HTTPResponse{}, nil
	}}}, rescanEvery(time.Hour))
	await(t, looked)
	lease, err := new(tusd.LocalLocker).Lock(t.Context(), idOf(path), tusd.LockTry)
	if err != nil {
		t.Fatal(err)
	}
	upload, err := store.GetUpload(t.Context(), lease, idOf(path))
	if err == nil {
		_, err = upload.WriteChunk(t.Context(), 3, bytes.NewReader([]byte("lo")))
	}
	if err != nil {
		t.Fatal(err)
	}
	second.get(path, version).status(503)
	close(woken)
	second.eventually("the upload is finished", func() bool { return finished.Load() == 1 })
	second.eventually("it is complete", func() bool { return recordOf(t, store, path).State == tusd.StateComplete })
}

// An upload that another node has left is found without a request, and so is a final that
// another node could not build.
func TestRescanFindsTheWorkOfAnotherNode(t *testing.T) {
	t.Run("memory", func(t *testing.T) { // the only store that two handlers may open
		store := &hookedStore{open: inMemory(t)}
		store.reopen()
		locker := new(tusd.LocalLocker)
		node := func(store concatStore, c tusd.Config, rescan time.Duration) *env {
			e := newEnvOn(t, store, c, rescanEvery(rescan))
			e.config.StoreComposer.Locker = locker
			e.start()
			return e
		}
		s, left := new(sink), make(chan struct{})
		var mu sync.Mutex
		listed := map[string]bool{}
		isFirst := func(kind string) bool {
			mu.Lock()
			defer mu.Unlock()
			defer func() { listed[kind] = true }()
			return !listed[kind]
		}
		rescans := &hookedStore{concatStore: store.concatStore, onListSideRecords: func(kind string) {
			if !isFirst(kind) { // a rescan
				await(t, left)
			}
		}}
		second := node(rescans, tusd.Config{Events: s}, 50*time.Millisecond)
		second.eventually("the listings at the start", func() bool {
			mu.Lock()
			defer mu.Unlock()
			return listed["finishing"] && listed["building"]
		})
		store.onConcat = func(func() error) error { return errors.New("the disk is broken") }
		first := node(store, tusd.Config{Callbacks: tusd.Callbacks{PreFinish: failingFinish}}, time.Hour)
		partial := first.createPartial([]byte("ab"))
		first.postFinal(partial).status(500)
		path := first.create(5)
		first.patch(path, 0, []byte("hello")).status(503)
		first.stop()
		close(left)
		second.eventually("both are finished and told", func() bool { return s.count(tusd.EventPostFinish) == 2 })
		if state := recordOf(t, store, path).State; state != tusd.StateComplete {
			t.Errorf("the upload is %q", state)
		}
	})
}

// Attempts end after a day, which a restart does not forget. A later request makes one
// more.
func TestAttemptsToFinishEnd(t *testing.T) {
	store := storetest.NewMemory()
	var attempts atomic.Int64
	var works atomic.Bool
	config := tusd.Config{Callbacks: tusd.Callbacks{PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
		attempts.Add(1)
		if works.Load() {
			return tusd.HTTPResponse{}, nil
		}
		return tusd.HTTPResponse{}, errors.New("not now")
	}}}
	e := serve(t, store, config, rescanEvery(20*time.Millisecond))
	path := e.create(5)
	e.patch(path, 0, []byte("hello")).status(503)
	e.stop()
	attempts.Store(0)

	second := newEnvOn(t, store, config, rescanEvery(20*time.Millisecond))
	second.ahead.Store(int64(25 * time.Hour))
	second.start()
	second.eventually("the attempts end", func() bool { return second.warnings.count("finishing has failed for a day") == 1 })
	if n := attempts.Load(); n != 1 {
		t.Errorf("%d attempts after a day, want one", n)
	}
	second.stop()

	var lists atomic.Int64
	hooked := &hookedStore{concatStore: store, onListSideRecords: func(kind string) {
		if kind == "finishing" {
			lists.Add(1)
		}
	}}
	third := newEnvOn(t, hooked, config, rescanEvery(20*time.Millisecond))
	third.ahead.Store(int64(25 * time.Hour))
	third.start()
	third.eventually("the side records are read five times", func() bool { return lists.Load() >= 5 })
	if n := attempts.Load(); n != 1 {
		t.Errorf("a restart makes %d more attempts", n-1)
	}
	works.Store(true)
	third.head(path).status(423)
	third.eventually("HEAD is 200", func() bool { return third.head(path).Status == 200 })
	third.wantOffset(path, 5)
	third.stop()
	wantNoFinishRecords(t, store)
}

// Whatever operation of the store fails in the process that continues, the uploads of an
// earlier one become complete, and each has its event.
func TestNoFaultOfTheNextProcessLosesPostFinish(t *testing.T) {
	for _, form := range []storetest.FaultForm{storetest.Refused, storetest.Lost} {
		for n := int64(2); ; n++ { // the first operation is Open
			store := storetest.NewMemory()
			agree := true
			first := serve(t, store, tusd.Config{Events: &sink{onSend: refusingFinish}, Callbacks: tusd.Callbacks{
				PreFinish: func(ctx context.Context, event tusd.Event) (tusd.HTTPResponse, error) {
					if agree {
						return tusd.HTTPResponse{}, nil
					}
					return failingFinish(ctx, event)
				},
			}})
			complete, full := first.createFull([]byte("hello")), first.create(5)
			agree = false
			first.patch(full, 0, []byte("hello")).status(503)
			first.stop()

			composer := tusd.NewStoreComposer()
			composer.UseCore(store)
			faults := &storetest.Faults{FailAt: n, Form: form}
			s := new(sink)
			e := newEnvOn(t, store, tusd.Config{Events: s}, rescanEvery(50*time.Millisecond))
			e.config.StoreComposer = faults.Wrap(composer)
			e.start()
			for _, path := range []string{complete, full} {
				e.eventually(fmt.Sprintf("an event after fault %d (%v)", n, form), func() bool { return slices.Contains(s.of(idOf(path)), "post-finish 5") })
				e.eventually("HEAD is 200", func() bool { return e.head(path).Status == 200 })
			}
			e.eventually("the side records are gone", func() bool {
				names, _, err := store.ListSideRecords(t.Context(), "finishing", "", 10)
				return err == nil && len(names) == 0
			})
			e.stop()
			if !faults.Fired() || n > 40 { // later ones are of the repeated looks
				break
			}
		}
	}
}

// If pre-finish agrees after the attempts have ended, the event has its own time.
func TestEventAfterTheAttemptsHaveEnded(t *testing.T) {
	store := storetest.NewMemory()
	var works atomic.Bool
	var refused atomic.Int64
	s := &sink{onSend: func(_ context.Context, event tusd.Event) error {
		if event.Type == tusd.EventPostFinish && refused.Add(1) <= 2 {
			return errors.New("not yet")
		}
		return nil
	}}
	config := tusd.Config{Events: s, Callbacks: tusd.Callbacks{PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
		if works.Load() {
			return tusd.HTTPResponse{}, nil
		}
		return tusd.HTTPResponse{}, errors.New("not now")
	}}}
	e := serve(t, store, config)
	path := e.create(5)
	e.patch(path, 0, []byte("hello")).status(503)
	e.ahead.Store(int64(25 * time.Hour))
	e.eventually("the attempts end", func() bool { return e.warnings.count("finishing has failed for a day") > 0 })
	works.Store(true)
	e.eventually("HEAD is 200", func() bool { return e.head(path).Status == 200 })
	e.eventually("the event", func() bool { return slices.Contains(s.of(idOf(path)), "post-finish 5") })
}

// panickingStore panics in FinishUpload as long as it is set.
type panickingStore struct {
	*storetest.Memory
	panics atomic.Bool
}

func (s *panickingStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	upload, err := s.Memory.GetUpload(ctx, lease, id)
	return &panickingUpload{upload, s}, err
}

type panickingUpload struct {
	tusd.Upload
	store *panickingStore
}

func (u *panickingUpload) FinishUpload(ctx context.Context) error {
	if u.store.panics.Load() {
		panic("the store is broken")
	}
	return u.Upload.FinishUpload(ctx)
}

// A store that panics in the background is tried again.
func TestPanicOfTheStoreInTheFinisher(t *testing.T) {
	store := &panickingStore{Memory: storetest.NewMemory()}
	leaveFinishing(t, store.Memory, 1)
	store.panics.Store(true)
	s := new(sink)
	e := newEnvOn(t, store, tusd.Config{Events: s})
	e.config.StoreComposer = &tusd.StoreComposer{Core: store, SideRecords: store.Memory}
	e.start()
	e.eventually("two attempts", func() bool { return e.warnings.count("finishing failed, will be tried again") >= 2 })
	store.panics.Store(false)
	e.eventually("the event", func() bool { return s.count(tusd.EventPostFinish) == 1 })
}

// A declared length that makes an upload of an earlier process full does not make it
// complete before pre-finish has agreed, whatever fails.
func TestDeclaredLengthDoesNotBypassPreFinish(t *testing.T) {
	for n := int64(2); ; n++ {
		store := storetest.NewMemory()
		first := serve(t, store, tusd.Config{})
		path := first.createDeferred()
		first.patch(path, 0, []byte("hello")).status(204)
		first.stop()
		composer := tusd.NewStoreComposer()
		composer.UseCore(store)
		faults := &storetest.Faults{FailAt: n}
		e := newEnvOn(t, store, tusd.Config{})
		e.countFinishes()
		e.config.StoreComposer = faults.Wrap(composer)
		e.start()
		e.eventually("the upload is complete", func() bool {
			return e.patch(path, 5, nil, "Upload-Length: 5").Status == 204 && e.get(path).Status == 200
		})
		if asked := e.finished.Load(); asked == 0 {
			t.Errorf("fault %d: pre-finish was not asked", n)
		}
		e.stop()
		if !faults.Fired() {
			return
		}
	}
}

// What another node has finished and told is not told again.
func TestTwoNodesTellOnce(t *testing.T) {
	store := storetest.NewMemory()
	locker := new(tusd.LocalLocker)
	asked, told := make(chan struct{}, 100), new(sink)
	var works atomic.Bool
	first := newEnvOn(t, store, tusd.Config{Events: told, Callbacks: tusd.Callbacks{PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
		asked <- struct{}{}
		if works.Load() {
			return tusd.HTTPResponse{}, nil
		}
		return tusd.HTTPResponse{}, errors.New("not now")
	}}})
	first.config.StoreComposer.Locker = locker
	first.changes = append(first.changes, firstRetry(time.Second))
	first.start()
	path := first.create(5)
	first.patch(path, 0, []byte("hello")).status(503)
	works.Store(true)
	second := newEnvOn(t, store, tusd.Config{Events: told})
	second.config.StoreComposer.Locker = locker
	second.start()
	second.eventually("the second node finishes it", func() bool { return second.head(path).Status == 200 })
	first.eventually("the first node notices that", func() bool { return first.head(path).Status == 200 })
	first.stop()
	second.stop()
	if n := told.count(tusd.EventPostFinish); n != 1 {
		t.Errorf("the event was sent %d times", n)
	}
}

// The side record of an upload that is removed goes with it.
func TestRemovalEndsTheFinish(t *testing.T) {
	store := storetest.NewMemory()
	e := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{PreFinish: failingFinish}})
	path := e.create(5)
	e.patch(path, 0, []byte("hello")).status(503)
	e.terminate(path).status(204)
	wantNoFinishRecords(t, store)
}
