package locallock

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// The memory for grants is bounded. For an id that is not in it, before is 0, which is
// always safe.
func TestFencesAreBounded(t *testing.T) {
	var l Locker
	lockOnce := func(id string) (n, before uint64) {
		lease, err := l.Lock(t.Context(), id, Try)
		if err != nil {
			t.Fatal(err)
		}
		defer lease.Unlock(t.Context())
		return lease.Fence()
	}
	for i := range recentFences + 1000 {
		lockOnce(fmt.Sprint(i))
	}
	if len(l.recent) > recentFences || len(l.locks) != 0 {
		t.Errorf("%d grants are in memory, want at most %d; %d locks are held", len(l.recent), recentFences, len(l.locks))
	}
	forgotten := 0
	for i := range recentFences + 1000 {
		n, before := lockOnce(fmt.Sprint(i))
		if before != 0 && before != uint64(i)+1 || n <= before {
			t.Fatalf("id %d: grant %d, before %d", i, n, before)
		}
		if before == 0 {
			forgotten++
		}
	}
	if forgotten < 1000 {
		t.Errorf("%d ids were forgotten, want at least 1000", forgotten)
	}
}

// For ids with the same hash, before is never the number of an older grant of the id,
// however their grants interleave.
func TestHashCollision(t *testing.T) {
	l := Locker{hash: func(string) idHash { return 1 }}
	ids := []string{"a", "b", "c"}
	own := make(map[string]map[uint64]bool) // all numbers of an id
	last := make(map[string]uint64)
	held := make(map[string]*Lease)
	known := 0
	for range 100_000 {
		id := ids[rand.IntN(len(ids))]
		if lease := held[id]; lease != nil {
			lease.Unlock(t.Context())
			delete(held, id)
			continue
		}
		lease, err := l.Lock(t.Context(), id, Try)
		if err != nil {
			t.Fatal(err)
		}
		held[id] = lease
		n, before := lease.Fence()
		if own[id][before] && before != last[id] {
			t.Fatalf("id %s: grant %d has before %d, the last grant was %d", id, n, before, last[id])
		}
		if before != 0 && before == last[id] {
			known++
		}
		if own[id] == nil {
			own[id] = make(map[uint64]bool)
		}
		own[id][n], last[id] = true, n
	}
	if known == 0 || known > 50_000 || len(l.recent) > 1 {
		t.Errorf("%d grants knew the previous one, %d numbers are in memory", known, len(l.recent))
	}
}

// A grant that is handed over knows the previous one. Otherwise the cached state of a
// contended upload would be useless.
func TestHandsOverFence(t *testing.T) {
	var l Locker
	holder, err := l.Lock(t.Context(), "a", Try)
	if err != nil {
		t.Fatal(err)
	}
	next := make(chan *Lease, 1)
	go func() {
		lease, err := l.Lock(t.Context(), "a", Preempt)
		if err != nil {
			t.Error(err)
		}
		next <- lease
	}()
	<-holder.Preempted()
	n, _ := holder.Fence()
	holder.Unlock(t.Context()) // never fails
	lease := <-next
	if _, before := lease.Fence(); before != n {
		t.Errorf("before is %d, the previous grant was %d", before, n)
	}
	lease.Unlock(t.Context())
}

// With NoFences no grant has a number or is kept in memory, whether the lock was free or handed over.
func TestWithoutFences(t *testing.T) {
	l := Locker{NoFences: true}
	for range 2 {
		lease, err := l.Lock(t.Context(), "a", Try)
		if err != nil {
			t.Fatal(err)
		}
		next := make(chan *Lease)
		go func() {
			lease, _ := l.Lock(t.Context(), "a", Preempt)
			next <- lease
		}()
		<-lease.Preempted()
		lease.Unlock(t.Context())
		taken := <-next
		for _, s := range []*Lease{lease, taken} {
			if n, before := s.Fence(); n != 0 || before != 0 {
				t.Errorf("fence %d, %d", n, before)
			}
		}
		taken.Unlock(t.Context())
	}
	if len(l.recent) > 0 {
		t.Errorf("%d grants are remembered", len(l.recent))
	}
}

// Preempt preempts only the holder of its id, before or after the holder has called
// Preempted.
func TestPreemptHolder(t *testing.T) {
	var l Locker
	l.Preempt("a") // there is no holder
	leases := make(map[string]*Lease)
	for _, id := range []string{"a", "b", "c"} {
		lease, err := l.Lock(t.Context(), id, Try)
		if err != nil {
			t.Fatal(err)
		}
		leases[id] = lease
	}
	waits := leases["a"].Preempted()
	l.Preempt("a")
	l.Preempt("a")
	l.Preempt("b")
	for id, want := range map[string]bool{"a": true, "b": true, "c": false} {
		if got := isClosed(leases[id].Preempted()); got != want {
			t.Errorf("id %s is preempted: %t, want %t", id, got, want)
		}
	}
	if !isClosed(waits) {
		t.Error("a holder that already waits is not preempted")
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
