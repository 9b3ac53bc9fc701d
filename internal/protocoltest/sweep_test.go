package protocoltest

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

const day = 24 * time.Hour

// sweep sweeps, and checks how many uploads are removed.
func (e *env) sweep(policy tusd.SweepPolicy, want int) tusd.SweepSummary {
	e.Helper()
	e.start()
	policy.OnlyWriter = true
	summary, err := e.handler.Sweep(e.Context(), policy)
	if err != nil || summary.Removed != want || summary.Failed != 0 {
		e.Errorf("the sweep has removed %+v (%v), want %d uploads", summary, err, want)
	}
	return summary
}

// ages is a policy with one age for some classes.
func ages(age time.Duration, classes ...tusd.UploadClass) tusd.SweepPolicy {
	policy := tusd.SweepPolicy{Ages: make(map[tusd.UploadClass]time.Duration)}
	for _, class := range classes {
		policy.Ages[class] = age
	}
	return policy
}

// sweptClasses are the classes that can be swept.
var sweptClasses = []tusd.UploadClass{tusd.ClassNeverStarted, tusd.ClassUnfinished, tusd.ClassPartial, tusd.ClassComplete, tusd.ClassFailed}

// createClasses creates uploads of each class that can be swept.
func createClasses(e *env) map[tusd.UploadClass][]string {
	half, failed := e.create(10), e.create(10)
	e.patch(half, 0, []byte("hello")).status(204)
	e.patch(failed, 0, []byte("hello")).status(204)
	e.fail(failed)
	return map[tusd.UploadClass][]string{
		tusd.ClassNeverStarted: {e.create(10), e.createDeferred()},
		tusd.ClassUnfinished:   {half},
		tusd.ClassPartial:      {e.createPartial([]byte("ab")), e.post("Upload-Length: 5", "Upload-Concat: partial").status(201).location()},
		tusd.ClassComplete:     {e.createFull([]byte("hello")), e.post("Upload-Length: 0").status(201).location()},
		tusd.ClassFailed:       {failed},
	}
}

// Each class has an age of its own. A dry run tells what would be removed, and removes
// nothing.
func TestSweepByClass(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		s := new(sink)
		e := serve(t, store, tusd.Config{Events: s})
		classes := createClasses(e)
		e.stop()
		store.reopen()
		for _, class := range sweptClasses {
			policy := ages(day, class)
			e.ahead.Store(int64(day - time.Minute))
			e.sweep(policy, 0)
			e.ahead.Store(int64(day + time.Minute))
			var reported []string
			policy.DryRun = true
			policy.Report = func(swept tusd.SweptUpload) {
				if swept.Class != class || swept.Err != nil {
					t.Errorf("class %s: reported is %+v", class, swept)
				}
				reported = append(reported, "/files/"+swept.Upload.ID)
			}
			e.sweep(policy, len(classes[class]))
			slices.Sort(reported)
			if want := slices.Sorted(slices.Values(classes[class])); !slices.Equal(reported, want) {
				t.Errorf("class %s: reported are %q, want %q", class, reported, want)
			}
			for _, path := range slices.Concat(slices.Collect(maps.Values(classes))...) {
				e.head(path).status(200, 410)
			}
			policy.DryRun, reported = false, nil
			if summary := e.sweep(policy, len(classes[class])); summary.Uploads < summary.Removed || len(reported) != summary.Removed {
				t.Errorf("class %s: %+v, reported are %q", class, summary, reported)
			}
			for _, path := range classes[class] {
				e.wantNotFound(path)
			}
			if n := s.count(tusd.EventPostExpire); n != len(classes[class]) {
				t.Errorf("class %s: %d events, want %d", class, n, len(classes[class]))
			}
			if n := e.handler.Metrics().UploadsExpired.Load(); n != uint64(len(classes[class])) {
				t.Errorf("class %s: the counter is %d", class, n)
			}
			for _, event := range s.events {
				if event.Type == tusd.EventPostExpire && (event.Reason != tusd.RemovedExpired || event.ID == "" || event.HTTPRequest.Method != "") {
					t.Errorf("event %+v", event)
				}
			}
			delete(classes, class)
			*s = sink{}
			e.stop()
			store.reopen()
		}
		e.ahead.Store(int64(1000 * day))
		e.sweep(ages(day, sweptClasses...), 0)
		if n := e.countUploads() + sideRecords(t, store, "removing"); n != 0 {
			t.Errorf("%d uploads and side records are left", n)
		}
	})
}

// Case 100: an upload is not removed under a request, and not before its age has passed
// since the request's last change.
func TestSweepBesideARequest(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{ExpireAfter: time.Hour})
		path, other := e.create(10), e.create(10)
		patch := e.another().open(path, 0, 10)
		patch.sendAndSee([]byte("hello"))
		e.ahead.Store(int64(2 * day))
		e.sweep(ages(day, tusd.ClassNeverStarted, tusd.ClassUnfinished), 1)
		e.head(other).status(404)
		patch.send([]byte("world"))
		patch.answer().status(204)
		e.wantOffset(path, 10)
		e.wantStored(path, []byte("helloworld"))
	})
}

