//go:build linux

package faulttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// crashes are damages that a crash may do to the state of a digest. Before it the record
// has the state after the first PATCH, and more bytes are stored than the state covers.
var crashes = []struct {
	name   string
	damage func(server, *Ack) error
}{
	{"the state of the last request", func(server, *Ack) error { return nil }},
	{"no state", func(s server, ack *Ack) error {
		return s.changeDigest(ack, func(d *recordedDigest) { d.Offset, d.State = 0, nil })
	}},
	{"a state of more bytes than are stored", func(s server, ack *Ack) error {
		ack.Offset /= 2
		stored := Source{ack.Content[0].Seed, ack.Offset} // the client may send other bytes behind it
		ack.Content = Content{stored, {Seed: stored.Seed + 1, Length: ack.Content.Length() - ack.Offset}}
		return os.Truncate(filepath.Join(s.dir, path.Base(ack.Path)), ack.Offset)
	}},
	{"no digest of a full upload", func(s server, ack *Ack) error {
		ack.Offset = ack.Content.Length()
		return os.WriteFile(filepath.Join(s.dir, path.Base(ack.Path)), ack.Content.Bytes(0, ack.Offset), 0o600)
	}},
}

// TestDigestSurvivesKills kills the daemon while it receives an upload with a digest. When
// the upload is complete it has the right digest.
func TestDigestSurvivesKills(t *testing.T) {
	for _, crash := range crashes {
		t.Run(crash.name, func(t *testing.T) {
			t.Parallel()
			launch := Launch{Binary: builder.Binary(t, ""), Dir: t.TempDir(), Flags: []string{"-digest", "sha256"}}
			for range max(rounds(t)/20, 2) {
				if err := crashAndComplete(t, launch, crash.damage); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestLostDigestIsSeen shows that the test above can fail: its check finds a digest that was
// continued from a wrong state.
func TestLostDigestIsSeen(t *testing.T) {
	t.Parallel()
	launch := Launch{Binary: builder.Binary(t, ""), Dir: t.TempDir(), Flags: []string{"-digest", "sha256"}}
	err := crashAndComplete(t, launch, func(s server, ack *Ack) error {
		return s.changeDigest(ack, func(d *recordedDigest) { d.State[10] ^= 1 }) // a byte of the hash
	})
	if !errors.Is(err, errDigest) {
		t.Errorf("the check says: %v", err)
	}
}

// crashAndComplete kills a daemon in the middle of a PATCH, damages its files, and checks the
// digest of the resumed upload.
func crashAndComplete(t *testing.T, launch Launch, damage func(server, *Ack) error) error {
	ack := killAfterState(t, launch)
	if err := damage(server{dir: launch.Dir}, ack); err != nil {
		return err
	}
	killAfterHead(t, launch, ack)
	daemon := Start(t, launch)
	defer daemon.Kill()
	return checkWithDigest(daemon.Client(), ack)
}

// checkWithDigest checks the upload and its digest.
func checkWithDigest(c *tusclient.Client, ack *Ack) error {
	if err := EveryAck.Check(c, []*Ack{ack}); err != nil {
		return err
	}
	return awaitDigest(c, ack.Path, ack.Content)
}

// killAfterState kills a daemon after one PATCH of an upload, and in the middle of another.
func killAfterState(t *testing.T, launch Launch) *Ack {
	t.Helper()
	daemon := Start(t, launch)
	defer daemon.Kill()
	ack, err := server{daemon.Client(), launch.Dir}.patchBeyondState(rand.Uint64())
	daemon.Kill()
	if err == nil {
		err = server{dir: launch.Dir}.changeDigest(ack, func(d *recordedDigest) {
			if d.Offset != ack.Offset || len(d.State) == 0 {
				t.Errorf("the state in the record is of %d bytes, not %d: this proves nothing", d.Offset, ack.Offset)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// patchBeyondState makes an upload whose record has a state of the digest, and stores bytes
// that the state does not cover.
func (s server) patchBeyondState(seed uint64) (*Ack, error) {
	ack, err := create(s.Client, someContent(seed))
	if err == nil {
		err = patch(s.Client, ack, 1<<20+3)
	}
	if err == nil {
		err = SyncDisk(s.dir) // no power cut loses this
	}
	if err != nil {
		return nil, err
	}
	running, err := s.OpenPatch(ack.Path, ack.Offset, wire.Unknown)
	if err == nil {
		_, err = running.Write(ack.Content.Bytes(ack.Offset, 1<<20))
	}
	if err != nil {
		return nil, err
	}
	return ack, awaitSize(filepath.Join(s.dir, path.Base(ack.Path)), ack.Offset+1<<20)
}

// killAfterHead kills a daemon while it brings the digest up to date after a HEAD.
func killAfterHead(t *testing.T, launch Launch, ack *Ack) {
	t.Helper()
	daemon := Start(t, launch)
	head, err := daemon.Client().Head(ack.Path)
	daemon.Kill()
	if err != nil {
		t.Fatal(err)
	}
	if err := head.Want("HEAD", http.StatusOK); err != nil {
		t.Fatal(err)
	}
	ack.NoteOffset(head)
}

// recordedDigest is a digest in a record.
type recordedDigest struct {
	Algorithm string
	Offset    int64
	State     []byte
}

// changeDigest edits the record of an upload that is not in use.
func (s server) changeDigest(ack *Ack, change func(*recordedDigest)) error {
	name := filepath.Join(s.dir, path.Base(ack.Path)) + ".info"
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	record := make(map[string]json.RawMessage)
	var digests []recordedDigest
	if err := errors.Join(json.Unmarshal(content, &record), json.Unmarshal(record["Digests"], &digests)); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if len(digests) != 1 {
		return fmt.Errorf("%s has %d digests", name, len(digests))
	}
	change(&digests[0])
	if record["Digests"], err = json.Marshal(digests); err != nil {
		return err
	}
	if content, err = json.Marshal(record); err != nil {
		return err
	}
	return os.WriteFile(name, content, 0o600)
}

// TestDigestSurvivesPowerCuts cuts the power while the daemon receives an upload with a
// digest, at two durability levels.
func TestDigestSurvivesPowerCuts(t *testing.T) {
	NeedMounts(t)
	levels := map[string]Guarantee{"ack": EveryAck, "complete": CompleteUploads}
	for level, guarantee := range levels {
		for _, c := range cuts {
			t.Run(level+"/"+c.name, func(t *testing.T) {
				t.Parallel()
				launch := Launch{Binary: builder.Binary(t, ""), Flags: []string{"-digest", "sha256", "-durability", level}}
				run := func(s server) (func(server) error, error) {
					ack, err := s.patchBeyondState(1)
					return func(s server) error {
						if err := guarantee.Check(s.Client, []*Ack{ack}); err != nil {
							return err
						}
						return awaitDigest(s.Client, ack.Path, ack.Content)
					}, err
				}
				if err := powerCut(t, launch, run, 0, c.cut); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
