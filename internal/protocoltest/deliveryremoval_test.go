package protocoltest

import (
	"context"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/tuning"
	"github.com/tus/tusd/storetest"
)

// switchedReceiver is a receiver that accepts nothing until it is switched on.
func switchedReceiver() (r *receiver, on *atomic.Bool) {
	on = new(atomic.Bool)
	return &receiver{onDeliver: func(ctx context.Context, event tusd.Event) error {
		if !on.Load() {
			return failingDelivery(ctx, event)
		}
		return nil
	}}, on
}

// An event that waits is not lost when its upload is removed, also if the receiver does not want
// the event of the removal.
func TestRemovalWithUnwantedEvent(t *testing.T) {
	for name, c := range map[string]struct {
		types []tusd.EventType
		want  []string
	}{
		"post-create": {[]tusd.EventType{tusd.EventPostCreate}, []string{"post-create 0"}},
		"post-finish": {[]tusd.EventType{tusd.EventPostFinish}, []string{"post-finish 5"}},
		"both":        {[]tusd.EventType{tusd.EventPostCreate, tusd.EventPostFinish, tusd.EventPostExpire}, []string{"post-create 0", "post-finish 5"}},
	} {
		t.Run(name, func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hookedStore) {
				r, on := switchedReceiver()
				e := deliver(t, store, tusd.Delivery{Receiver: r, Types: c.types})
				path := e.createFull([]byte("hello"))
				e.terminate(path).status(204)
				on.Store(true)
				e.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
				if got := r.of(idOf(path)); !slices.Equal(got, c.want) {
					t.Errorf("events %q, want %q", got, c.want)
				}
			})
		})
	}
}

// Events that were delivered are not delivered again by the next process because the removal after
// them is not.
func TestRemovalForgetsWhatIsDelivered(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		removed := make(chan struct{})
		failed := make(chan struct{}, 1000)
		first := &receiver{onDeliver: func(ctx context.Context, event tusd.Event) error {
			if event.Type != tusd.EventPostTerminate {
				await(t, removed)
				return nil
			}
			select {
			case failed <- struct{}{}:
			default:
			}
			return failingDelivery(ctx, event)
		}}
		types := []tusd.EventType{tusd.EventPostCreate, tusd.EventPostFinish, tusd.EventPostTerminate}
		a := deliver(t, store, tusd.Delivery{Receiver: first, Types: types})
		path := a.createFull([]byte("hello"))
		a.terminate(path).status(204)
		close(removed)
		await(t, failed)
		await(t, failed) // what follows the first attempt is done
		a.stop()
		store.reopen()
		second := new(receiver)
		b := deliver(t, store, tusd.Delivery{Receiver: second, Types: types})
		b.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
		if got, want := first.of(idOf(path)), []string{"post-create 0", "post-finish 5"}; !slices.Equal(got, want) {
			t.Errorf("first %q, want %q", got, want)
		}
		if got, want := second.of(idOf(path)), []string{"post-terminate 5"}; !slices.Equal(got, want) {
			t.Errorf("then %q, want %q", got, want)
		}
	})
}

// The removal of an upload leaves its dead events to the operator.
func TestRemovalKeepsDeadEvents(t *testing.T) {
	store := storetest.NewMemory()
	r, on := switchedReceiver()
	e := deliver(t, store, tusd.Delivery{Receiver: r, GiveUpAfter: time.Nanosecond, Types: []tusd.EventType{tusd.EventPostCreate, tusd.EventPostFinish, tusd.EventPostTerminate}})
	path := e.createFull([]byte("hello"))
	e.eventually("both are dead", func() bool { return e.handler.Metrics().EventsDead.Load() == 2 })
	on.Store(true)
	e.terminate(path).status(204)
	e.eventually("post-terminate", func() bool { return slices.Equal(r.of(idOf(path)), []string{"post-terminate 5"}) })
	dead := 0
	err := e.handler.Undelivered(t.Context(), func(event tusd.UndeliveredEvent) error {
		if event.Dead {
			dead++
		}
		return nil
	})
	if dead != 2 || err != nil {
		t.Errorf("%d dead events, %v", dead, err)
	}
}

// On a full disk an upload can be removed, and the event of that is kept in what the removal has
// freed, or in memory.
func TestRemovalOnAFullDisk(t *testing.T) {
	for name, stays := range map[string]bool{"the upload was large": false, "the upload was small": true} {
		t.Run(name, func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hookedStore) {
				r, on := switchedReceiver()
				e := deliver(t, store, tusd.Delivery{Receiver: r})
				path := e.createFull([]byte("hello"))
				refused := new(atomic.Int64)
				store.onPutSideRecord = func(key tusd.SideRecordKey) error {
					if key.Kind == "removing" && (refused.Add(1) == 1 || stays) {
						return tusd.ErrNoSpace
					}
					return nil
				}
				e.terminate(path).status(204)
				e.head(path).status(404)
				if n := refused.Load(); n != 2 {
					t.Errorf("the side record of the removal is stored %d times, want 2", n)
				}
				on.Store(true)
				want := []string{"post-create 0", "post-finish 5", "post-terminate 5"}
				e.eventually("the events", func() bool {
					got := slices.DeleteFunc(r.of(idOf(path)), func(event string) bool { return event == "post-receive 5" })
					return slices.Equal(got, want)
				})
				e.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
			})
		})
	}
}

// machineLocker is a locker whose locks reach other processes.
type machineLocker struct{ tusd.Locker }

func (machineLocker) Scope() tusd.Scope { return tusd.ScopeMachine }

// While one server waits for pre-finish, another one answers requests on the upload at once.
func TestHeadDoesNotWaitForPreFinishOfAnotherServer(t *testing.T) {
	store := storetest.NewMemory()
	locker := machineLocker{new(tusd.LocalLocker)}
	asked, release := make(chan struct{}, 2), make(chan struct{})
	node := func() *env {
		e := newEnvOn(t, store, tusd.Config{AcquireLockTimeout: time.Hour, Callbacks: tusd.Callbacks{
			PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
				asked <- struct{}{}
				<-release
				return tusd.HTTPResponse{}, nil
			},
		}}, func(v *tuning.Values) { v.RescanInterval = time.Hour })
		e.config.StoreComposer.Locker = locker
		e.start()
		return e
	}
	a, b := node(), node()
	path := a.create(5)
	patched := make(chan struct{})
	go func() {
		defer close(patched)
		a.patch(path, 0, []byte("hello")).status(204)
	}()
	await(t, asked)
	b.head(path).status(423) // it would wait for an hour
	b.patch(path, 5, nil).status(423)
	close(release)
	await(t, patched)
	b.head(path).status(200).header("Upload-Offset", "5")
}

// A shutdown does not wait until requests stop to wait for pre-finish.
func TestShutdownDuringPreFinish(t *testing.T) {
	asked, release := make(chan struct{}, 1), make(chan struct{})
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
		PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			asked <- struct{}{}
			<-release
			return tusd.HTTPResponse{}, nil
		},
	}}, func(v *tuning.Values) { v.FinishWait = time.Hour })
	path := e.create(5)
	patched := make(chan struct{})
	go func() {
		defer close(patched)
		e.patch(path, 0, []byte("hello")).status(423)
	}()
	await(t, asked)
	shut := make(chan error, 1)
	go func() { shut <- e.handler.Shutdown(context.Background()) }()
	await(t, patched)
	close(release)
	if err := <-shut; err != nil {
		t.Error(err)
	}
}