// lockHook is a locker that calls a function before it takes a lock.
type lockHook struct {
	tusd.Locker
	before func(id string, mode tusd.LockMode)
}

func (l lockHook) Lock(ctx context.Context, id string, mode tusd.LockMode) (tusd.Lease, error) {
	l.before(id, mode)
	return l.Locker.Lock(ctx, id, mode)
}

// A client that resumes after the inventory, and before the sweeper has the lock, keeps its
// upload.
func TestSweepDecidesUnderTheLock(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := newEnvOn(t, store, tusd.Config{})
		var resume func(id string)
		e.config.StoreComposer.Locker = lockHook{new(tusd.LocalLocker), func(id string, mode tusd.LockMode) {
			if f := resume; f != nil && mode == tusd.LockTry {
				resume = nil
				f(id)
			}
		}}
		e.start()
		path := e.create(10)
		policy := ages(5*time.Second, tusd.ClassNeverStarted, tusd.ClassUnfinished) // longer than a PATCH takes
		policy.OnlyWriter, policy.DryRun = true, true
		e.eventually("the upload is due", func() bool {
			summary, err := e.handler.Sweep(t.Context(), policy)
			return err == nil && summary.Removed == 1
		})
		resume = func(id string) { e.patch("/files/"+id, 0, []byte("hello")).status(204) }
		policy.DryRun = false
		e.sweep(policy, 0)
		if resume != nil {
			t.Error("the sweep has not tried to remove the upload")
		}
		e.wantOffset(path, 5)
	})
}

// A partial that an unfinished final needs stays. So does a complete upload whose
// post-finish the sink has not taken.
func TestSweepKeepsWhatIsNeeded(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{Events: &sink{onSend: refusingFinish}}, rescanEvery(time.Hour))
		full, open, final := e.pendingFinal()
		complete := e.createFull([]byte("hello"))
		e.ahead.Store(int64(23 * time.Hour))
		policy := ages(time.Hour, sweptClasses...)
		policy.DryRun = true
		e.sweep(policy, 0)
		policy.DryRun = false
		e.sweep(policy, 0)
		for _, path := range []string{full, open, final, complete} {
			e.head(path).status(200)
		}
	})
}

// mortal is a store of a process that dies: after a number of steps nothing works.
type mortal struct {
	*storetest.Memory
	left atomic.Int64
}

var errDead = errors.New("the process is dead")

func (m *mortal) step() error {
	if m.left.Add(-1) < 0 {
		return errDead
	}
	return nil
}

func (m *mortal) PutSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) error {
	if err := m.step(); err != nil {
		return err
	}
	return m.Memory.PutSideRecord(ctx, key, value)
}

func (m *mortal) DeleteSideRecord(ctx context.Context, key tusd.SideRecordKey) error {
	if err := m.step(); err != nil {
		return err
	}
	return m.Memory.DeleteSideRecord(ctx, key)
}

func (m *mortal) Terminate(ctx context.Context, lease tusd.Lease, id string) error {
	if err := m.step(); err != nil {
		return err
	}
	return errors.Join(m.Memory.Terminate(ctx, lease, id), m.step())
}

// A sweeper that dies at any operation leaves a whole upload, or none and an event that the
// next process sends.
func TestSweeperDies(t *testing.T) {
	for steps := range int64(10) {
		store := &mortal{Memory: storetest.NewMemory()}
		store.left.Store(1000)
		s := new(sink)
		s.onSend = func(context.Context, tusd.Event) error { return store.step() }
		first := serve(t, store, tusd.Config{Events: s})
		var paths []string
		for range 2 {
			path := first.create(10)
			first.patch(path, 0, []byte("hello")).status(204)
			paths = append(paths, path)
		}
		first.ahead.Store(int64(2 * day))
		store.left.Store(steps)
		policy := ages(day, tusd.ClassUnfinished)
		policy.OnlyWriter = true
		if _, err := first.handler.Sweep(t.Context(), policy); err != nil {
			t.Errorf("after %d steps: %v", steps, err)
		}
		first.stop()
		store.left.Store(1000)

		second := serve(t, store, tusd.Config{Events: s})
		for _, path := range paths {
			if a := second.head(path).status(200, 404); a.Status == 200 {
				a.header("Upload-Offset", "5")
			}
		}
		second.ahead.Store(int64(2 * day))
		if _, err := second.handler.Sweep(t.Context(), policy); err != nil {
			t.Errorf("after %d steps, the second sweep: %v", steps, err)
		}
		wantExpired(second, s, paths...)
		if n := sideRecords(t, store, "removing"); n != 0 {
			t.Errorf("after %d steps: %d side records are left", steps, n)
		}
	}
}

// wantExpired checks that uploads are gone, and that each expiry was told, with one id.
func wantExpired(e *env, s *sink, paths ...string) {
	e.Helper()
	told := make(map[string]map[string]bool)
	s.mu.Lock()
	for _, event := range s.events {
		if event.Type == tusd.EventPostExpire {
			if told[event.Upload.ID] == nil {
				told[event.Upload.ID] = make(map[string]bool)
			}
			told[event.Upload.ID][event.ID] = true
		}
	}
	s.mu.Unlock()
	for _, path := range paths {
		e.eventually("the upload is gone", func() bool { return e.head(path).Status == 404 })
		if len(told[idOf(path)]) != 1 {
			e.Errorf("the expiry of %s was told with the ids %v, want one", path, told[idOf(path)])
		}
	}
}

