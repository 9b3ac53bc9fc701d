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

// roundsEnv is the environment variable with the number of rounds of TestKill. The default
// is small.
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

// TestKill kills the daemon under load many times. All daemons have one directory.
func TestKill(t *testing.T) {
	t.Parallel()
	launch := Launch{Binary: builder.Binary(t, ""), Dir: t.TempDir()}
	killTest{launch: launch, rounds: rounds(t), maxUptime: shortUptime}.run(t)
}

// TestKillWithOnePID does the same with daemons that all have process id 1, as the only
// process of a container: the id of a killed daemon must not count as that of a running one.
func TestKillWithOnePID(t *testing.T) {
	needOwnPIDs(t)
	t.Parallel()
	launch := Launch{Binary: builder.Binary(t, ""), Dir: t.TempDir(), OwnPIDs: true}
	killTest{launch: launch, rounds: max(rounds(t)/10, 2), maxUptime: shortUptime}.run(t)
}

func needOwnPIDs(t *testing.T) {
	try := exec.Command("true")
	try.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWPID}
	err := try.Run()
	require.Need(t, "namespaces", err == nil, fmt.Sprintf("process id namespaces cannot be made (root is needed): %v", err))
}

// TestKillSeesEarlyAcknowledgement shows that the tests above can fail: the same check fails
// on a server that answers before it writes.
func TestKillSeesEarlyAcknowledgement(t *testing.T) {
	require.Long(t)
	t.Parallel()
	launch := Launch{Binary: builder.Binary(t, "tusd_broken_earlyack"), Dir: t.TempDir()}
	daemon := Start(t, launch)
	acks, err := server{daemon.Client(), launch.Dir}.byPatch()
	daemon.Kill()
	if err != nil {
		t.Fatalf("before the kill: %v", err)
	}
	if err := checkAfterRestart(t, launch, EveryAck, acks); err == nil {
		t.Error("a server that acknowledges too early has lost nothing")
	}
}

// killTest kills daemons under load.
type killTest struct {
	launch    Launch
	rounds    int
	maxUptime time.Duration // the longest time from the start of the load to the kill
	largest   int64         // as in Load
}

// shortUptime is enough for dozens of requests to a store on files.
const shortUptime = 200 * time.Millisecond

// run runs a load on a daemon, kills it at a random time, and checks the acknowledgements
// with the next daemon.
func (k killTest) run(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d, %d rounds", seed, k.rounds)
	random := rand.New(rand.NewPCG(seed, 0))
	var acks []*Ack
	var acknowledged int64
	for round := range k.rounds {
		daemon := Start(t, k.launch)
		client := daemon.Client()
		if err := EveryAck.Check(client, acks); err != nil {
			t.Fatalf("after %d kills: %v\n%s", round, err, daemon.Output())
		}
		left, err := deleteHalf(client, acks, random)
		if err != nil {
			t.Fatalf("after %d kills: %v", round, err)
		}
		load := &Load{Client: client, Seed: random.Uint64(), Workers: 4, Largest: k.largest}
		made, err := killDuring(daemon, load, time.Duration(random.Int64N(int64(k.maxUptime))))
		if err != nil {
			t.Fatalf("load after %d kills: %v\n%s", round, err, daemon.Output())
		}
		acks, acknowledged = append(left, made...), acknowledged+load.Acknowledged()
	}
	if acknowledged == 0 {
		t.Error("no byte was ever acknowledged: this proves nothing")
	}
	t.Logf("%d bytes acknowledged", acknowledged)
	if err := checkAfterRestart(t, k.launch, EveryAck, acks); err != nil {
		t.Fatalf("at the end: %v", err)
	}
}

// killDuring runs a load and kills its daemon after a while.
func killDuring(daemon *Daemon, load *Load, after time.Duration) ([]*Ack, error) {
	killed := make(chan struct{})
	go func() {
		defer close(killed)
		time.Sleep(after) // a random time, nothing is synchronised
		daemon.Kill()
	}()
	acks, err := load.Run()
	<-killed
	return acks, err
}

// deleteHalf terminates half of the uploads, so that the directory stays small, and returns
// the acknowledgements to check once more.
func deleteHalf(c *tusclient.Client, acks []*Ack, random *rand.Rand) (left []*Ack, err error) {
	for _, ack := range acks {
		if ack.Deleting { // was checked after it was terminated
			continue
		}
		left = append(left, ack)
		if random.IntN(2) == 0 {
			continue
		}
		answer, err := c.Delete(ack.Path)
		if err != nil {
			return nil, err
		}
		if err := answer.Want("DELETE "+ack.Path, http.StatusNoContent); err != nil {
			return nil, err
		}
		ack.Deleting, ack.Deleted = true, true
	}
	return left, nil
}
