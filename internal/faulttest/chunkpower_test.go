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

// fills are the bytes of a chunk that have arrived when the power is cut: most
// from nothing to all of it but the end of the request, which comes with the
// checksum.
var fills = []int{1, powerChunk / 2, 0, 4096, 1 << 20, 5<<20 + 1, powerChunk / 3, powerChunk * 3 / 4, 10 << 20, powerChunk - 1}

// TestPowerCutInChunk cuts the power in the middle of a chunk with a checksum:
// all before it is there, and nothing of it. Where mounts are not required it
// does so for a few fills only.
func TestPowerCutInChunk(t *testing.T) {
	NeedMounts(t)
	some := fills[:2]
	if require.Required("mounts") {
		some = fills
	}
	for i, fill := range some {
		for j, w := range ways {
			t.Run(fmt.Sprintf("%d/%s", fill, w.name), func(t *testing.T) {
				t.Parallel()
				// Every other time the part is on the disk, as if the kernel had
				// written it back, and it alone.
				play := cutInChunk(fill, (i+j)%2 == 0)
				if err := powerCut(t, Launch{Binary: builder.Binary(t, "")}, play, 0, w.cut); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// cutInChunk ends while a chunk is arriving.
func cutInChunk(fill int, writtenBack bool) scene {
	return func(l lab) (func(lab) error, error) {
		p, _, err := l.intoChunk(powerChunk, fill)
		if err == nil && writtenBack {
			err = syncFile(p.file(l.dir, ""))
		}
		return p.holds(firstRequests[fill%len(firstRequests)]), err
	}
}

func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}

// holds is what has to hold of an upload in the next life of its server.
func (p *Proven) holds(first firstRequest) func(lab) error {
	return func(l lab) error {
		if err := p.Check(l, first); err != nil {
			return err
		}
		return errors.Join(p.Complete(l.Client), p.Remove(l))
	}
}

// chunkScenes end with an answer about a chunk with a checksum.
var chunkScenes = []struct {
	name string
	play scene
}{
	{"accepted", afterChunk(nil)},
	{"mismatch", afterChunk(wrongChunk)},
	{"mismatch written back", afterChunk(func(l lab, p *Proven, w proof) error {
		return wrongChunkAfter(l, p, w, func() error { return syncFile(p.file(l.dir, "")) })
	})},
	{"cut connection", afterChunk(func(l lab, p *Proven, w proof) error {
		k, err := p.beginPart(l, w, powerChunk, powerChunk/2)
		if err != nil {
			return err
		}
		k.Abort()
		return p.head(l.Client)
	})},
}

// afterChunk ends with the answer to a chunk, and to what next does.
func afterChunk(next func(lab, *Proven, proof) error) scene {
	return func(l lab) (func(lab) error, error) {
		p, err := createProven(l.Client, 1, 100_000)
		for _, w := range proofs {
			if err == nil {
				err = p.append(l.Client, w, 3<<20+1)
			}
			if err == nil && next != nil {
				err = next(l, p, w)
			}
		}
		return p.holds(firstRequests[0]), err
	}
}

func wrongChunk(l lab, p *Proven, w proof) error {
	return wrongChunkAfter(l, p, w, func() error { return nil })
}

// wrongChunkAfter sends a chunk that is refused, and does something when half
// of it is stored.
func wrongChunkAfter(l lab, p *Proven, w proof, before func() error) error {
	k, err := p.beginPart(l, w, 4<<20, 2<<20)
	if err != nil {
		return err
	}
	if err := before(); err != nil {
		return err
	}
	k.spoil(3 << 20)
	k.finish()
	return k.answer()
}

// TestPowerCutAfterChunk cuts the power after an answer about a chunk: what
// was accepted is there, what was refused is not.
func TestPowerCutAfterChunk(t *testing.T) {
	NeedMounts(t)
	for _, s := range chunkScenes {
		for _, w := range ways {
			t.Run(s.name+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				if err := powerCut(t, Launch{Binary: builder.Binary(t, "")}, s.play, 0, w.cut); err != nil {
					t.Error(err)
				}
			})
		}
	}
}

// TestPowerCutInChunkSeesMissingSyncs proves the tests above: their check fails
// on a server that never syncs.
func TestPowerCutInChunkSeesMissingSyncs(t *testing.T) {
	NeedMounts(t)
	for _, w := range ways {
		t.Run(w.name, func(t *testing.T) {
			t.Parallel()
			launch := Launch{Binary: builder.Binary(t, "tusd_broken_nosync")}
			for name, play := range map[string]scene{"in a chunk": cutInChunk(1<<20, false), "after one": afterChunk(nil)} {
				if err := lossWithin(3, func() error { return powerCut(t, launch, play, 0, w.cut) }); err != nil {
					t.Errorf("%s, a server without syncs: %v", name, err)
				}
			}
		})
	}
}