// Whatever operation of the store fails, each expiry is told.
func TestNoFaultLosesPostExpire(t *testing.T) {
	for _, form := range []storetest.FaultForm{storetest.Refused, storetest.Lost} {
		for n := int64(1); ; n++ {
			if n > 100 {
				t.Fatal("the faults do not end")
			}
			store := storetest.NewMemory()
			first := serve(t, store, tusd.Config{})
			path := first.create(10)
			first.stop()

			composer := tusd.NewStoreComposer()
			composer.UseCore(store)
			faults := &storetest.Faults{FailAt: n + 1, Form: form} // the first operation is Open
			s := new(sink)
			e := newEnvOn(t, store, tusd.Config{Events: s})
			e.config.StoreComposer = faults.Wrap(composer)
			e.start()
			e.ahead.Store(int64(2 * day))
			policy := ages(day, tusd.ClassNeverStarted)
			policy.OnlyWriter = true
			e.eventually(fmt.Sprintf("the upload is swept after fault %d (%v)", n, form), func() bool {
				e.handler.Sweep(t.Context(), policy)
				return s.count(tusd.EventPostExpire) > 0 && sideRecords(t, store, "removing") == 0
			})
			wantExpired(e, s, path)
			e.stop()
			if !faults.Fired() {
				break
			}
		}
	}
}

// A removal that has failed is forgotten: the upload can be continued, and removed for
// another reason.
func TestFailedExpiryIsForgotten(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		s := new(sink)
		e := serve(t, store, tusd.Config{Events: s}, rescanEvery(20*time.Millisecond))
		path := e.create(10)
		e.ahead.Store(int64(2 * day))
		store.onTerminate = func(func() error) error { return storetest.ErrInjected }
		policy := ages(day, tusd.ClassNeverStarted)
		policy.OnlyWriter = true
		if summary, err := e.handler.Sweep(t.Context(), policy); err != nil || summary.Failed != 1 || summary.Removed != 0 {
			t.Errorf("%+v, %v", summary, err)
		}
		if n := sideRecords(t, store, "removing"); n != 0 {
			t.Errorf("%d side records are left", n)
		}
		store.onTerminate = nil
		e.ahead.Store(0)
		e.patch(path, 0, []byte("hello")).status(204)
		e.terminate(path).status(204)
		e.stop()
		if got := s.of(idOf(path)); !slices.Equal(got, []string{"post-create 0", "post-receive 5", "post-terminate 5"}) {
			t.Errorf("events %q", got)
		}
	})
}

// A sink that does not take post-expire gets it again, from a rescan too.
func TestPostExpireIsSentAgain(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		var refused atomic.Int64
		s := &sink{onSend: func(_ context.Context, event tusd.Event) error {
			if event.Type == tusd.EventPostExpire && refused.Add(1) < 3 {
				return errors.New("not yet")
			}
			return nil
		}}
		e := serve(t, store, tusd.Config{Events: s}, rescanEvery(20*time.Millisecond))
		path := e.create(10)
		e.ahead.Store(int64(2 * day))
		e.sweep(ages(day, tusd.ClassNeverStarted), 1)
		e.head(path).status(404)
		e.eventually("the sink takes the event", func() bool { return s.count(tusd.EventPostExpire) > 0 })
		e.eventually("the side record is gone", func() bool { return sideRecords(t, store, "removing") == 0 })
		wantExpired(e, s, path)
	})
}

// A tool removes uploads beside the server, which sends the events.
func TestOfflineRemoval(t *testing.T) {
	store := storetest.NewMemory()
	locker := new(tusd.LocalLocker)
	s := new(sink)
	e := newEnvOn(t, store, tusd.Config{Events: s}, rescanEvery(20*time.Millisecond))
	e.config.StoreComposer.Locker = locker
	e.start()
	removed, swept, kept := e.create(5), e.create(10), e.createFull([]byte("hello"))
	e.patch(swept, 0, []byte("hello")).status(204)
	toolSink := new(sink)
	tool := newEnvOn(t, store, tusd.Config{Events: toolSink, Offline: true})
	tool.config.StoreComposer.Locker = locker
	tool.start()
	running := e.another().open(removed, 0, 5)
	running.sendAndSee([]byte("he"))
	if err := tool.handler.Terminate(t.Context(), idOf(removed)); err != nil {
		t.Errorf("Terminate: %v", err)
	}
	running.Answer() // the lock was taken from it
	tool.ahead.Store(int64(2 * day))
	tool.sweep(ages(day, tusd.ClassUnfinished), 1)
	e.eventually("the server has sent the events", func() bool {
		return s.count(tusd.EventPostTerminate) == 1 && s.count(tusd.EventPostExpire) == 1 && sideRecords(t, store, "removing") == 0
	})
	for _, event := range s.events {
		if event.Type == tusd.EventPostTerminate && (event.Upload.ID != idOf(removed) || event.Reason != tusd.RemovedByOperator) {
			t.Errorf("event %+v", event)
		}
	}
	wantExpired(e, s, swept)
	e.head(removed).status(404)
	e.wantOffset(kept, 5)
	tool.stop()
	if len(toolSink.events) != 0 {
		t.Errorf("the tool has sent %v", toolSink.events)
	}
}

