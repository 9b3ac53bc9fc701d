package protocoltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/tuning"
	"github.com/tus/tusd/storetest"
)

// Events that do not fit into memory wait in side records. Without these, they are dropped and
// counted.
func TestDeliveryWithoutMemory(t *testing.T) {
	for name, c := range map[string]struct {
		limit       int64
		sideRecords bool
	}{"all fit": {0, true}, "few fit": {4000, true}, "all fit, no side records": {0, false}, "few fit, no side records": {4000, false}} {
		t.Run(name, func(t *testing.T) {
			var down atomic.Bool
			down.Store(true)
			r := &receiver{onDeliver: func(ctx context.Context, event tusd.Event) error {
				if down.Load() {
					return failingDelivery(ctx, event)
				}
				return nil
			}}
			types := []tusd.EventType{tusd.EventPostCreate, tusd.EventPostFinish, tusd.EventPostTerminate}
			store := storetest.NewMemory()
			d := tusd.Delivery{Receiver: r, Types: types, MaxBytes: c.limit}
			e := newEnvOn(t, store, tusd.Config{Delivery: &d}, func(v *tuning.Values) { v.DeliveryDelay, v.RescanInterval = time.Millisecond, time.Hour })
			if !c.sideRecords {
				e.config.StoreComposer.SideRecords = nil
			}
			e.start()
			const uploads = 20
			for range uploads {
				path := e.createFull([]byte("hello"))
				e.terminate(path).status(204)
			}
			down.Store(false)
			e.eventually("all are delivered or dropped", func() bool {
				return len(r.all())+int(e.handler.Metrics().EventsDropped.Load()) == 3*uploads
			})
			if got, all := len(r.all()), c.limit == 0 || c.sideRecords; all && got != 3*uploads || !all && (got == 0 || got > uploads) {
				t.Errorf("%d events of %d uploads are delivered", got, uploads)
			}
			e.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
		})
	}
}

// An event that is larger than the memory for all is delivered alone.
func TestDeliveryOfALargeEvent(t *testing.T) {
	r := new(receiver)
	e := deliver(t, storetest.NewMemory(), tusd.Delivery{Receiver: r, MaxBytes: 10})
	path := e.create(0)
	e.eventually("both events", func() bool { return len(r.of(idOf(path))) == 2 })
}

// The events of an upload come before those of a later one with its id.
func TestDeliveryOfAReusedID(t *testing.T) {
	var down atomic.Bool
	down.Store(true)
	r := &receiver{onDeliver: func(ctx context.Context, event tusd.Event) error {
		if event.Type == tusd.EventPostTerminate && down.Load() {
			return failingDelivery(ctx, event)
		}
		return nil
	}}
	d := tusd.Delivery{Receiver: r, Types: []tusd.EventType{tusd.EventPostCreate, tusd.EventPostTerminate}}
	callbacks := tusd.Callbacks{PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
		return tusd.HTTPResponse{}, tusd.FileInfoChanges{ID: "same"}, nil
	}}
	e := serve(t, storetest.NewMemory(), tusd.Config{Delivery: &d, Callbacks: callbacks}, func(v *tuning.Values) { v.DeliveryDelay = time.Millisecond })
	for range 3 {
		e.terminate(e.create(1)).status(204)
	}
	down.Store(false)
	e.eventually("all events", func() bool { return len(r.all()) == 6 })
	want := slices.Repeat([]string{"post-create 0", "post-terminate 0"}, 3)
	if got := r.of("same"); !slices.Equal(got, want) {
		t.Errorf("events %q", got)
	}
	var last time.Time
	for i, event := range r.all() {
		if created := event.Upload.Created; created.Before(last) || i%2 == 0 && created.Equal(last) {
			t.Errorf("event %d is of the upload created at %v, after that of %v", i, created, last)
		} else {
			last = created
		}
	}
}

// Another process has removed the upload and delivered all of its events: a post-receive that still
// waits here does not follow.
func TestNoPostReceiveAfterTheEnd(t *testing.T) {
	store := storetest.NewMemory()
	locker := new(tusd.LocalLocker)
	node := func(r *receiver) *env {
		d := tusd.Delivery{Receiver: r}
		e := newEnvOn(t, store, tusd.Config{Delivery: &d}, func(v *tuning.Values) { v.DeliveryDelay, v.RescanInterval = time.Millisecond, time.Hour })
		e.config.StoreComposer.Locker = locker
		e.start()
		return e
	}
	var up atomic.Bool
	began := make(chan struct{}, 1000)
	first := &receiver{onDeliver: func(ctx context.Context, event tusd.Event) error {
		select {
		case began <- struct{}{}:
		default:
		}
		if up.Load() {
			return nil
		}
		return errors.New("unreachable from here")
	}}
	a := node(first)
	path := a.create(10)
	a.patch(path, 0, []byte("hello")).status(204)
	await(t, began)
	second := new(receiver)
	b := node(second)
	b.terminate(path).status(204)
	b.eventually("the events of the removed upload", func() bool {
		return slices.Equal(second.of(idOf(path)), []string{"post-create 0", "post-terminate 5"})
	})
	up.Store(true)
	a.eventually("nothing waits", func() bool { return a.handler.DeliveryStats().Waiting == 0 })
	if got := first.of(idOf(path)); len(got) > 0 {
		t.Errorf("then comes %q", got)
	}
	if n := a.handler.Metrics().EventsDropped.Load(); n != 1 {
		t.Errorf("%d events dropped, want post-receive", n)
	}
}

// A shutdown that is called twice while events wait ends well.
func TestShutdownTwiceWithWaitingEvents(t *testing.T) {
	release := make(chan struct{})
	r := &receiver{onDeliver: func(ctx context.Context, _ tusd.Event) error { <-release; return nil }}
	e := deliver(t, storetest.NewMemory(), tusd.Delivery{Receiver: r})
	path := e.create(0)
	ended := make(chan error, 2)
	for range 2 {
		go func() { ended <- e.handler.Shutdown(context.Background()) }()
	}
	close(release)
	for range 2 {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	if got := fmt.Sprint(r.of(idOf(path))); strings.Count(got, "post-") != 2 {
		t.Errorf("events %s", got)
	}
}
