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

// losses are what a crash may leave of the state of a digest. The upload then
// has a state of the first PATCH, and bytes behind it that it does not cover.
var losses = []struct {
	name string
	harm func(lab, *Promise) error
}{
	{"the state of the last request", func(lab, *Promise) error { return nil }},
	{"no state", func(l lab, p *Promise) error {
		return l.changeDigest(p, func(d *keptDigest) { d.Offset, d.State = 0, nil })
	}},
	{"a state of more than there is", func(l lab, p *Promise) error {
		p.Offset /= 2
		kept := Segment{p.Content[0].Seed, p.Offset} // what comes in place of the rest may be other bytes
		p.Content = Content{kept, {Seed: kept.Seed + 1, Length: p.Content.Length() - p.Offset}}
		return os.Truncate(filepath.Join(l.dir, path.Base(p.Path)), p.Offset)
	}},
	{"no sum of all bytes", func(l lab, p *Promise) error {
		p.Offset = p.Content.Length()
		return os.WriteFile(filepath.Join(l.dir, path.Base(p.Path)), p.Content.Piece(0, p.Offset), 0o600)
	}},
}

// TestDigestSurvivesKills kills the daemon while an upload is received of
// which it keeps a digest. Complete, the upload has it all the same.
func TestDigestSurvivesKills(t *testing.T) {
	for _, loss := range losses {
		t.Run(loss.name, func(t *testing.T) {
			t.Parallel()
			launch := Launch{Binary: builder.Binary(t, ""), Dir: t.TempDir(), Flags: []string{"-digest", "sha256"}}
			for range max(rounds(t)/20, 2) {
				if err := loseDigest(t, launch, loss.harm); err != nil {
					t.Error(err)
				}
			}
		})
	}
}

// TestLostDigestIsSeen proves the test above: its check fails on a server that
// goes on from a state that is wrong.
func TestLostDigestIsSeen(t *testing.T) {
	t.Parallel()
	launch := Launch{Binary: builder.Binary(t, ""), Dir: t.TempDir(), Flags: []string{"-digest", "sha256"}}
	err := loseDigest(t, launch, func(l lab, p *Promise) error {
		return l.changeDigest(p, func(d *keptDigest) { d.State[10] ^= 1 }) // a byte of the sum so far
	})
	if !errors.Is(err, errDigest) {
		t.Errorf("the check says: %v", err)
	}
}

// loseDigest kills a daemon in the middle of a PATCH, does harm to what it
// left, and expects the digest of the resumed upload.
func loseDigest(t *testing.T, launch Launch, harm func(lab, *Promise) error) error {
	p := killAfterState(t, launch)
	if err := harm(lab{dir: launch.Dir}, p); err != nil {
		return err
	}
	killAsked(t, launch, p)
	daemon := Start(t, launch)
	defer daemon.Kill()
	return completesWithDigest(daemon.Client(), p)
}

// completesWithDigest holds a server to the promise and to the digest.
func completesWithDigest(c *tusclient.Client, p *Promise) error {
	if err := AllPromises.Check(c, []*Promise{p}); err != nil {
		return err
	}
	return awaitDigest(c, p.Path, p.Content)
}

// killAfterState makes an upload with a PATCH that leaves a state, and one
// that does not come to its end.
func killAfterState(t *testing.T, launch Launch) *Promise {
	t.Helper()
	daemon := Start(t, launch)
	defer daemon.Kill()
	p, err := lab{daemon.Client(), launch.Dir}.intoUncovered(rand.Uint64())
	daemon.Kill()
	if err == nil {
		err = lab{dir: launch.Dir}.changeDigest(p, func(d *keptDigest) {
			if d.Offset != p.Offset || len(d.State) == 0 {
				t.Errorf("the kept state is of %d bytes, not %d: this proves nothing", d.Offset, p.Offset)
			}
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// intoUncovered makes an upload, of which a state of the digest is kept, and
// stores bytes that it does not cover.
func (l lab) intoUncovered(seed uint64) (*Promise, error) {
	p, err := create(l.Client, someContent(seed))
	if err == nil {
		err = patch(l.Client, p, 1<<20+3)
	}
	if err == nil {
		err = SyncDisk(l.dir) // below, not even a power cut harms this
	}
	if err != nil {
		return nil, err
	}
	running, err := l.OpenPatch(p.Path, p.Offset, wire.Unknown)
	if err == nil {
		_, err = running.Write(p.Content.Piece(p.Offset, 1<<20))
	}
	if err != nil {
		return nil, err
	}
	return p, awaitSize(filepath.Join(l.dir, path.Base(p.Path)), p.Offset+1<<20)
}

// killAsked kills a daemon in the middle of what a HEAD makes it do.
func killAsked(t *testing.T, launch Launch, p *Promise) {
	t.Helper()
	daemon := Start(t, launch)
	head, err := daemon.Client().Head(p.Path)
	daemon.Kill()
	if err != nil {
		t.Fatal(err)
	}
	if err := head.Want("HEAD", http.StatusOK); err != nil {
		t.Fatal(err)
	}
	p.Shown(head)
}

// keptDigest is a digest as a record has it.
type keptDigest struct {
	Algorithm string
	Offset    int64
	State     []byte
}

// changeDigest edits the record of an upload that is not in use.
func (l lab) changeDigest(p *Promise, change func(*keptDigest)) error {
	name := filepath.Join(l.dir, path.Base(p.Path)) + ".info"
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	record := make(map[string]json.RawMessage)
	var digests []keptDigest
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

// TestDigestSurvivesPowerCuts cuts the power while an upload is received of
// which a digest is kept, at the levels where more and where less is on the
// disk afterwards.
func TestDigestSurvivesPowerCuts(t *testing.T) {
	NeedMounts(t)
	levels := map[string]Survival{"ack": AllPromises, "complete": CompleteOnes}
	for level, survival := range levels {
		for _, w := range ways {
			t.Run(level+"/"+w.name, func(t *testing.T) {
				t.Parallel()
				launch := Launch{Binary: builder.Binary(t, ""), Flags: []string{"-digest", "sha256", "-durability", level}}
				play := func(l lab) (func(lab) error, error) {
					p, err := l.intoUncovered(1)
					return func(l lab) error {
						if err := survival.Check(l.Client, []*Promise{p}); err != nil {
							return err
						}
						return awaitDigest(l.Client, p.Path, p.Content)
					}, err
				}
				if err := powerCut(t, launch, play, 0, w.cut); err != nil {
					t.Error(err)
				}
			})
		}
	}
}