// Several sweepers at the same time do no harm.
func TestSweepersBesideEachOther(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		s := new(sink)
		e := serve(t, store, tusd.Config{Events: s})
		var paths []string
		for range 30 {
			paths = append(paths, e.create(10))
		}
		e.ahead.Store(int64(2 * day))
		policy := ages(day, tusd.ClassNeverStarted)
		policy.OnlyWriter = true
		var work sync.WaitGroup
		var removed atomic.Int64
		for range 3 {
			work.Go(func() {
				summary, err := e.handler.Sweep(t.Context(), policy)
				if err != nil || summary.Failed > 0 {
					t.Errorf("%+v, %v", summary, err)
				}
				removed.Add(int64(summary.Removed))
			})
		}
		work.Wait()
		if removed.Load() != 30 || s.count(tusd.EventPostExpire) != 30 {
			t.Errorf("%d uploads are removed, %d events are sent", removed.Load(), s.count(tusd.EventPostExpire))
		}
		wantExpired(e, s, paths...)
	})
}

// A policy that could remove the upload of a request that another process serves is
// refused.
func TestSweepPolicies(t *testing.T) {
	store := storetest.NewMemory()
	e := serve(t, store, tusd.Config{})
	for text, policy := range map[string]tusd.SweepPolicy{
		"a lock that all processes share": ages(day-1, tusd.ClassPartial),
		"is negative":                     ages(-1, tusd.ClassComplete),
		`"waiting" are never removed`:     ages(day, tusd.ClassWaiting),
		`"unknown" are never removed`:     ages(day, "unknown"),
	} {
		if _, err := e.handler.Sweep(t.Context(), policy); err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want one with %q", err, text)
		}
	}
	if _, err := e.handler.Sweep(t.Context(), ages(day, sweptClasses...)); err != nil {
		t.Errorf("ages of a day: %v", err)
	}
	composer := tusd.NewStoreComposer()
	composer.UseCore(struct{ tusd.DataStore }{store})
	bare := newEnvOn(t, store, tusd.Config{})
	bare.config.StoreComposer = composer
	bare.start()
	if _, err := bare.handler.Sweep(t.Context(), tusd.SweepPolicy{}); !errors.Is(err, tusd.ErrNotImplemented) {
		t.Errorf("without a Lister: %v", err)
	}
	e.stop()
	if _, err := e.handler.Sweep(t.Context(), tusd.SweepPolicy{}); !errors.Is(err, tusd.ErrServerShutdown) {
		t.Errorf("after Shutdown: %v", err)
	}
}

// evictor keeps the function with which a store makes room.
type evictor struct {
	*storetest.Memory
	env tusd.Env
}

func (v *evictor) Open(ctx context.Context, env tusd.Env) error {
	v.env = env
	return v.Memory.Open(ctx, env)
}

// A store makes room with a removal like that of a program, but never under a request.
func TestEvict(t *testing.T) {
	store := &evictor{Memory: storetest.NewMemory()}
	s := new(sink)
	e := serve(t, store, tusd.Config{Events: s})
	used, unused := e.create(10), e.create(10)
	patch := e.another().open(used, 0, 10)
	patch.sendAndSee([]byte("hello"))
	allow := func(allowed bool) func(tusd.FileInfo) bool {
		return func(info tusd.FileInfo) bool {
			if info.ID != idOf(unused) || info.Size != 10 {
				t.Errorf("the store is asked for %+v", info)
			}
			return allowed
		}
	}
	if err := store.env.Evict(t.Context(), idOf(used), allow(true)); !errors.Is(err, tusd.ErrUploadLocked) {
		t.Errorf("Evict under a request: %v", err)
	}
	if err := store.env.Evict(t.Context(), idOf(unused), allow(false)); !errors.Is(err, tusd.ErrUploadLocked) {
		t.Errorf("Evict of an upload that the store keeps: %v", err)
	}
	e.head(unused).status(200)
	if err := store.env.Evict(t.Context(), idOf(unused), allow(true)); err != nil {
		t.Errorf("Evict: %v", err)
	}
	e.head(unused).status(404)
	patch.send([]byte("world"))
	patch.answer().status(204)
	if n := e.handler.Metrics().UploadsEvicted.Load(); n != 1 || s.count(tusd.EventPostTerminate) != 1 {
		t.Errorf("%d uploads are evicted, %d events", n, s.count(tusd.EventPostTerminate))
	}
	if last := s.events[len(s.events)-1]; sideRecords(t, store, "removing") != 0 || last.Type != tusd.EventPostFinish {
		t.Errorf("the last event is %s", last.Type)
	}
}

