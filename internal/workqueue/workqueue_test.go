package workqueue_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd/internal/background"
	"github.com/tus/tusd/internal/workqueue"
)

type run = func(key string, task int, woken bool) (time.Duration, bool)

func newQueue(workers, capacity int, run run) *workqueue.Queue[int] {
	group := &background.Group{Panicked: func(any) {}}
	return &workqueue.Queue[int]{Workers: workers, Capacity: capacity, Run: run, Start: group.Start}
}

// A key runs after its delay, and again as long as Run returns again.
func TestKeyRunsAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var at []time.Duration
		q := newQueue(1, 10, func(key string, task int, woken bool) (time.Duration, bool) {
			if key != "a" || task != 7 || woken {
				t.Errorf("run of %q with task %d, woken: %t", key, task, woken)
			}
			at = append(at, time.Since(start))
			return 3 * time.Second, len(at) < 3
		})
		if current, ok := q.Add("a", 7, time.Second); current != 7 || !ok {
			t.Errorf("Add returns %d, %t", current, ok)
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if want := fmt.Sprint([]time.Duration{time.Second, 4 * time.Second, 7 * time.Second}); fmt.Sprint(at) != want {
			t.Errorf("runs at %v, want %v", at, want)
		}
		if q.Len() != 0 {
			t.Errorf("%d keys are left", q.Len())
		}
	})
}

// A key that is added while it runs runs again, and no two runs of it overlap.
func TestAddWhileTheKeyRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began, release := make(chan bool), make(chan bool)
		q := newQueue(4, 10, func(_ string, task int, woken bool) (time.Duration, bool) {
			if task != 1 {
				t.Errorf("task %d", task)
			}
			began <- woken
			return 0, <-release
		})
		q.Add("a", 1, 0)
		<-began
		if current, ok := q.Add("a", 2, 0); current != 1 || !ok {
			t.Errorf("Add of a running key returns %d, %t, want its task", current, ok)
		}
		synctest.Wait()
		release <- false
		if woken := <-began; !woken {
			t.Error("the second run does not learn that the key was added")
		}
		release <- false
		synctest.Wait()
		if q.Len() != 0 {
			t.Error("the key is left")
		}
	})
}

// A key that waits for its next run is not run earlier, and learns that it was added.
func TestAddWhileTheKeyWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		var runs []string
		q := newQueue(1, 10, func(_ string, _ int, woken bool) (time.Duration, bool) {
			runs = append(runs, fmt.Sprint(time.Since(start), woken))
			return time.Hour, len(runs) < 2
		})
		q.Add("a", 1, 0)
		synctest.Wait()
		q.Add("a", 1, 0)
		time.Sleep(2 * time.Hour)
		synctest.Wait()
		if got := fmt.Sprint(runs); got != "[0sfalse 1h0m0strue]" && got != "[0s false 1h0m0s true]" {
			t.Errorf("runs %v", got)
		}
	})
}

// Workers limits how many keys run, Capacity how many are in the queue. All run.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const workers, capacity = 3, 20
		var running, most, runs atomic.Int64
		q := newQueue(workers, capacity, func(string, int, bool) (time.Duration, bool) {
			if n := running.Add(1); n > most.Load() {
				most.Store(n)
			}
			time.Sleep(time.Second)
			running.Add(-1)
			runs.Add(1)
			return 0, false
		})
		for i := range capacity {
			if _, ok := q.Add(fmt.Sprint(i), i, time.Duration(i%2)*time.Second); !ok {
				t.Fatalf("key %d is refused", i)
			}
		}
		if _, ok := q.Add("more", 0, 0); ok {
			t.Error("a full queue takes a key")
		}
		time.Sleep(time.Minute)
		if runs.Load() != capacity || most.Load() != workers {
			t.Errorf("%d runs, at most %d at the same time, want %d and %d", runs.Load(), most.Load(), capacity, workers)
		}
		if _, ok := q.Add("more", 0, 0); !ok {
			t.Error("an empty queue refuses a key")
		}
		synctest.Wait()
		time.Sleep(time.Minute)
	})
}

// Close drops the keys that wait, and no key runs again.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		release := make(chan struct{})
		q := newQueue(1, 10, func(string, int, bool) (time.Duration, bool) {
			runs.Add(1)
			<-release
			return 0, true
		})
		q.Add("running", 1, 0)
		synctest.Wait()
		q.Add("waiting", 2, time.Second)
		if dropped := q.Close(); len(dropped) != 1 || dropped[0] != 2 {
			t.Errorf("Close drops %v, want [2]", dropped)
		}
		close(release)
		time.Sleep(time.Minute)
		if _, ok := q.Add("late", 3, 0); ok || runs.Load() != 1 || q.Len() != 0 {
			t.Errorf("after Close: added %t, %d runs, %d keys", ok, runs.Load(), q.Len())
		}
	})
}

// A run that panics ends: its key can be added again, and other keys run.
func TestPanicEndsTheRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int64
		q := newQueue(1, 10, func(key string, _ int, _ bool) (time.Duration, bool) {
			if runs.Add(1) == 1 {
				panic("broken")
			}
			return 0, false
		})
		q.Add("a", 1, 0)
		q.Add("b", 1, 0)
		synctest.Wait()
		q.Add("a", 1, 0)
		synctest.Wait()
		if runs.Load() != 3 || q.Len() != 0 {
			t.Errorf("%d runs, %d keys left, want 3 and 0", runs.Load(), q.Len())
		}
	})
}

// Concurrent callers lose no key: each Add is followed by the beginning of a run.
func TestNoAddIsLost(t *testing.T) {
	const callers, rounds = 4, 2000
	var work sync.WaitGroup
	var counts [callers]atomic.Int64
	var seen [callers]atomic.Int64
	q := newQueue(2, callers, func(_ string, task int, _ bool) (time.Duration, bool) {
		seen[task].Store(counts[task].Load())
		return 0, false
	})
	for caller := range callers {
		work.Go(func() {
			for range rounds {
				counts[caller].Add(1)
				q.Add(fmt.Sprint(caller), caller, 0)
			}
		})
	}
	work.Wait()
	deadline := time.Now().Add(10 * time.Second)
	for q.Len() > 0 && time.Now().Before(deadline) {
		time.Sleep(time.Millisecond)
	}
	for caller := range callers {
		if n := seen[caller].Load(); n != rounds {
			t.Errorf("the last run of key %d began after %d of %d calls", caller, n, rounds)
		}
	}
}
