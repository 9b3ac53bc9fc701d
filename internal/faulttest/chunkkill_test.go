//go:build linux

package faulttest

import (
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/tus/tusd/internal/tusclient"
)

// TestKillInChunks kills the daemon while chunks with checksums arrive, again
// and again on one directory.
func TestKillInChunks(t *testing.T) {
	t.Parallel()
	s := &chunkSiege{launch: Launch{Binary: builder.Binary(t, ""), Dir: t.TempDir()}}
	s.run(t, max(rounds(t)/2, 3))
}

// TestKillInChunksWithOnePID does the same with a daemon that has process id 1
// in every life, and that keeps digests of the uploads.
func TestKillInChunksWithOnePID(t *testing.T) {
	needOwnPIDs(t)
	t.Parallel()
	s := &chunkSiege{digest: true, launch: Launch{
		Binary: builder.Binary(t, ""), Dir: t.TempDir(), OwnPIDs: true, Flags: []string{"-digest", "sha256"},
	}}
	s.run(t, max(rounds(t)/20, 2))
}

// chunkSiege kills daemons under a ChunkLoad.
type chunkSiege struct {
	launch  Launch
	digest  bool // of every upload is kept
	random  *rand.Rand
	uploads [4]*Proven // by client of the load; nil: none
	torn    int        // kills with a part of a chunk on the disk
}

// run goes on until so many kills were in the middle of a chunk.
func (s *chunkSiege) run(t *testing.T, rounds int) {
	seed := rand.Uint64()
	t.Logf("seed %d, %d rounds", seed, rounds)
	s.random = rand.New(rand.NewPCG(seed, 0))
	kills := 0
	for ; s.torn < rounds && kills < 4*rounds; kills++ {
		if s.random.IntN(3) == 0 {
			s.killInRollback(t)
		}
		daemon := Start(t, s.launch)
		err := s.check(daemon.Client())
		if err == nil {
			err = s.killInLoad(daemon)
		}
		if err != nil {
			t.Fatalf("after %d kills: %v\n%s", kills, err, daemon.Output())
		}
	}
	t.Logf("%d of %d kills in the middle of a chunk", s.torn, kills)
	if s.torn < rounds {
		t.Error("too few kills came in the middle of a chunk")
	}
	if err := inNextLife(t, s.launch, func(l lab) error { return s.check(l.Client) }); err != nil {
		t.Fatalf("at the end: %v", err)
	}
}

// killInLoad kills the daemon when chunks have begun to arrive.
func (s *chunkSiege) killInLoad(daemon *Daemon) error {
	load := &ChunkLoad{
		Client: daemon.Client(), Seed: s.random.Uint64(), Uploads: s.uploads[:], Arriving: make(chan struct{}),
	}
	after := time.Duration(s.random.Int64N(int64(80 * time.Millisecond)))
	ended := make(chan error, 1)
	go func() { ended <- load.Run() }()
	select {
	case <-load.Arriving:
	case <-time.After(waitTimeout):
	}
	time.Sleep(after) // not for synchronisation: any moment is right
	daemon.Kill()
	err := <-ended
	for _, p := range s.uploads {
		if p != nil && p.torn(s.launch.Dir) {
			s.torn++
			break
		}
	}
	return err
}

// killInRollback asks for all uploads, which takes torn chunks back, and kills
// the daemon at once.
func (s *chunkSiege) killInRollback(t *testing.T) {
	daemon := Start(t, s.launch)
	asked := make(chan struct{})
	for _, p := range s.uploads {
		go func() {
			if p != nil {
				daemon.Client().Head(p.Path) // the answer does not matter
			}
			asked <- struct{}{}
		}()
	}
	time.Sleep(time.Duration(s.random.Int64N(int64(5 * time.Millisecond)))) // any moment is right
	daemon.Kill()
	for range s.uploads {
		<-asked
	}
}

// check looks at the uploads in the life after a kill, but for some whose next
// request is to be the next chunk. Half of those that were looked at are
// completed or removed.
func (s *chunkSiege) check(c *tusclient.Client) error {
	l := lab{c, s.launch.Dir}
	for i, p := range s.uploads {
		if p == nil || p.certain() && s.random.IntN(4) == 0 {
			continue
		}
		if s.random.IntN(8) == 0 { // unseen
			s.uploads[i] = nil
			if err := p.Remove(l); err != nil {
				return err
			}
			continue
		}
		if err := p.Check(l, firstRequests[s.random.IntN(len(firstRequests))]); err != nil {
			return err
		}
		if s.random.IntN(2) == 0 {
			s.uploads[i] = nil
			if err := errors.Join(s.complete(p, c), p.Remove(l)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *chunkSiege) complete(p *Proven, c *tusclient.Client) error {
	if err := p.Complete(c); err != nil || !s.digest {
		return err
	}
	return awaitDigest(c, p.Path, p.soFar())
}

// TestCheckOfChunks proves the tests above: the check they make finds what is
// wrong with an upload on which a server died in the middle of a chunk.
func TestCheckOfChunks(t *testing.T) {
	const unharmed = "nothing"
	harm := map[string]func(p *Proven, dir string) error{
		unharmed: func(*Proven, string) error { return nil },
		"unverified bytes are not rolled back": func(p *Proven, dir string) error {
			return os.Remove(p.file(dir, ".undo"))
		},
		"a verified byte is another one": func(p *Proven, dir string) error {
			return changeByte(p.file(dir, ""), p.offset()/2)
		},
		"verified bytes are lost": func(p *Proven, dir string) error {
			return os.Truncate(p.file(dir, ""), p.offset()-1)
		},
	}
	for name, do := range harm {
		for _, first := range firstRequests {
			t.Run(name+"/"+first.name, func(t *testing.T) {
				t.Parallel()
				launch := Launch{Binary: builder.Binary(t, ""), Dir: t.TempDir()}
				p := dieInChunk(t, launch)
				if err := do(p, launch.Dir); err != nil {
					t.Fatal(err)
				}
				err := inNextLife(t, launch, func(l lab) error { return p.Check(l, first) })
				if (err == nil) != (name == unharmed) {
					t.Errorf("the check says: %v", err)
				}
			})
		}
	}
}

// dieInChunk makes an upload and kills its server in the middle of a chunk.
func dieInChunk(t *testing.T, launch Launch) *Proven {
	t.Helper()
	daemon := Start(t, launch)
	defer daemon.Kill()
	p, k, err := (lab{daemon.Client(), launch.Dir}).intoChunk(1<<20, 1<<19)
	if err != nil {
		t.Fatal(err)
	}
	daemon.Kill()
	k.Abort()
	if !p.torn(launch.Dir) {
		t.Fatal("no part of the chunk is on the disk, or no mark: this proves nothing")
	}
	return p
}

// intoChunk makes an upload of two chunks and sends n bytes of a third one of
// a size, until they are stored.
func (l lab) intoChunk(size int64, n int) (*Proven, *chunk, error) {
	p, err := createProven(l.Client, uint64(size), 300_001)
	if err == nil {
		err = p.append(l.Client, proofs[1], 1<<20)
	}
	if err != nil {
		return nil, nil, err
	}
	k, err := p.beginPart(l, proofs[n%len(proofs)], size, n)
	return p, k, err
}

func changeByte(name string, i int64) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	var b [1]byte
	if _, err := f.ReadAt(b[:], i); err != nil {
		return err
	}
	b[0] ^= 1
	_, err = f.WriteAt(b[:], i)
	return err
}