// The event of such a removal is sent until the sink takes it.
func TestEvictionIsToldAgain(t *testing.T) {
	store := &evictor{Memory: storetest.NewMemory()}
	var refused atomic.Int64
	s := &sink{onSend: func(_ context.Context, event tusd.Event) error {
		if event.Type == tusd.EventPostTerminate && refused.Add(1) < 3 {
			return errors.New("not yet")
		}
		return nil
	}}
	e := serve(t, store, tusd.Config{Events: s}, rescanEvery(20*time.Millisecond))
	id := idOf(e.create(10))
	if err := store.env.Evict(t.Context(), id, func(tusd.FileInfo) bool { return true }); err != nil {
		t.Errorf("Evict: %v", err)
	}
	e.eventually("the sink takes the event", func() bool {
		return s.count(tusd.EventPostTerminate) == 1 && sideRecords(t, store, "removing") == 0
	})
	if last := s.events[len(s.events)-1]; last.Upload.ID != id || last.Reason != tusd.RemovedForSpace {
		t.Errorf("event %+v", last)
	}
}

// leaveRemoval leaves the side record of a removal that a process has begun an hour ago.
func leaveRemoval(t *testing.T, store tusd.SideRecords, info tusd.FileInfo, since time.Time) {
	t.Helper()
	value, err := json.Marshal(map[string]any{"Since": since, "Reason": "expired", "Upload": info})
	if err == nil {
		err = store.PutSideRecord(t.Context(), tusd.SideRecordKey{Kind: "removing", Name: fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(nil, "%s\n%d", info.ID, info.Created.UnixNano())))}, value)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A crash after a removal, and then a new upload with the id: the expiry of the old one is
// told, and the new one stays.
func TestExpiryOfAnEarlierUpload(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		s := new(sink)
		e := serve(t, store, tusd.Config{Events: s}, rescanEvery(20*time.Millisecond))
		path := e.create(10)
		old := recordOf(t, store, path)
		old.Created, old.Offset = old.Created.Add(-day), 7
		leaveRemoval(t, store, old, time.Now().Add(-time.Hour))
		e.eventually("the expiry is told", func() bool { return slices.Contains(s.of(idOf(path)), "post-expire 7") })
		e.patch(path, 0, []byte("hello")).status(204)
		e.wantOffset(path, 5)
		e.eventually("the side record is gone", func() bool { return sideRecords(t, store, "removing") == 0 })
	})
}

// A removal that an earlier process has left is told at the start, one of another process by
// the next sweep.
func TestLeftRemovalsAreTold(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		first := serve(t, store, tusd.Config{})
		early, late := first.create(10), first.create(20)
		records := []tusd.FileInfo{recordOf(t, store, early), recordOf(t, store, late)}
		first.stop()
		leaveRemoval(t, store, records[0], time.Now().Add(-time.Hour))
		removeFromStore(t, store, early)
		removeFromStore(t, store, late)
		store.reopen()
		s := new(sink)
		e := serve(t, store, tusd.Config{Events: s}, rescanEvery(time.Hour))
		e.eventually("the expiry is told", func() bool { return s.count(tusd.EventPostExpire) == 1 && sideRecords(t, store, "removing") == 0 })
		leaveRemoval(t, store, records[1], time.Now().Add(-time.Hour))
		e.sweep(tusd.SweepPolicy{}, 0)
		wantExpired(e, s, early, late)
	})
}

// A handler for tools does not begin work by itself.
func TestOfflineHandlerIsQuiet(t *testing.T) {
	store := &hookedStore{open: inMemory(t)}
	store.reopen()
	var looks atomic.Int64
	store.onListSideRecords = func(string) { looks.Add(1) }
	tool := serve(t, store, tusd.Config{Offline: true}, rescanEvery(time.Millisecond))
	tool.stop()
	if n := looks.Load(); n != 0 {
		t.Errorf("the side records are listed %d times", n)
	}
}

// A crash in the middle of a removal: the rest of the upload is removed, and its expiry told.
func TestHalfRemovedUploadIsRemoved(t *testing.T) {
	store := &hookedStore{open: inFiles(t)}
	store.reopen()
	s := new(sink)
	e := serve(t, store, tusd.Config{Events: s}, rescanEvery(20*time.Millisecond))
	path := e.create(10)
	info := recordOf(t, store, path)
	if err := os.Remove(info.Storage["Path"]); err != nil {
		t.Fatal(err)
	}
	leaveRemoval(t, store, info, time.Now().Add(-time.Hour))
	e.eventually("the side record is gone", func() bool { return sideRecords(t, store, "removing") == 0 })
	wantExpired(e, s, path)
	if n := e.countUploads(); n != 0 {
		t.Errorf("%d uploads are listed", n)
	}
}

