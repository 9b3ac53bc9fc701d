//go:build linux

package hostiletest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// What a daemon may take under any attack, and how soon a healthy client is
// served meanwhile.
const (
	mayTake   = 100 << 20
	maySlow   = 200 * time.Millisecond
	giveBack  = 10 * time.Second
	healthyNo = 50
)

// attack is something that a stranger does.
type attack struct {
	name  string
	run   func(*arena) error
	round time.Duration // about how long it takes until it begins anew; 0: an instant
}

// attacked has each attack meet a daemon of its own, as many at the same time
// as there are processors.
func attacked(t *testing.T, begin func(testing.TB) *target, attacks []attack) {
	t.Parallel()
	for _, k := range attacks {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			withstand(t, begin(t), k)
		})
	}
}

// withstand runs one attack, and holds the daemon to the bounds.
//
// An attack that leaves live heap runs a second time, which has to leave
// nothing: some is kept once and never again. The runtime keeps a few hundred
// bytes for each goroutine that there ever was at the same time, and maps keep
// their size.
func withstand(t *testing.T, to *target, k attack) {
	if inflict(t, to, k, to.idle, false) || t.Failed() {
		return
	}
	before, err := to.measure()
	if err != nil {
		t.Fatal(err)
	}
	inflict(t, to, k, before, true)
}

// inflict runs one attack, and reports whether all was given back. Unless it
// is the last, live heap may be left.
func inflict(t *testing.T, to *target, k attack, before figures, last bool) bool {
	to.resetPeak()
	stop := make(chan struct{})
	largest := to.watch(stop)
	median, err := underAttack(t, to, k)
	close(stop)
	peak := <-largest
	if err != nil {
		t.Error(err)
	}
	t.Logf("%.1f MiB above idle, a healthy upload in %v", mib(peak-to.idle.resident), median)
	if above := peak - to.idle.resident; above > mayTake {
		t.Errorf("%.1f MiB are resident above idle, want at most %.0f", mib(above), mib(mayTake))
	}
	if median > maySlow {
		t.Errorf("a healthy client's upload takes %v, want at most %v", median, maySlow)
	}
	return to.givesBack(t, before, last)
}

// underAttack returns when a healthy client has been served while the attack
// was in full effect, and the attacker is gone.
func underAttack(t *testing.T, to *target, k attack) (median time.Duration, err error) {
	ctx, end := context.WithCancel(t.Context())
	defer end()
	a := newArena(ctx, t, to)
	ended := make(chan error, 1)
	go func() { ended <- k.run(a) }()
	select {
	case <-a.ready:
	case err := <-ended:
		a.leave()
		return 0, errors.Join(errors.New("the attack has ended by itself"), err)
	case <-time.After(waitTimeout):
		t.Error("the attack does not get under way")
	}
	median, err = to.serveHealthy(healthyNo, max(5*time.Millisecond, k.round/healthyNo))
	end()
	a.leave()
	return median, errors.Join(err, <-ended)
}

// givesBack waits until to holds what it held before, and reports whether it
// does. Resident memory is no part of it, for it takes some seconds to go back;
// what it does hold is live heap. Unless mustHeap, live heap may be left.
func (to *target) givesBack(t *testing.T, before figures, mustHeap bool) bool {
	t.Helper()
	for deadline := time.Now().Add(giveBack); ; time.Sleep(100 * time.Millisecond) {
		now, err := to.measure()
		excess := before.excess(now)
		if err != nil { // the places of profiles are among what is to be given back
			excess = []string{err.Error()}
		}
		onlyHeap := len(excess) == 1 && excess[0] == liveHeap
		if len(excess) == 0 {
			t.Logf("given back:\nbefore: %v\nafter:  %v", before, now)
			return true
		}
		if onlyHeap && !mustHeap && time.Until(deadline) < giveBack*9/10 {
			t.Logf("once more, for live heap is left:\nbefore: %v\nafter:  %v", before, now)
			return false
		}
		if time.Now().After(deadline) {
			t.Errorf("%v after the attack: %s\nbefore: %v\nnow:    %v", giveBack, strings.Join(excess, ", "), before, now)
			return false
		}
	}
}

// What uploads that are not in use may leave in caches: each, and all.
const (
	perUpload = 2 << 10
	caches    = 18 << 20
)

const liveHeap = "live heap"

// excess says what of now is more than it was, by more than 5 % and what
// differs between any two moments of an idle daemon. Most of the heap of an idle
// one is a floor, of which 5 % would be too much. Uploads that were made meanwhile
// may be in caches, which have budgets in bytes.
func (f figures) excess(now figures) (excess []string) {
	const heapNoise, goroutineNoise, descriptorNoise = 1 << 20, 3, 2
	cached := min((now.created-f.created)*perUpload, caches)
	if now.heap > f.heap+heapNoise+cached {
		excess = append(excess, liveHeap)
	}
	if now.goroutines > f.goroutines+f.goroutines/20+goroutineNoise {
		excess = append(excess, "goroutines")
	}
	for kind, n := range now.descriptors {
		if was := f.descriptors[kind]; n > was+was/20+descriptorNoise {
			excess = append(excess, "descriptors: "+kind)
		}
	}
	return excess
}

// TestResidentMemoryGoesBack looks at pages, after attacks that take many.
func TestResidentMemoryGoesBack(t *testing.T) {
	t.Parallel()
	for _, k := range largeHeads() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			to := onFiles(t)
			withstand(t, to, k)
			to.shrinks(t)
		})
	}
}

// shrinks waits until to has given most pages back to the system.
func (to *target) shrinks(t *testing.T) {
	t.Helper()
	const someMore = 40 << 20 // bytes
	for deadline := time.Now().Add(giveBack); ; time.Sleep(100 * time.Millisecond) {
		now, err := to.resident()
		if err != nil {
			t.Fatal(err)
		}
		if now < to.idle.resident+someMore {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%.1f MiB are resident %v after the attack, %.1f were before", mib(now), giveBack, mib(to.idle.resident))
			return
		}
	}
}

// TestAttacksOnFiles has all attacks but those.
func TestAttacksOnFiles(t *testing.T) {
	attacked(t, func(tb testing.TB) *target { return onFiles(tb) },
		slices.Concat(headerAttacks(), storing(), otherFloods(), frameFloods(), otherCrowds()))
}

// TestAttacksOnS3 has those that reach the store.
func TestAttacksOnS3(t *testing.T) {
	attacked(t, func(tb testing.TB) *target { return onS3(tb) }, storing())
}

func storing() []attack { return slices.Concat(storingFloods(), finalAttacks(), storingCrowds()) }
