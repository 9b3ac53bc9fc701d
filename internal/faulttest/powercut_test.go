//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
)

// diskSize is enough for the uploads of a test and the journal.
const diskSize = 64 << 20

// TestPowerCut cuts the power directly after each kind of acknowledgement.
func TestPowerCut(t *testing.T) {
	NeedMounts(t)
	for _, s := range acknowledgements {
		for _, c := range cuts {
			t.Run(s.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				launch := Launch{Binary: builder.Binary(t, "")}
				if err := powerCut(t, launch, survives(s.run, EveryAck), 0, c.cut); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestPowerCutLater cuts the power when the kernel has begun to write back (it writes the
// journal every 5 s), so that other parts of the data are on the disk. It waits 7 s only
// where mounts are required.
func TestPowerCutLater(t *testing.T) {
	NeedMounts(t)
	delays := []time.Duration{time.Second}
	if require.Required("mounts") {
		delays = append(delays, 7*time.Second)
	}
	for _, delay := range delays {
		for _, c := range cuts {
			t.Run(delay.String()+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				launch := Launch{Binary: builder.Binary(t, "")}
				if err := powerCut(t, launch, survives(server.byAll, EveryAck), delay, c.cut); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestPowerCutAtComplete cuts the power at the durability level complete.
func TestPowerCutAtComplete(t *testing.T) {
	NeedMounts(t)
	for _, delay := range []time.Duration{0, time.Second} {
		for _, c := range cuts {
			t.Run(delay.String()+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				launch := Launch{Binary: builder.Binary(t, ""), Flags: []string{"-durability", "complete"}}
				if err := powerCut(t, launch, survives(server.byAll, CompleteUploads), delay, c.cut); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestPowerCutSeesMissingSyncs shows that the tests above can fail: the same check fails on a
// server that never syncs.
func TestPowerCutSeesMissingSyncs(t *testing.T) {
	NeedMounts(t)
	for _, s := range acknowledgements {
		for _, c := range cuts {
			t.Run(s.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				launch := Launch{Binary: builder.Binary(t, "tusd_broken_nosync")}
				err := expectLoss(3, func() error { return powerCut(t, launch, survives(s.run, EveryAck), 0, c.cut) })
				if err != nil {
					t.Errorf("a server without syncs: %v", err)
				}
			})
		}
	}
}

// expectLoss expects that check finds a loss in one of several tries: sometimes the kernel
// writes everything back before the power cut.
func expectLoss(tries int, check func() error) error {
	for range tries {
		err := check()
		if errors.Is(err, errLost) {
			return nil
		}
		if err != nil {
			return err
		}
	}
	return errors.New("no loss was found")
}

// errLost marks an error of powerCut: acknowledged data is lost.
var errLost = errors.New("lost in a power cut")

// scenario sends requests to a server and returns the check to make after a restart.
type scenario func(server) (check func(server) error, err error)

// survives returns the scenario of requests whose acknowledgements must survive.
func survives(run func(server) ([]*Ack, error), guarantee Guarantee) scenario {
	return func(s server) (func(server) error, error) {
		acks, err := run(s)
		return func(next server) error { return guarantee.Check(next.Client, acks) }, err
	}
}

// powerCut starts a daemon on a disk, runs a scenario, cuts the power after a delay, and makes
// the check with a new daemon on the same disk.
func powerCut(t *testing.T, launch Launch, run scenario, delay time.Duration,
	cut func(testing.TB, *Disk, *Daemon) (*Disk, error)) error {
	disk := NewExt4(t, diskSize)
	launch.Dir = disk.Dir + "/uploads"
	daemon := Start(t, launch)
	if err := SyncDisk(disk.Dir); err != nil { // the start may be lost
		return err
	}
	check, err := run(server{daemon.Client(), launch.Dir})
	if err != nil {
		return err
	}
	time.Sleep(delay)
	after, err := cut(t, disk, daemon)
	if err != nil {
		return err
	}
	launch.Dir = after.Dir + "/uploads"
	if err := afterRestart(t, launch, check); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return nil
}

// cuts are the two ways to cut the power. cut returns the disk for the next start.
var cuts = []struct {
	name string
	cut  func(testing.TB, *Disk, *Daemon) (*Disk, error)
}{
	{"copy", func(t testing.TB, disk *Disk, _ *Daemon) (*Disk, error) { return disk.Copy(t), nil }},
	{"shutdown", func(_ testing.TB, disk *Disk, daemon *Daemon) (*Disk, error) {
		if err := disk.PowerCut(); err != nil {
			return nil, err
		}
		daemon.Kill()
		return disk, errors.Join(disk.Unmount(), disk.Mount())
	}},
}

// checkAfterRestart starts a daemon and checks acknowledgements of the daemon before.
func checkAfterRestart(t *testing.T, launch Launch, guarantee Guarantee, acks []*Ack) error {
	return afterRestart(t, launch, func(s server) error { return guarantee.Check(s.Client, acks) })
}

// afterRestart starts a daemon and makes a check.
func afterRestart(t *testing.T, launch Launch, check func(server) error) error {
	daemon, err := TryStart(t, launch)
	if err != nil {
		return err
	}
	defer daemon.Kill()
	return check(server{daemon.Client(), launch.Dir})
}
