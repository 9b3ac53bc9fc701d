//go:build linux

package faulttest

import (
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"testing"

	"github.com/tus/tusd/internal/tusclient"
)

// smallDisk is filled by a test; ext4 needs some of it for its journal.
const smallDisk = 24 << 20

// TestFullDisk: a disk without room is told as such and harms nothing.
func TestFullDisk(t *testing.T) {
	NeedMounts(t)
	disks := map[string]func(testing.TB, int64) *Disk{"tmpfs": NewTmpfs, "ext4": NewExt4}
	for name, newDisk := range disks {
		for _, level := range []string{"ack", "none"} {
			t.Run(name+" "+level, func(t *testing.T) {
				t.Parallel()
				testFullDisk(t, newDisk(t, smallDisk), level)
			})
		}
	}
}

func testFullDisk(t *testing.T, disk *Disk, level string) {
	launch := Launch{Binary: builder.Binary(t, ""), Dir: disk.Dir + "/uploads", Flags: []string{"-durability", level}}
	daemon := Start(t, launch)
	c := daemon.Client()
	complete, running := mustPatch(t, c, 1, 100_000, 100_000), mustPatch(t, c, 2, 12<<20, 1<<20)
	doomed := mustPatch(t, c, 3, 1<<20, 1000)
	makeRoom, err := disk.Fill()
	if err != nil {
		t.Fatal(err)
	}

	check(t, refusesCreation(c, launch.Dir, 0, wantNoRoom)) // there is no room for a record either
	check(t, refusesCreation(c, launch.Dir, 1, wantNoRoom))
	check(t, refusesCreation(c, launch.Dir, 1<<40, wantNeverRoom))
	check(t, keepsWhatFits(c, launch.Dir, running))
	check(t, download(c, complete))
	daemon.Kill()
	daemon = Start(t, launch)
	c = daemon.Client()
	check(t, keepsWhatFits(c, launch.Dir, running))
	check(t, download(c, complete))
	check(t, deletes(c, doomed))

	check(t, makeRoom())
	check(t, refusesCreation(c, launch.Dir, smallDisk*2, wantNeverRoom))
	check(t, AllPromises.Check(c, []*Promise{complete, running, doomed}))
	check(t, daemon.Stop())
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// mustPatch makes an upload with its first n bytes.
func mustPatch(t *testing.T, c *tusclient.Client, seed uint64, length, n int64) *Promise {
	t.Helper()
	p, err := create(c, Content{{Seed: seed, Length: length}})
	if err == nil {
		err = patch(c, p, n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// refusesCreation expects a POST to be answered as want says, and to leave nothing.
func refusesCreation(c *tusclient.Client, dir string, length int64, want func(tusclient.Answer) error) error {
	before, err := names(dir)
	if err != nil {
		return err
	}
	answer, err := c.Create(length)
	if err != nil {
		return err
	}
	if err := want(answer); err != nil {
		return fmt.Errorf("POST of %d bytes: %w", length, err)
	}
	after, err := names(dir)
	if err == nil && fmt.Sprint(before) != fmt.Sprint(after) {
		return fmt.Errorf("a refused POST has left something: %v, before %v", after, before)
	}
	return err
}

func wantNoRoom(a tusclient.Answer) error {
	if a.Status != http.StatusInsufficientStorage || a.Header.Get("Retry-After") == "" {
		return fmt.Errorf("%v, want 507 with Retry-After", a)
	}
	return nil
}

// wantNeverRoom wants the answer to what the file system could never hold.
func wantNeverRoom(a tusclient.Answer) error {
	return a.Want("what never fits", http.StatusRequestEntityTooLarge)
}

// keepsWhatFits sends more than there is room for. HEAD shows what is really
// stored, no more and no less.
func keepsWhatFits(c *tusclient.Client, dir string, p *Promise) error {
	answer, err := c.Patch(p.Path, p.Offset, p.Content.Piece(p.Offset, p.Content.Length()))
	if err != nil {
		return err
	}
	if err := wantNoRoom(answer); err != nil {
		return fmt.Errorf("PATCH at %d: %w", p.Offset, err)
	}
	head, err := c.Head(p.Path)
	if err != nil {
		return err
	}
	if err := head.Want("HEAD on a full disk", http.StatusOK); err != nil {
		return err
	}
	stored, err := os.Stat(filepath.Join(dir, path.Base(p.Path)))
	if err != nil {
		return err
	}
	if head.Offset() != stored.Size() || head.Offset() < p.Offset {
		return fmt.Errorf("HEAD shows %d, stored are %d bytes, shown before %d", head.Offset(), stored.Size(), p.Offset)
	}
	p.Shown(head)
	return nil
}

func deletes(c *tusclient.Client, p *Promise) error {
	answer, err := c.Delete(p.Path)
	if err != nil {
		return err
	}
	p.Gone = true
	return answer.Want("DELETE on a full disk", http.StatusNoContent)
}

// names lists everything below a directory.
func names(dir string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	return names, err
}