// What cannot be read under the id of an upload that was removed before is another upload.
func TestBrokenUploadAfterAnExpiry(t *testing.T) {
	store := &hookedStore{open: inFiles(t)}
	store.reopen()
	var down atomic.Bool
	down.Store(true)
	s := &sink{onSend: func(_ context.Context, event tusd.Event) error {
		if down.Load() && event.Type == tusd.EventPostExpire {
			return errors.New("the queue is down")
		}
		return nil
	}}
	e := serve(t, store, tusd.Config{Events: s, Callbacks: tusd.Callbacks{
		PreCreate: func(context.Context, tusd.Event) (r tusd.HTTPResponse, c tusd.FileInfoChanges, err error) {
			c.ID = "mine"
			return r, c, nil
		},
	}}, rescanEvery(20*time.Millisecond))
	path := e.create(10)
	e.ahead.Store(int64(2 * day))
	e.sweep(ages(day, tusd.ClassNeverStarted), 1)
	e.ahead.Store(0)
	e.patch(e.createAgain("Upload-Length: 5"), 0, []byte("hello")).status(204)
	data := recordOf(t, store, path).Storage["Path"]
	if err := os.Rename(data, data+".away"); err != nil {
		t.Fatal(err)
	}
	down.Store(false)
	e.eventually("the expiry is told", func() bool { return s.count(tusd.EventPostExpire) == 1 && sideRecords(t, store, "removing") == 0 })
	if err := os.Rename(data+".away", data); err != nil {
		t.Fatal(err)
	}
	e.wantOffset(path, 5)
}

// After a day the sink has refused post-expire for too long.
func TestPostExpireIsGivenUp(t *testing.T) {
	store := storetest.NewMemory()
	var asked atomic.Int64
	e := serve(t, store, tusd.Config{Events: &sink{onSend: func(context.Context, tusd.Event) error {
		asked.Add(1)
		return errors.New("never")
	}}}, rescanEvery(20*time.Millisecond))
	leaveRemoval(t, store, tusd.FileInfo{ID: "young"}, time.Now().Add(-23*time.Hour))
	e.eventually("the event is sent some times", func() bool { return asked.Load() > 3 })
	leaveRemoval(t, store, tusd.FileInfo{ID: "old"}, time.Now().Add(-25*time.Hour))
	e.eventually("the older side record is gone", func() bool { return sideRecords(t, store, "removing") == 1 })
	e.ahead.Store(int64(2 * time.Hour))
	e.eventually("the side record is gone", func() bool { return sideRecords(t, store, "removing") == 0 })
}

// A record that is too long for a side record is swept, too.
func TestSweepOfALongRecord(t *testing.T) {
	store := storetest.NewMemory()
	s := new(sink)
	e := serve(t, store, tusd.Config{Events: s})
	lease, err := new(tusd.LocalLocker).Lock(t.Context(), "long", tusd.LockTry)
	if err == nil {
		_, err = store.NewUpload(t.Context(), lease, tusd.FileInfo{ID: "long", Size: 10, Version: tusd.RecordVersion, MetaData: tusd.MetaData{"a": strings.Repeat("x", 100<<10)}})
	}
	if err != nil {
		t.Fatal(err)
	}
	e.ahead.Store(int64(2 * day))
	e.sweep(ages(day, tusd.ClassNeverStarted), 1)
	wantExpired(e, s, "/files/long")
}

// twoProcesses are two handlers on one store, each with a lock of its own, and an upload that
// has not changed for 25 hours.
func twoProcesses(t *testing.T) (store *hookedStore, sweeper, server *env, path string) {
	t.Helper()
	memory := storetest.NewMemory()
	store = &hookedStore{open: func() concatStore { return memory }}
	store.reopen()
	sweeper, server = serve(t, store, tusd.Config{}), serve(t, store, tusd.Config{})
	path = server.create(10)
	server.patch(path, 0, []byte("hel")).status(204)
	if err := memory.SetChanged(idOf(path), time.Now().Add(-25*time.Hour)); err != nil {
		t.Fatal(err)
	}
	return store, sweeper, server, path
}

// sweepShared sweeps without the promise that no other process writes.
func (e *env) sweepShared(want int) {
	e.Helper()
	summary, err := e.handler.Sweep(e.Context(), ages(day, tusd.ClassUnfinished))
	if err != nil || summary.Removed != want || summary.Failed != 0 {
		e.Errorf("the sweep has removed %+v (%v), want %d uploads", summary, err, want)
	}
}

// A sweep does not remove an upload under a request of a process whose lock it does not see,
// and does not forget a removal of such a process.
func TestSweepBesideAProcessWithItsOwnLock(t *testing.T) {
	t.Run("request first", func(t *testing.T) {
		_, sweeper, server, path := twoProcesses(t)
		patch := server.another().open(path, 3, 7)
		sweeper.sweepShared(0)
		patch.send([]byte("loworld"))
		patch.answer().status(204)
		server.wantOffset(path, 10)
	})
	t.Run("request before the side record", func(t *testing.T) {
		store, sweeper, server, path := twoProcesses(t)
		store.onPutSideRecord = func(key tusd.SideRecordKey) error {
			if key.Kind == "removing" {
				server.patch(path, 3, []byte("lo")).status(204)
			}
			return nil
		}
		sweeper.sweepShared(0)
		server.wantOffset(path, 5)
		if n := sideRecords(t, store, "removing"); n != 0 {
			t.Errorf("%d side records are left", n)
		}
	})
	t.Run("side record first", func(t *testing.T) {
		store, sweeper, server, path := twoProcesses(t)
		removals := 0
		store.onTerminate = func(terminate func() error) error {
			removals++
			server.patch(path, 3, []byte("lo")).status(423)
			server.sweep(tusd.SweepPolicy{}, 0)
			if n := sideRecords(t, store, "removing"); n != 1 {
				t.Errorf("%d side records during the removal", n)
			}
			return terminate()
		}
		sweeper.sweepShared(1)
		server.head(path).status(404)
		if n := sideRecords(t, store, "removing"); n != 0 || removals != 1 {
			t.Errorf("%d removals, %d side records afterwards", removals, n)
		}
	})
}

