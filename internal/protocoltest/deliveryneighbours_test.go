package protocoltest

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/tuning"
	"github.com/tus/tusd/storetest"
)

// Events that wait are not touched by a server that does not deliver them: without hooks, in
// best-effort mode, or with hooks for other events. It says so once.
func TestWaitingEventsOfAnotherConfiguration(t *testing.T) {
	for name, other := range map[string]*tusd.Delivery{
		"none": nil, "best-effort": {BestEffort: true}, "post-create": {Types: []tusd.EventType{tusd.EventPostCreate}},
		"post-finish": {Types: []tusd.EventType{tusd.EventPostFinish}},
	} {
		t.Run(name, func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hookedStore) {
				failing, _ := switchedReceiver()
				first := deliver(t, store, tusd.Delivery{Receiver: failing})
				open, full, removed := first.create(5), first.createFull([]byte("hello")), first.createFull([]byte("hello"))
				first.terminate(removed).status(204)
				first.stop()
				store.reopen()
				config := tusd.Config{}
				between := new(receiver)
				if other != nil {
					d := *other
					d.Receiver = between
					if d.BestEffort {
						d.Receiver = failing
					}
					config.Delivery = &d
				}
				second := serve(t, store, config, func(v *tuning.Values) { v.DeliveryDelay, v.RescanInterval = time.Millisecond, 20*time.Millisecond })
				if other == nil || !other.BestEffort {
					second.eventually("a warning", func() bool { return second.warnings.count("events wait in the store") == 1 })
				}
				removedBetween := second.createFull([]byte("new"))
				second.terminate(removedBetween).status(204)
				second.stop()
				store.reopen()
				r := new(receiver)
				third := deliver(t, store, tusd.Delivery{Receiver: r})
				third.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
				for target, want := range map[string][]string{
					open:    {"post-create 0"},
					full:    {"post-create 0", "post-finish 5"},
					removed: {"post-create 0", "post-finish 5", "post-terminate 5"},
				} {
					got := append(between.of(idOf(target)), r.of(idOf(target))...)
					if name == "post-finish" { // delivered before post-create, which it does not know
						slices.Sort(got)
					}
					if !slices.Equal(got, want) {
						t.Errorf("events %q, want %q", got, want)
					}
				}
				if got := r.of(idOf(removedBetween)); len(got) > 0 {
					t.Errorf("events of an upload without hooks: %q", got)
				}
			})
		})
	}
}

// An upload that the store refuses to create leaves no side record.
func TestRefusedCreationLeavesNoRecord(t *testing.T) {
	for _, refusal := range []error{tusd.ErrNoSpace, tusd.ErrUploadExists, tusd.ErrInvalidName, tusd.ErrMaxSizeExceeded} {
		store := &noNewUploads{Memory: storetest.NewMemory(), err: refusal}
		d := tusd.Delivery{Receiver: new(receiver)}
		e := serve(t, store, tusd.Config{Delivery: &d}, rescanEvery(time.Hour))
		e.post("Upload-Length: 5").status(507, 409, 400, 413)
		names, _, err := store.ListSideRecords(t.Context(), "creating", "", 10)
		if len(names) != 0 || err != nil {
			t.Errorf("%v leaves %d side records, %v", refusal, len(names), err)
		}
	}
}

// noNewUploads refuses all new uploads.
type noNewUploads struct {
	*storetest.Memory
	err error
}

func (s *noNewUploads) NewUpload(context.Context, tusd.Lease, tusd.FileInfo) (tusd.Upload, error) {
	return nil, s.err
}

// Events that end with the process are counted and logged.
func TestLostEventsAreCounted(t *testing.T) {
	r := &receiver{onDeliver: func(ctx context.Context, _ tusd.Event) error { <-ctx.Done(); return ctx.Err() }}
	e := deliver(t, storetest.NewMemory(), tusd.Delivery{Receiver: r, BestEffort: true})
	e.create(5)
	e.create(5)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	e.handler.Shutdown(ctx)
	if n := e.handler.Metrics().EventsDropped.Load(); n != 2 || e.warnings.count("events are lost") != 1 {
		t.Errorf("%d events dropped, log %q", n, e.warnings.all())
	}
}

// One server delivers post-create slowly. Meanwhile another one removes the upload and delivers
// all of its events: the post-receive that waits at the first one does not follow.
func TestPostReceiveBehindASlowEvent(t *testing.T) {
	store := storetest.NewMemory()
	locker := machineLocker{new(tusd.LocalLocker)}
	node := func(r *receiver) *env {
		d := tusd.Delivery{Receiver: r}
		e := newEnvOn(t, store, tusd.Config{Delivery: &d}, func(v *tuning.Values) { v.DeliveryDelay, v.RescanInterval = time.Millisecond, time.Hour })
		e.config.StoreComposer.Locker = locker
		e.start()
		return e
	}
	release := make(chan struct{})
	first := &receiver{onDeliver: func(context.Context, tusd.Event) error { await(t, release); return nil }}
	second := new(receiver)
	a, b := node(first), node(second)
	path := a.create(10)
	a.patch(path, 0, []byte("hello")).status(204)
	received := time.Now()
	b.terminate(path).status(204)
	b.eventually("the last event", func() bool { return slices.Contains(second.of(idOf(path)), "post-terminate 5") })
	b.eventually("the post-receive has waited", func() bool { return time.Since(received) > 150*time.Millisecond })
	close(release)
	a.eventually("nothing waits", func() bool { return a.handler.DeliveryStats().Waiting == 0 })
	if got := first.of(idOf(path)); !slices.Equal(got, []string{"post-create 0"}) {
		t.Errorf("the first server delivers %q", got)
	}
}
