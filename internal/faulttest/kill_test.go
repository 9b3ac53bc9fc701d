//go:build linux

package faulttest

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/tusclient"
)

// roundsEnv is the environment variable with the number of rounds of
// TestKill; without it there are few, so that a plain test run stays quick.
const roundsEnv = "TUSD_FAULT_ROUNDS"

func rounds(t *testing.T) int {
	text := os.Getenv(roundsEnv)
	if text == "" {
		return 4
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		t.Fatalf("%s=%q is no number of rounds", roundsEnv, text)
	}
	return n
}

// TestKill kills the daemon under load, again and again on one directory.
func TestKill(t *testing.T) {
	t.Parallel()
	launch := Launch{Binary: builder.Binary(t, ""), Dir: t.TempDir()}
	killing{launch: launch, rounds: rounds(t), life: shortLife}.run(t)
}

// TestKillWithOnePID does the same with a daemon that has process id 1 in
// every life, as the only process of a container: whatever decided by process
// ids who is alive would take the dead daemon for the living one.
func TestKillWithOnePID(t *testing.T) {
	needOwnPIDs(t)
	t.Parallel()
	launch := Launch{Binary: builder.Binary(t, ""), Dir: t.TempDir(), OwnPIDs: true}
	killing{launch: launch, rounds: max(rounds(t)/10, 2), life: shortLife}.run(t)
}

func needOwnPIDs(t *testing.T) {
	try := exec.Command("true")
	try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	err := try.Run()
	require.Need(t, "namespaces", err == nil, fmt.Sprintf("process id namespaces cannot be made (root is needed): %v", err))
}

// TestKillSeesEarlyAcknowledgement proves the tests above: the same check
// fails on a server that answers before it writes.
func TestKillSeesEarlyAcknowledgement(t *testing.T) {
	t.Parallel()
	launch := Launch{Binary: builder.Binary(t, "tusd_broken_earlyack"), Dir: t.TempDir()}
	daemon := Start(t, launch)
	promises, err := lab{daemon.Client(), launch.Dir}.byPatch()
	daemon.Kill()
	if err != nil {
		t.Fatalf("before the kill: %v", err)
	}
	if err := checkAfter(t, launch, AllPromises, promises); err == nil {
		t.Error("a server that acknowledges too early has lost nothing")
	}
}

// killing kills a daemon under load, again and again.
type killing struct {
	launch  Launch
	rounds  int
	life    time.Duration // the longest from the start of a load to the kill
	largest int64         // content of the load, as Load has it
}

// shortLife is enough for dozens of requests on a directory.
const shortLife = 200 * time.Millisecond

// run runs a load on a daemon, kills it at a random moment, and checks in its
// next life what it had promised in the one before.
func (k killing) run(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d, %d rounds", seed, k.rounds)
	moments := rand.New(rand.NewPCG(seed, 0))
	var promises []*Promise
	var acknowledged int64
	for round := range k.rounds {
		daemon := Start(t, k.launch)
		client := daemon.Client()
		if err := AllPromises.Check(client, promises); err != nil {
			t.Fatalf("after %d kills: %v\n%s", round, err, daemon.Output())
		}
		kept, err := thinOut(client, promises, moments)
		if err != nil {
			t.Fatalf("after %d kills: %v", round, err)
		}
		load := &Load{Client: client, Seed: moments.Uint64(), Workers: 4, Largest: k.largest}
		made, err := killDuring(daemon, load, time.Duration(moments.Int64N(int64(k.life))))
		if err != nil {
			t.Fatalf("load after %d kills: %v\n%s", round, err, daemon.Output())
		}
		promises, acknowledged = append(kept, made...), acknowledged+load.Acknowledged()
	}
	if acknowledged == 0 {
		t.Error("no byte was ever acknowledged: this proves nothing")
	}
	t.Logf("%d bytes acknowledged", acknowledged)
	if err := checkAfter(t, k.launch, AllPromises, promises); err != nil {
		t.Fatalf("at the end: %v", err)
	}
}

// killDuring runs a load and kills its daemon after a while.
func killDuring(daemon *Daemon, load *Load, after time.Duration) ([]*Promise, error) {
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		time.Sleep(after) // not for synchronisation: any moment is right
		daemon.Kill()
	}()
	promises, err := load.Run()
	<-killed
	return promises, err
}

// thinOut removes half of the uploads, so that the directory does not grow for
// ever, and returns what is to be checked once more.
func thinOut(c *tusclient.Client, promises []*Promise, random *rand.Rand) (kept []*Promise, err error) {
	for _, p := range promises {
		if p.Ending { // has been looked at
			continue
		}
		kept = append(kept, p)
		if random.IntN(2) == 0 {
			continue
		}
		answer, err := c.Delete(p.Path)
		if err != nil {
			return nil, err
		}
		if err := answer.Want("DELETE "+p.Path, http.StatusNoContent); err != nil {
			return nil, err
		}
		p.Ending, p.Gone = true, true
	}
	return kept, nil
}