// Shutdown waits until a sweep has told the expiry of what it removes.
func TestShutdownDuringASweep(t *testing.T) {
	arrived, release := make(chan struct{}), make(chan struct{})
	s := new(sink)
	s.onSend = func(_ context.Context, event tusd.Event) error {
		if event.Type == tusd.EventPostExpire {
			close(arrived)
			<-release
		}
		return nil
	}
	e := serve(t, storetest.NewMemory(), tusd.Config{Events: s})
	path := e.create(10)
	e.ahead.Store(int64(2 * day))
	go e.handler.Sweep(context.Background(), tusd.SweepPolicy{Ages: ages(day, tusd.ClassNeverStarted).Ages})
	await(t, arrived)
	ended := make(chan error)
	go func() { ended <- e.handler.Shutdown(t.Context()) }()
	e.eventually("the handler refuses changes", func() bool { return errors.Is(e.handler.Terminate(t.Context(), "x"), tusd.ErrServerShutdown) })
	select {
	case err := <-ended:
		t.Errorf("Shutdown returns (%v) before the event is sent", err)
	default:
	}
	close(release)
	if err := <-ended; err != nil || !s.closedOnce() || len(s.of(idOf(path))) != 2 {
		t.Errorf("Shutdown: %v; events %q, closed once: %t", err, s.of(idOf(path)), s.closedOnce())
	}
}

// createAgain creates an upload with an id that a look at the side records may have locked.
func (e *env) createAgain(header ...string) string {
	e.Helper()
	var a *answer
	e.eventually("the id is free", func() bool {
		a = e.post(header...)
		return a.Status != 423
	})
	return a.status(201).location()
}

// Two uploads with one id expire, one after the other, while the sink takes nothing.
func TestExpiriesOfOneID(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		var down atomic.Bool
		s := new(sink)
		s.onSend = func(context.Context, tusd.Event) error {
			if down.Load() {
				return errors.New("the queue is down")
			}
			return nil
		}
		e := serve(t, store, tusd.Config{Events: s, Callbacks: tusd.Callbacks{
			PreCreate: func(context.Context, tusd.Event) (r tusd.HTTPResponse, c tusd.FileInfoChanges, err error) {
				c.ID = "mine"
				return r, c, nil
			},
		}}, rescanEvery(20*time.Millisecond))
		down.Store(true)
		for range 2 {
			e.ahead.Store(0)
			e.createAgain("Upload-Length: 10")
			e.ahead.Store(int64(2 * day))
			e.eventually("the upload is swept", func() bool { // a look at the side records may have its lock
				summary, err := e.handler.Sweep(t.Context(), tusd.SweepPolicy{Ages: ages(day, tusd.ClassNeverStarted).Ages, OnlyWriter: true})
				return err == nil && summary.Removed == 1
			})
		}
		e.ahead.Store(0)
		third := e.createAgain("Upload-Length: 10")
		down.Store(false)
		e.eventually("both are told", func() bool { return s.count(tusd.EventPostExpire) == 2 && sideRecords(t, store, "removing") == 0 })
		if first, second := s.events[0], s.events[1]; first.ID == second.ID {
			t.Errorf("both have the id %s", first.ID)
		}
		e.wantOffset(third, 0)
	})
}

// A crash before a removal, and then a client that removes the upload: it was not expired.
func TestDeleteAfterACrashedSweep(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		s := new(sink)
		e := serve(t, store, tusd.Config{Events: s}, rescanEvery(time.Hour))
		path := e.create(10)
		leaveRemoval(t, store, recordOf(t, store, path), time.Now())
		e.ahead.Store(int64(2 * day))
		e.terminate(path).status(204)
		e.sweep(tusd.SweepPolicy{}, 0)
		if got := s.of(idOf(path)); !slices.Equal(got, []string{"post-create 0", "post-terminate 0"}) {
			t.Errorf("events %q", got)
		}
	})
}

// The side record of a removal may go, with the upload, between a look at it and the lock.
func TestRemovalEndsDuringALook(t *testing.T) {
	store := &hookedStore{open: inMemory(t)}
	store.reopen()
	s := new(sink)
	e := serve(t, store, tusd.Config{Events: s}, rescanEvery(time.Hour))
	path := e.create(10)
	leaveRemoval(t, store, recordOf(t, store, path), time.Now().Add(-time.Hour))
	var once sync.Once
	store.onGetSideRecord = func(key tusd.SideRecordKey) {
		once.Do(func() {
			removeSideRecords(t, store, "removing")
			removeFromStore(t, store, path)
		})
	}
	e.sweep(tusd.SweepPolicy{}, 0)
	if n := s.count(tusd.EventPostExpire); n != 0 {
		t.Errorf("%d expiries are told", n)
	}
}

