//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"os"
	"testing"

	"github.com/tus/tusd/internal/require"
)

// powerChunk is the size of the chunks in which the power is cut.
const powerChunk = 12 << 20

// arrivedBytes are the numbers of bytes of a chunk that have arrived when the power is cut.
// The last byte never has: the chunk is not verified yet.
var arrivedBytes = []int{1, powerChunk / 2, 0, 4096, 1 << 20, 5<<20 + 1, powerChunk / 3, powerChunk * 3 / 4, 10 << 20, powerChunk - 1}

// TestPowerCutInChunk cuts the power in the middle of a chunk with a checksum: afterwards
// all chunks before it are stored, and no byte of it. Unless mounts are required, it does so
// after two numbers of bytes only.
func TestPowerCutInChunk(t *testing.T) {
	NeedMounts(t)
	some := arrivedBytes[:2]
	if require.Required("mounts") {
		some = arrivedBytes
	}
	for i, arrived := range some {
		for j, c := range cuts {
			t.Run(fmt.Sprintf("%d/%s", arrived, c.name), func(t *testing.T) {
				t.Parallel()
				// In every second test the data of the chunk is on the disk and its undo record
				// may not be, as after a write-back of the kernel.
				run := scenarioInChunk(arrived, (i+j)%2 == 0)
				if err := powerCut(t, Launch{Binary: builder.Binary(t, "")}, run, 0, c.cut); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// scenarioInChunk ends when so many bytes of a chunk have arrived.
func scenarioInChunk(arrived int, writtenBack bool) scenario {
	return func(s server) (func(server) error, error) {
		u, _, err := s.sendPartOfChunk(powerChunk, arrived)
		if err == nil && writtenBack {
			err = syncFile(u.fileName(s.dir, ""))
		}
		return u.checkAll(firstRequests[arrived%len(firstRequests)]), err
	}
}

func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// checkAll returns the check of the upload after a restart of the server.
func (u *VerifiedUpload) checkAll(first firstRequest) func(server) error {
	return func(s server) error {
		if err := u.Check(s, first); err != nil {
			return err
		}
		return errors.Join(u.Complete(s.Client), u.Terminate(s))
	}
}

// chunkScenarios end with an answer about a chunk with a checksum.
var chunkScenarios = []struct {
	name string
	run  scenario
}{
	{"accepted", scenarioAfterChunk(nil)},
	{"mismatch", scenarioAfterChunk(sendCorrupted)},
	{"mismatch written back", scenarioAfterChunk(func(s server, u *VerifiedUpload, mode checksumMode) error {
		return sendCorruptedAfter(s, u, mode, func() error { return syncFile(u.fileName(s.dir, "")) })
	})},
	{"cut connection", scenarioAfterChunk(func(s server, u *VerifiedUpload, mode checksumMode) error {
		k, err := u.sendPart(s, mode, powerChunk, powerChunk/2)
		if err != nil {
			return err
		}
		k.Abort()
		return u.head(s.Client)
	})},
}

// scenarioAfterChunk ends with the answer to a chunk, or with next.
func scenarioAfterChunk(next func(server, *VerifiedUpload, checksumMode) error) scenario {
	return func(s server) (func(server) error, error) {
		u, err := createVerified(s.Client, 1, 100_000)
		for _, mode := range checksumModes {
			if err == nil {
				err = u.append(s.Client, mode, 3<<20+1)
			}
			if err == nil && next != nil {
				err = next(s, u, mode)
			}
		}
		return u.checkAll(firstRequests[0]), err
	}
}

// sendCorrupted sends a chunk with a wrong checksum.
func sendCorrupted(s server, u *VerifiedUpload, mode checksumMode) error {
	return sendCorruptedAfter(s, u, mode, func() error { return nil })
}

// sendCorruptedAfter sends a chunk with a wrong checksum, and calls before when half of it
// is stored.
func sendCorruptedAfter(s server, u *VerifiedUpload, mode checksumMode, before func() error) error {
	k, err := u.sendPart(s, mode, 4<<20, 2<<20)
	if err != nil {
		return err
	}
	if err := before(); err != nil {
		return err
	}
	k.corrupt(3 << 20)
	k.sendRest()
	return k.checkAnswer()
}

// TestPowerCutAfterChunk cuts the power after the answer to a chunk: afterwards an accepted
// chunk is stored, and a refused one is not.
func TestPowerCutAfterChunk(t *testing.T) {
	NeedMounts(t)
	for _, s := range chunkScenarios {
		for _, c := range cuts {
			t.Run(s.name+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				if err := powerCut(t, Launch{Binary: builder.Binary(t, "")}, s.run, 0, c.cut); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestPowerCutInChunkSeesMissingSyncs shows that the tests above can fail: their check fails
// on a server that never syncs.
func TestPowerCutInChunkSeesMissingSyncs(t *testing.T) {
	NeedMounts(t)
	for _, c := range cuts {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			launch := Launch{Binary: builder.Binary(t, "tusd_broken_nosync")}
			for name, run := range map[string]scenario{"in a chunk": scenarioInChunk(1<<20, false), "after one": scenarioAfterChunk(nil)} {
				if err := expectLoss(3, func() error { return powerCut(t, launch, run, 0, c.cut) }); err != nil {
					t.Errorf("%s, on a server without syncs: %v", name, err)
				}
			}
		})
	}
}
