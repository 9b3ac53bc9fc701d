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

// Bounds of every attack: resident memory above idle, the median of a healthy client's
// upload, and the time until memory, goroutines and descriptors are released.
const (
	maxResident    = 100 << 20
	maxMedian      = 200 * time.Millisecond
	recoveryLimit  = 10 * time.Second
	healthyUploads = 50
)

// attack is one way to attack the daemon.
type attack struct {
	name  string
	run   func(*attacker) error
	round time.Duration // about how long one repetition takes; 0: very short
}

// runAttacks runs each attack on its own daemon, as many at the same time as there are
// processors.
func runAttacks(t *testing.T, begin func(testing.TB) *target, attacks []attack) {
	t.Parallel()
	for _, k := range attacks {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			runAttack(t, begin(t), k)
		})
	}
}

// runAttack runs one attack and checks the bounds.
//
// An attack that leaves live heap runs a second time, which must leave nothing more:
// some memory is allocated once. The runtime keeps a few hundred bytes for each
// goroutine of the largest number at the same time, and maps keep their size.
func runAttack(t *testing.T, to *target, k attack) {
	if runOnce(t, to, k, to.idle, false) || t.Failed() {
		return
	}
	before, err := to.measure()
	if err != nil {
		t.Fatal(err)
	}
	runOnce(t, to, k, before, true)
}

// runOnce runs one attack and reports whether all resources were released. Live heap may
// remain unless last is set.
func runOnce(t *testing.T, to *target, k attack, before usage, last bool) bool {
	to.resetPeak()
	stop := make(chan struct{})
	largest := to.watch(stop)
	median, err := serveUnderAttack(t, to, k)
	close(stop)
	peak := <-largest
	if err != nil {
		t.Error(err)
	}
	t.Logf("%.1f MiB above idle, a healthy upload in %v", mib(peak-to.idle.resident), median)
	if above := peak - to.idle.resident; above > maxResident {
		t.Errorf("%.1f MiB are resident above idle, want at most %.0f", mib(above), mib(maxResident))
	}
	if median > maxMedian {
		t.Errorf("a healthy client's upload takes %v, want at most %v", median, maxMedian)
	}
	return to.awaitBaseline(t, before, last)
}

// serveUnderAttack serves a healthy client while the attack is in full effect, and ends
// the attack. It returns the median of the client's uploads.
func serveUnderAttack(t *testing.T, to *target, k attack) (median time.Duration, err error) {
	ctx, end := context.WithCancel(t.Context())
	defer end()
	a := newAttacker(ctx, t, to)
	ended := make(chan error, 1)
	go func() { ended <- k.run(a) }()
	select {
	case <-a.ready:
	case err := <-ended:
		a.closeAll()
		return 0, errors.Join(errors.New("the attack ended too early"), err)
	case <-time.After(waitTimeout):
		t.Error("the attack does not get into full effect")
	}
	median, err = to.serveHealthy(healthyUploads, max(5*time.Millisecond, k.round/healthyUploads))
	end()
	a.closeAll()
	return median, errors.Join(err, <-ended)
}

// awaitBaseline waits until the daemon uses no more than before, and reports whether it
// does. Live heap may remain unless mustHeap is set. Resident memory is not compared: it
// takes seconds to shrink.
func (to *target) awaitBaseline(t *testing.T, before usage, mustHeap bool) bool {
	t.Helper()
	for deadline := time.Now().Add(recoveryLimit); ; time.Sleep(100 * time.Millisecond) {
		now, err := to.measure()
		excess := before.excess(now)
		if err != nil { // the slots for profiles may be in use by the attack, too
			excess = []string{err.Error()}
		}
		onlyHeap := len(excess) == 1 && excess[0] == liveHeap
		if len(excess) == 0 {
			t.Logf("released:\nbefore: %v\nafter:  %v", before, now)
			return true
		}
		if onlyHeap && !mustHeap && time.Until(deadline) < recoveryLimit*9/10 {
			t.Logf("live heap remains, the attack runs again:\nbefore: %v\nafter:  %v", before, now)
			return false
		}
		if time.Now().After(deadline) {
			t.Errorf("%v after the attack: %s\nbefore: %v\nnow:    %v", recoveryLimit, strings.Join(excess, ", "), before, now)
			return false
		}
	}
}

// TestResidentMemoryGoesBack checks resident memory after attacks with large heads.
func TestResidentMemoryGoesBack(t *testing.T) {
	t.Parallel()
	for _, k := range largeHeads() {
		t.Run(k.name, func(t *testing.T) {
			t.Parallel()
			to := onFiles(t)
			runAttack(t, to, k)
			to.awaitResident(t)
		})
	}
}

// awaitResident waits until most resident memory has been returned to the system.
func (to *target) awaitResident(t *testing.T) {
	t.Helper()
	const tolerance = 40 << 20 // bytes
	for deadline := time.Now().Add(recoveryLimit); ; time.Sleep(100 * time.Millisecond) {
		now, err := to.resident()
		if err != nil {
			t.Fatal(err)
		}
		if now < to.idle.resident+tolerance {
			return
		}
		if time.Now().After(deadline) {
			t.Errorf("%.1f MiB are resident %v after the attack, %.1f were before", mib(now), recoveryLimit, mib(to.idle.resident))
			return
		}
	}
}

// TestAttacksOnFiles runs all attacks but those of the other tests.
func TestAttacksOnFiles(t *testing.T) {
	runAttacks(t, func(tb testing.TB) *target { return onFiles(tb) },
		slices.Concat(headerAttacks(), storingAttacks(), otherFloods(), frameFloods(), otherConnections()))
}

// TestAttacksOnS3 runs the attacks that reach the store.
func TestAttacksOnS3(t *testing.T) {
	runAttacks(t, func(tb testing.TB) *target { return onS3(tb) }, storingAttacks())
}

func storingAttacks() []attack {
	return slices.Concat(storingFloods(), finalAttacks(), storingConnections())
}