// A complete upload whose post-finish the server could not send is not removed by a tool.
func TestOfflineSweepKeepsWhatIsNotPublished(t *testing.T) {
	store := storetest.NewMemory()
	locker := new(tusd.LocalLocker)
	e := newEnvOn(t, store, tusd.Config{Events: &sink{onSend: refusingFinish}}, rescanEvery(time.Hour))
	e.config.StoreComposer.Locker = locker
	e.start()
	path := e.createFull([]byte("hello"))
	tool := newEnvOn(t, store, tusd.Config{Offline: true})
	tool.config.StoreComposer.Locker = locker
	tool.ahead.Store(int64(2 * time.Hour))
	tool.sweep(ages(time.Hour, tusd.ClassComplete), 0)
	e.wantOffset(path, 5)
}

// tidied is a store with leftovers.
type tidied struct {
	*storetest.Memory
	leftovers []tusd.Leftover
	asked     tusd.Tidying
	context   context.Context
}

func (s *tidied) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	s.context = ctx
	return s.Memory.GetUpload(ctx, lease, id)
}

func (s *tidied) Tidy(ctx context.Context, t tusd.Tidying) error {
	s.asked = t
	for _, leftover := range s.leftovers {
		if err := t.Pace(ctx); err != nil {
			return err
		}
		t.Report(leftover)
	}
	return nil
}

// A sweep lets the store tidy, and tells what it has found. What it loads is loaded once.
func TestSweepTidies(t *testing.T) {
	store := &tidied{Memory: storetest.NewMemory(), leftovers: []tusd.Leftover{
		{Kind: tusd.LeftoverTemporary, Name: "a.tmp", Removed: true},
		{Kind: tusd.LeftoverData, Name: "b"},
		{Kind: tusd.LeftoverLock, Name: "c.lock", Err: errors.New("no permission")},
	}}
	e := serve(t, store, tusd.Config{})
	path := e.create(10)
	var told []string
	policy := ages(day, tusd.ClassNeverStarted)
	policy.ReportLeftover = func(l tusd.Leftover) { told = append(told, l.Name) }
	summary := e.sweep(policy, 0)
	if summary.Leftovers != 1 || summary.Kept != 2 || !slices.Equal(told, []string{"a.tmp", "b", "c.lock"}) {
		t.Errorf("%+v, reported are %q", summary, told)
	}
	if age := time.Since(store.asked.Before); age < day || age > day+time.Minute || store.asked.DryRun {
		t.Errorf("the store may remove what is older than %v", age)
	}
	patch := e.another().open(path, 0, 10)
	if _, err := store.asked.Lock(t.Context(), idOf(path)); !errors.Is(err, tusd.ErrUploadLocked) {
		t.Errorf("Lock of a locked upload: %v", err)
	}
	patch.send([]byte("helloworld"))
	patch.answer().status(204)
	policy.DryRun = true
	e.sweep(policy, 0)
	if !store.asked.DryRun {
		t.Error("a dry run lets the store remove leftovers")
	}
	if tusd.LoadedOnce(store.context) {
		t.Error("a request loads with the mark of a sweep")
	}
	e.create(10)
	e.ahead.Store(int64(2 * day))
	policy.DryRun = false
	e.sweep(policy, 1)
	if !tusd.LoadedOnce(store.context) {
		t.Error("a sweep loads without a mark")
	}
	if n := e.handler.Metrics().LeftoversRemoved.Load(); n != 2 {
		t.Errorf("%d leftovers are counted", n)
	}
}

// A sweep waits for its rate, and not after it was cancelled.
func TestSweepCanBeCancelled(t *testing.T) {
	t.Parallel()
	store := &pacedStore{Memory: storetest.NewMemory()}
	e := serve(t, store, tusd.Config{})
	for range 20 {
		e.create(10)
	}
	e.ahead.Store(int64(2 * day))
	policy := ages(day, tusd.ClassNeverStarted)
	policy.OnlyWriter, policy.Rate, policy.DryRun = true, 1, true // 20 s
	tooLong := errors.New("too long")
	ctx, cancel := context.WithCancelCause(t.Context())
	store.onPace = func(n int) {
		if n == 2 {
			cancel(tooLong)
		}
	}
	if _, err := e.handler.Sweep(ctx, policy); !errors.Is(err, tooLong) || store.paced > 3 {
		t.Errorf("the sweep ends with %v after %d uploads", err, store.paced)
	}
	reached := make(chan struct{})
	store.paced, store.onPace = 0, func(n int) {
		if n == 2 {
			close(reached)
		}
	}
	ended := make(chan error)
	go func() {
		_, err := e.handler.Sweep(t.Context(), policy)
		ended <- err
	}()
	await(t, reached)
	e.stop()
	if err := <-ended; !errors.Is(err, tusd.ErrServerShutdown) || store.paced > 3 {
		t.Errorf("at the shutdown the sweep ends with %v after %d uploads", err, store.paced)
	}
}

// pacedStore counts the calls of ListFilter.Pace.
type pacedStore struct {
	*storetest.Memory
	paced  int
	onPace func(n int) // before the call
}

func (s *pacedStore) List(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
	pace := filter.Pace
	filter.Pace = func(ctx context.Context) error {
		s.paced++
		s.onPace(s.paced)
		return pace(ctx)
	}
	return s.Memory.List(ctx, cursor, filter, limit)
}
