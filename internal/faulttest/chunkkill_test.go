//go:build linux

package faulttest

import (
	"errors"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/tusclient"
)

// TestKillInChunks kills the daemon many times while chunks with checksums arrive. All
// daemons have one directory.
func TestKillInChunks(t *testing.T) {
	t.Parallel()
	s := &chunkKills{launch: Launch{Binary: builder.Binary(t, ""), Dir: t.TempDir()}}
	s.run(t, max(rounds(t)/2, 3))
}

// TestKillInChunksWithOnePID does the same with daemons that all have process id 1 and keep
// digests of the uploads.
func TestKillInChunksWithOnePID(t *testing.T) {
	needOwnPIDs(t)
	t.Parallel()
	s := &chunkKills{digest: true, launch: Launch{
		Binary: builder.Binary(t, ""), Dir: t.TempDir(), OwnPIDs: true, Flags: []string{"-digest", "sha256"},
	}}
	s.run(t, max(rounds(t)/20, 2))
}

// chunkKills kills daemons under a ChunkLoad.
type chunkKills struct {
	launch      Launch
	digest      bool // the daemon keeps one of every upload
	random      *rand.Rand
	uploads     [4]*VerifiedUpload // one of each client of the load; nil: none
	interrupted int                // kills after which a part of a chunk was on the disk
}

// run kills daemons until so many kills were in the middle of a chunk.
func (s *chunkKills) run(t *testing.T, rounds int) {
	seed := rand.Uint64()
	t.Logf("seed %d, %d rounds", seed, rounds)
	s.random = rand.New(rand.NewPCG(seed, 0))
	kills := 0
	for ; s.interrupted < rounds && kills < 4*rounds; kills++ {
		if s.random.IntN(3) == 0 {
			s.killInRollBack(t)
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
	t.Logf("%d of %d kills in the middle of a chunk", s.interrupted, kills)
	if s.interrupted < rounds {
		t.Error("too few kills came in the middle of a chunk")
	}
	if err := afterRestart(t, s.launch, func(next server) error { return s.check(next.Client) }); err != nil {
		t.Fatalf("at the end: %v", err)
	}
}

// killInLoad kills the daemon at a random time after chunks have begun to arrive.
func (s *chunkKills) killInLoad(daemon *Daemon) error {
	load := &ChunkLoad{
		Client: daemon.Client(), Seed: s.random.Uint64(), Uploads: s.uploads[:], Receiving: make(chan struct{}),
	}
	after := time.Duration(s.random.Int64N(int64(80 * time.Millisecond)))
	ended := make(chan error, 1)
	go func() { ended <- load.Run() }()
	select {
	case <-load.Receiving:
	case <-time.After(waitTimeout):
	}
	time.Sleep(after) // a random time, nothing is synchronised
	daemon.Kill()
	err := <-ended
	for _, u := range s.uploads {
		if u != nil && u.interrupted(s.launch.Dir) {
			s.interrupted++
			break
		}
	}
	return err
}

// killInRollBack kills a daemon while it answers a HEAD for each upload, which rolls back
// interrupted chunks.
func (s *chunkKills) killInRollBack(t *testing.T) {
	daemon := Start(t, s.launch)
	answered := make(chan struct{})
	for _, u := range s.uploads {
		go func() {
			if u != nil {
				daemon.Client().Head(u.Path) // the answer does not matter
			}
			answered <- struct{}{}
		}()
	}
	time.Sleep(time.Duration(s.random.Int64N(int64(5 * time.Millisecond)))) // a random time, nothing is synchronised
	daemon.Kill()
	for range s.uploads {
		<-answered
	}
}

// check checks most uploads after a kill; others get a chunk as their next request. It
// completes and terminates half of those that it has checked.
func (s *chunkKills) check(c *tusclient.Client) error {
	daemon := server{c, s.launch.Dir}
	for i, u := range s.uploads {
		if u == nil || u.offsetKnown() && s.random.IntN(4) == 0 {
			continue
		}
		if s.random.IntN(8) == 0 { // without a request before
			s.uploads[i] = nil
			if err := u.Terminate(daemon); err != nil {
				return err
			}
			continue
		}
		if err := u.Check(daemon, firstRequests[s.random.IntN(len(firstRequests))]); err != nil {
			return err
		}
		if s.random.IntN(2) == 0 {
			s.uploads[i] = nil
			if err := errors.Join(s.complete(u, c), u.Terminate(daemon)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *chunkKills) complete(u *VerifiedUpload, c *tusclient.Client) error {
	if err := u.Complete(c); err != nil || !s.digest {
		return err
	}
	return awaitDigest(c, u.Path, u.acknowledged())
}

// TestCheckOfChunks shows that the tests above can fail: their check finds damage to an
// upload whose server was killed in the middle of a chunk.
func TestCheckOfChunks(t *testing.T) {
	require.Long(t)
	const undamaged = "undamaged"
	damages := map[string]func(u *VerifiedUpload, dir string) error{
		undamaged: func(*VerifiedUpload, string) error { return nil },
		"unverified bytes are not rolled back": func(u *VerifiedUpload, dir string) error {
			return os.Remove(u.fileName(dir, ".undo"))
		},
		"a verified byte is changed": func(u *VerifiedUpload, dir string) error {
			return changeByte(u.fileName(dir, ""), u.offset()/2)
		},
		"verified bytes are lost": func(u *VerifiedUpload, dir string) error {
			return os.Truncate(u.fileName(dir, ""), u.offset()-1)
		},
	}
	for name, damage := range damages {
		for _, first := range firstRequests {
			t.Run(name+"/"+first.name, func(t *testing.T) {
				t.Parallel()
				launch := Launch{Binary: builder.Binary(t, ""), Dir: t.TempDir()}
				u := killInChunk(t, launch)
				if err := damage(u, launch.Dir); err != nil {
					t.Fatal(err)
				}
				err := afterRestart(t, launch, func(s server) error { return u.Check(s, first) })
				if (err == nil) != (name == undamaged) {
					t.Errorf("the check says: %v", err)
				}
			})
		}
	}
}

// killInChunk makes an upload and kills its server in the middle of a chunk.
func killInChunk(t *testing.T, launch Launch) *VerifiedUpload {
	t.Helper()
	daemon := Start(t, launch)
	defer daemon.Kill()
	u, k, err := (server{daemon.Client(), launch.Dir}).sendPartOfChunk(1<<20, 1<<19)
	if err != nil {
		t.Fatal(err)
	}
	daemon.Kill()
	k.Abort()
	if !u.interrupted(launch.Dir) {
		t.Fatal("no part of the chunk or no undo record is on the disk: this proves nothing")
	}
	return u
}

// sendPartOfChunk makes an upload of two chunks, sends n of the size bytes of a third one,
// and waits until they are stored.
func (s server) sendPartOfChunk(size int64, n int) (*VerifiedUpload, *chunkRequest, error) {
	u, err := createVerified(s.Client, uint64(size), 300_001)
	if err == nil {
		err = u.append(s.Client, checksumModes[1], 1<<20)
	}
	if err != nil {
		return nil, nil, err
	}
	k, err := u.sendPart(s, checksumModes[n%len(checksumModes)], size, n)
	return u, k, err
}

// changeByte changes the i-th byte of a file.
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
