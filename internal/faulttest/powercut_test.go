//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
)

// diskSize is enough for everything below, and for a journal.
const diskSize = 64 << 20

// TestPowerCut cuts the power the moment after each kind of acknowledgement.
func TestPowerCut(t *testing.T) {
	NeedMounts(t)
	for _, s := range scenarios {
		for _, w := range ways {
			t.Run(s.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				launch := Launch{Binary: builder.Binary(t, "")}
				if err := powerCut(t, launch, promising(s.run, AllPromises), 0, w.cut); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestPowerCutLater cuts it when the kernel has begun to write back by itself
// (its journal is written every 5 s), which makes other halves of the truth
// durable. The wait of 7 s only happens where mounts are required.
func TestPowerCutLater(t *testing.T) {
	NeedMounts(t)
	delays := []time.Duration{time.Second}
	if require.Required("mounts") {
		delays = append(delays, 7*time.Second)
	}
	for _, delay := range delays {
		for _, w := range ways {
			t.Run(delay.String()+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				launch := Launch{Binary: builder.Binary(t, "")}
				if err := powerCut(t, launch, promising(lab.byAll, AllPromises), delay, w.cut); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestPowerCutAtComplete: at that level, what was complete has to survive.
func TestPowerCutAtComplete(t *testing.T) {
	NeedMounts(t)
	for _, delay := range []time.Duration{0, time.Second} {
		for _, w := range ways {
			t.Run(delay.String()+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				launch := Launch{Binary: builder.Binary(t, ""), Flags: []string{"-durability", "complete"}}
				if err := powerCut(t, launch, promising(lab.byAll, CompleteOnes), delay, w.cut); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestPowerCutSeesMissingSyncs proves the tests above: the same check fails on
// a server that never syncs.
func TestPowerCutSeesMissingSyncs(t *testing.T) {
	NeedMounts(t)
	for _, s := range scenarios {
		for _, w := range ways {
			t.Run(s.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				launch := Launch{Binary: builder.Binary(t, "tusd_broken_nosync")}
				err := lossWithin(3, func() error { return powerCut(t, launch, promising(s.run, AllPromises), 0, w.cut) })
				if err != nil {
					t.Errorf("a server without syncs: %v", err)
				}
			})
		}
	}
}

// lossWithin expects that check finds a loss in one of so many tries: now and
// then the kernel happens to write everything back just in time.
func lossWithin(tries int, check func() error) error {
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

// errLost marks an error of powerCut as a broken promise.
var errLost = errors.New("lost in a power cut")

// scene does something to a server and returns what holds in its next life.
type scene func(lab) (holds func(lab) error, err error)

// promising is the scene of a scenario whose promises have to survive.
func promising(scenario func(lab) ([]*Promise, error), survival Survival) scene {
	return func(l lab) (func(lab) error, error) {
		promises, err := scenario(l)
		return func(next lab) error { return survival.Check(next.Client, promises) }, err
	}
}

// powerCut runs a daemon on a disk, plays a scene, cuts the power after a
// delay, and checks what then has to hold on what the disk has.
func powerCut(t *testing.T, launch Launch, play scene, delay time.Duration,
	cut func(testing.TB, *Disk, *Daemon) (*Disk, error)) error {
	disk := NewExt4(t, diskSize)
	launch.Dir = disk.Dir + "/uploads"
	daemon := Start(t, launch)
	if err := SyncDisk(disk.Dir); err != nil { // the start itself promises nothing
		return err
	}
	holds, err := play(lab{daemon.Client(), launch.Dir})
	if err != nil {
		return err
	}
	time.Sleep(delay)
	after, err := cut(t, disk, daemon)
	if err != nil {
		return err
	}
	launch.Dir = after.Dir + "/uploads"
	if err := inNextLife(t, launch, holds); err != nil {
		return fmt.Errorf("%w: %w", errLost, err)
	}
	return nil
}

// ways are the two ways to cut the power; each returns the disk as the next
// start finds it.
var ways = []struct {
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

// checkAfter starts a daemon in its next life and checks the promises of the
// one before.
func checkAfter(t *testing.T, launch Launch, survival Survival, promises []*Promise) error {
	return inNextLife(t, launch, func(l lab) error { return survival.Check(l.Client, promises) })
}

// inNextLife starts a daemon and checks what has to hold of the life before.
func inNextLife(t *testing.T, launch Launch, holds func(lab) error) error {
	daemon, err := TryStart(t, launch)
	if err != nil {
		return err
	}
	defer daemon.Kill()
	return holds(lab{daemon.Client(), launch.Dir})
}
