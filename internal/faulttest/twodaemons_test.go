//go:build linux

package faulttest

import (
	"fmt"
	"net/http"
	"path"
	"path/filepath"
	"testing"
	"time"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// handOverLimit is how long a HEAD to one daemon may take to preempt a PATCH of another.
const handOverLimit = 150 * time.Millisecond

// pair is two daemons with one directory.
type pair struct {
	dir  string
	a, b *Daemon
}

func startPair(t *testing.T, ownPIDs bool) pair {
	t.Helper()
	launch := Launch{Binary: builder.Binary(t, ""), Dir: filepath.Join(t.TempDir(), "uploads"), OwnPIDs: ownPIDs}
	return pair{launch.Dir, Start(t, launch), Start(t, launch)}
}

// stallPatch opens a PATCH to daemon a, sends some bytes and waits until they are stored.
func (d pair) stallPatch(seed uint64, sent int64) (*Ack, *tusclient.OpenRequest, error) {
	c := d.a.Client()
	ack, err := create(c, Content{{Seed: seed, Length: sent + 1000}})
	if err != nil {
		return nil, nil, err
	}
	running, err := c.OpenPatch(ack.Path, 0, wire.Unknown)
	if err != nil {
		return nil, nil, err
	}
	const step = 1 << 20
	for at := int64(0); at < sent && err == nil; at += step {
		_, err = running.Write(ack.Content.Bytes(at, min(step, sent-at)))
	}
	if err == nil {
		err = awaitSize(filepath.Join(d.dir, path.Base(ack.Path)), sent)
	}
	return ack, running, err
}

// headOfB sends a HEAD to daemon b, checks the offset, and returns how long it took.
func (d pair) headOfB(ack *Ack, want int64) (time.Duration, error) {
	start := time.Now()
	head, err := d.b.Client().Head(ack.Path)
	took := time.Since(start)
	if err == nil && (head.Status != http.StatusOK || head.Offset() != want) {
		err = fmt.Errorf("HEAD to the other daemon: %v, want 200 and offset %d", head, want)
	}
	return took, err
}

// fastest measures until one measurement is within the limit, at most maxTries times.
func fastest(t *testing.T, limit time.Duration, measure func(seed uint64) (time.Duration, error)) {
	t.Helper()
	best := time.Hour
	for try := 0; try < maxTries && best > limit; try++ {
		took, err := measure(uint64(try))
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("%v", took)
		best = min(best, took)
	}
	if best > limit {
		t.Errorf("the fastest of %d took %v, want at most %v", maxTries, best, limit)
	}
}

// TestHandOverBetweenDaemons preempts a stalled PATCH of one daemon with a HEAD to another. The
// HEAD must be answered within 150 ms, with the offset of all bytes that had arrived, and
// both daemons can continue the upload.
func TestHandOverBetweenDaemons(t *testing.T) {
	d := startPair(t, false)
	fastest(t, handOverLimit, func(seed uint64) (time.Duration, error) { return d.handOver(seed, 5000) })
}

// TestHandOverBetweenContainers does the same with daemons that both have process id 1.
func TestHandOverBetweenContainers(t *testing.T) {
	needOwnPIDs(t)
	d := startPair(t, true)
	fastest(t, handOverLimit, func(seed uint64) (time.Duration, error) { return d.handOver(seed, 5000) })
}

// handOver measures the HEAD, checks the answer to the PATCH, and completes the upload with
// both daemons.
func (d pair) handOver(seed uint64, sent int64) (time.Duration, error) {
	ack, running, err := d.stallPatch(seed, sent)
	if err != nil {
		return 0, err
	}
	defer running.Abort()
	took, err := d.headOfB(ack, sent)
	if err != nil {
		return 0, err
	}
	interrupted, err := running.Answer()
	if err != nil || !interrupted.Transient() {
		return 0, fmt.Errorf("the preempted PATCH: %v (%v), want a transient error", interrupted, err)
	}
	ack.Offset = sent
	for _, daemon := range []*Daemon{d.b, d.a} {
		if err := patch(daemon.Client(), ack, 500); err != nil {
			return 0, err
		}
	}
	return took, EveryAck.Check(d.b.Client(), []*Ack{ack})
}

// TestHandOverAfterMuchData does the same after a GiB of data, or a quarter of it in a short
// run: the HEAD does not wait for a long sync, because the store syncs while it writes.
func TestHandOverAfterMuchData(t *testing.T) {
	d := startPair(t, false)
	size := int64(256 << 20)
	if rounds(t) >= 200 {
		size = 1 << 30
	}
	fastest(t, handOverLimit, func(seed uint64) (time.Duration, error) {
		ack, running, err := d.stallPatch(seed, size)
		if err != nil {
			return 0, err
		}
		defer running.Abort()
		took, err := d.headOfB(ack, size)
		if err != nil {
			return 0, err
		}
		return took, terminate(d.b.Client(), ack)
	})
}

// TestKilledDaemonLeavesNoLock kills a daemon in the middle of a PATCH. The other daemon gets
// the lock at once.
func TestKilledDaemonLeavesNoLock(t *testing.T) {
	fastest(t, handOverLimit, func(seed uint64) (time.Duration, error) {
		d := startPair(t, false)
		ack, running, err := d.stallPatch(seed, 5000)
		if err != nil {
			return 0, err
		}
		defer running.Abort()
		d.a.Kill()
		took, err := d.headOfB(ack, 5000)
		if err != nil {
			return 0, err
		}
		ack.Offset = 5000
		return took, EveryAck.Check(d.b.Client(), []*Ack{ack})
	})
}

// TestClientsOfTwoDaemons lets ten clients of two daemons complete one upload, as behind a
// balancer without sticky sessions. It must have the right content.
func TestClientsOfTwoDaemons(t *testing.T) {
	d := startPair(t, false)
	a, b := d.a.Client(), d.b.Client()
	content := Content{{Seed: 1, Length: 1 << 20}}
	ack, err := create(a, content)
	if err != nil {
		t.Fatal(err)
	}
	const clients = 10
	body := content.Bytes(0, content.Length())
	done := make(chan error, clients)
	for i := range clients {
		go func() { done <- uploadRest([]*tusclient.Client{a, b}[i%2], ack.Path, body) }()
	}
	for range clients {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	for _, c := range []*tusclient.Client{a, b} {
		if err := download(c, ack); err != nil {
			t.Error(err)
		}
	}
}
