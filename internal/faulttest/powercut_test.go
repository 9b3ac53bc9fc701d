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
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			launch := Launch{Binary: builder.Binary(t, "")}
			if err := powerCut(t, launch, AllPromises, 0, s.run); err != nil {
				t.Error(err)
			}
		})
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
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			if err := powerCut(t, Launch{Binary: builder.Binary(t, "")}, AllPromises, delay, lab.byAll); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPowerCutAtComplete: at that level, what was complete has to survive.
func TestPowerCutAtComplete(t *testing.T) {
	NeedMounts(t)
	for _, delay := range []time.Duration{0, time.Second} {
		t.Run(delay.String(), func(t *testing.T) {
			t.Parallel()
			launch := Launch{Binary: builder.Binary(t, ""), Flags: []string{"-durability", "complete"}}
			if err := powerCut(t, launch, CompleteOnes, delay, lab.byAll); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestPowerCutSeesMissingSyncs proves the tests above: the same check fails on
// a server that never syncs.
func TestPowerCutSeesMissingSyncs(t *testing.T) {
	NeedMounts(t)
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			launch := Launch{Binary: builder.Binary(t, "tusd_broken_nosync")}
			if err := lossWithin(3, func() error { return powerCut(t, launch, AllPromises, 0, s.run) }); err != nil {
				t.Errorf("a server without syncs: %v", err)
			}
		})
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

// powerCut runs a daemon on a disk, collects promises, and cuts the power in
// two ways: on a copy of the disk as it is then, and on the disk itself. Each
// must keep the promises.
func powerCut(t *testing.T, launch Launch, survival Survival, delay time.Duration, scenario func(lab) ([]*Promise, error)) error {
	disk := NewExt4(t, diskSize)
	launch.Dir = disk.Dir + "/uploads"
	daemon := Start(t, launch)
	if err := disk.Sync(); err != nil { // the start itself promises nothing
		return err
	}
	promises, err := scenario(lab{Client{daemon.Address}, disk})
	if err != nil {
		return err
	}
	time.Sleep(delay)
	disk2 := disk.Copy(t)
	if err := disk.PowerCut(); err != nil {
		return err
	}
	daemon.Kill()
	if err := errors.Join(disk.Unmount(), disk.Mount()); err != nil {
		return err
	}
	for _, d := range []*Disk{disk2, disk} {
		launch.Dir = d.Dir + "/uploads"
		if err := checkAfter(t, launch, survival, clone(promises)); err != nil {
			return fmt.Errorf("%w: %w", errLost, err)
		}
	}
	return nil
}

// checkAfter starts a daemon in its next life and checks the promises of the
// one before.
func checkAfter(t *testing.T, launch Launch, survival Survival, promises []*Promise) error {
	daemon, err := TryStart(t, launch)
	if err != nil {
		return err
	}
	defer daemon.Kill()
	return survival.Check(Client{daemon.Address}, promises)
}

func clone(promises []*Promise) (copies []*Promise) {
	for _, p := range promises {
		c := *p
		copies = append(copies, &c)
	}
	return copies
}
