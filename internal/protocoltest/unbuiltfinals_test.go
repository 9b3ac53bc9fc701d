package protocoltest

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/tuning"
	"github.com/tus/tusd/storetest"
)

// failBuilding makes building wait for answered, and then fail until space is set. It counts
// the attempts.
func failBuilding(t *testing.T, store *hookedStore) (answered chan struct{}, attempts *atomic.Int32, space *atomic.Bool) {
	answered, attempts, space = make(chan struct{}), new(atomic.Int32), new(atomic.Bool)
	store.onConcat = func(join func() error) error {
		await(t, answered)
		attempts.Add(1)
		if space.Load() {
			return join()
		}
		return tusd.ErrNoSpace
	}
	return answered, attempts, space
}

// retryOften keeps the delays between attempts to build short.
func retryOften(v *tuning.Values) { v.LastRebuildDelay = 20 * time.Millisecond }

// After a restart a partial cannot be terminated while a final needs it, also if its record did
// not name the final before.
func TestUnbuiltFinalKeepsItsPartialsOverARestart(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		answered, attempts, _ := failBuilding(t, store)
		e := serve(t, store, tusd.Config{}, buildTimeout(time.Millisecond), retryOften)
		one, two := e.createPartial([]byte("ab")), e.createPartial([]byte("cd"))
		final := e.postFinal(one + " " + two).status(201).location()
		close(answered)
		e.eventually("it was tried", func() bool { return attempts.Load() > 0 })
		e.stop()

		store.reopen()
		listing, listed := make(chan struct{}), make(chan struct{})
		var first atomic.Bool
		store.onListSideRecords = func(kind string) { // the sweep of the start takes its time
			if kind == "building" && first.CompareAndSwap(false, true) {
				close(listing)
				await(t, listed)
			}
		}
		answered, attempts, space := failBuilding(t, store)
		close(answered)
		e = serve(t, store, tusd.Config{}, retryOften)
		await(t, listing)
		e.terminate(one).status(423)
		close(listed)
		e.eventually("it was tried again", func() bool { return attempts.Load() > 1 })
		e.terminate(one).status(423)
		e.eventually("the records name it", func() bool { return finalsNamed(t, store.concatStore, one, two) == 2 })
		space.Store(true)
		e.eventually("it is built", func() bool { return e.head(final).Header.Get("Upload-Offset") == "4" })
		e.wantForgotten(store, one, two)
	})
}

// The record of a partial names a bounded number of finals. Finals that it does not name are
// built, too.
func TestRecordNamesABoundedNumberOfFinals(t *testing.T) {
	const named, made = 64, 70
	store := &hookedStore{concatStore: storetest.NewMemory()}
	answered, attempts, space := failBuilding(t, store)
	e := serve(t, store, tusd.Config{}, buildTimeout(time.Millisecond), retryOften)
	partial := e.createPartial([]byte("ab"))
	var finals []string
	for i := range made {
		finals = append(finals, e.postFinal(partial, fmt.Sprintf("Upload-Metadata: n%d", i)).status(201).location())
	}
	close(answered)
	e.eventually("as many are named as may", func() bool { return finalsNamed(t, store.concatStore, partial) >= named })
	before := attempts.Load()
	e.eventually("all are tried again", func() bool { return attempts.Load() >= before+made })
	if n := finalsNamed(t, store.concatStore, partial); n != named {
		t.Errorf("the record names %d finals, want %d", n, named)
	}
	space.Store(true)
	for _, final := range finals {
		e.eventually("it is built", func() bool { return e.head(final).Header.Get("Upload-Offset") == "2" })
	}
	e.wantForgotten(store, partial)
}
