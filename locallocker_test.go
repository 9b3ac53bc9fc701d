package tusd

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// A locker that has seen more ids than it remembers says that it does not
// know the grant before, which is always safe, rather than grow.
func TestLocalLockerForgetsFences(t *testing.T) {
	var l LocalLocker
	lockOnce := func(id string) (n, before uint64) {
		lease, err := l.Lock(t.Context(), id, LockTry)
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
		t.Errorf("%d grants are remembered, at most %d should be; %d locks are held", len(l.recent), recentFences, len(l.locks))
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

// Two ids whose hashes meet never take a number for that of their own last grant
// if there was one in between, however their grants interleave.
func TestLocalLockerHashesMeet(t *testing.T) {
	l := LocalLocker{hash: func(string) idHash { return 1 }}
	ids := []string{"a", "b", "c"}
	own := make(map[string]map[uint64]bool) // all numbers of an id
	last := make(map[string]uint64)
	held := make(map[string]Lease)
	known := 0
	for range 100_000 {
		id := ids[rand.IntN(len(ids))]
		if lease := held[id]; lease != nil {
			lease.Unlock(t.Context())
			delete(held, id)
			continue
		}
		lease, err := l.Lock(t.Context(), id, LockTry)
		if err != nil {
			t.Fatal(err)
		}
		held[id] = lease
		n, before := lease.Fence()
		if own[id][before] && before != last[id] {
			t.Fatalf("id %s: grant %d says that %d was before it, that was %d", id, n, before, last[id])
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
		t.Errorf("%d grants knew the one before, %d numbers are kept", known, len(l.recent))
	}
}

// A grant that is handed over knows the one before, or every contended upload
// would have to be read again.
func TestLocalLockerHandsOverFence(t *testing.T) {
	var l LocalLocker
	holder, err := l.Lock(t.Context(), "a", LockTry)
	if err != nil {
		t.Fatal(err)
	}
	next := make(chan Lease, 1)
	go func() {
		lease, err := l.Lock(t.Context(), "a", LockPreempt)
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
		t.Errorf("before is %d, the grant before was %d", before, n)
	}
	lease.Unlock(t.Context())
}

// Without numbers nothing is remembered, of grants that were free or handed over.
func TestLocalLockerWithoutFences(t *testing.T) {
	l := LocalLocker{NoFences: true}
	for range 2 {
		lease, err := l.Lock(t.Context(), "a", LockTry)
		if err != nil {
			t.Fatal(err)
		}
		next := make(chan Lease)
		go func() {
			lease, _ := l.Lock(t.Context(), "a", LockPreempt)
			next <- lease
		}()
		<-lease.Preempted()
		lease.Unlock(t.Context())
		taken := <-next
		for _, s := range []Lease{lease, taken} {
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

// Ask reaches the holder of its id and nobody else, before and after the
// holder has looked at Preempted.
func TestLocalLockerAsk(t *testing.T) {
	var l LocalLocker
	l.Preempt("a") // nobody is there
	leases := make(map[string]Lease)
	for _, id := range []string{"a", "b", "c"} {
		lease, err := l.Lock(t.Context(), id, LockTry)
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
			t.Errorf("id %s is wanted: %t, want %t", id, got, want)
		}
	}
	if !isClosed(waits) {
		t.Error("a holder that waits already is not told")
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
