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

// smallDisk is the size of a disk that a test fills; ext4 needs some of it for its journal.
const smallDisk = 24 << 20

// TestFullDisk fills the disk: requests get the right refusals, and no upload is damaged.
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
	complete, incomplete := mustUpload(t, c, 1, 100_000, 100_000), mustUpload(t, c, 2, 12<<20, 1<<20)
	deleted := mustUpload(t, c, 3, 1<<20, 1000)
	free, err := disk.Fill()
	if err != nil {
		t.Fatal(err)
	}

	wantNoError(t, checkCreationRefused(c, launch.Dir, 0, wantNoSpace)) // there is no space for a record
	wantNoError(t, checkCreationRefused(c, launch.Dir, 1, wantNoSpace))
	wantNoError(t, checkCreationRefused(c, launch.Dir, 1<<40, wantTooLarge))
	wantNoError(t, checkPartStored(c, launch.Dir, incomplete))
	wantNoError(t, download(c, complete))
	daemon.Kill()
	daemon = Start(t, launch)
	c = daemon.Client()
	wantNoError(t, checkPartStored(c, launch.Dir, incomplete))
	wantNoError(t, download(c, complete))
	wantNoError(t, terminate(c, deleted))

	wantNoError(t, free())
	wantNoError(t, checkCreationRefused(c, launch.Dir, smallDisk*2, wantTooLarge))
	wantNoError(t, EveryAck.Check(c, []*Ack{complete, incomplete, deleted}))
	wantNoError(t, daemon.Stop())
}

// wantNoError fails the test if err is not nil.
func wantNoError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Error(err)
	}
}

// mustUpload makes an upload and sends its first n bytes.
func mustUpload(t *testing.T, c *tusclient.Client, seed uint64, length, n int64) *Ack {
	t.Helper()
	ack, err := create(c, Content{{Seed: seed, Length: length}})
	if err == nil {
		err = patch(c, ack, n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

// checkCreationRefused sends a POST, checks the answer with want, and that no file is left.
func checkCreationRefused(c *tusclient.Client, dir string, length int64, want func(tusclient.Answer) error) error {
	before, err := listFiles(dir)
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
	after, err := listFiles(dir)
	if err == nil && fmt.Sprint(before) != fmt.Sprint(after) {
		return fmt.Errorf("a refused POST has left files: %v, before %v", after, before)
	}
	return err
}

func wantNoSpace(a tusclient.Answer) error {
	if a.Status != http.StatusInsufficientStorage || a.Header.Get("Retry-After") == "" {
		return fmt.Errorf("%v, want 507 with Retry-After", a)
	}
	return nil
}

// wantTooLarge wants the refusal of an upload that is larger than the file system.
func wantTooLarge(a tusclient.Answer) error {
	return a.Want("POST of an upload larger than the disk", http.StatusRequestEntityTooLarge)
}

// checkPartStored sends more bytes than fit. The offset of HEAD must be the number of stored
// bytes.
func checkPartStored(c *tusclient.Client, dir string, ack *Ack) error {
	answer, err := c.Patch(ack.Path, ack.Offset, ack.Content.Bytes(ack.Offset, ack.Content.Length()))
	if err != nil {
		return err
	}
	if err := wantNoSpace(answer); err != nil {
		return fmt.Errorf("PATCH at %d: %w", ack.Offset, err)
	}
	head, err := c.Head(ack.Path)
	if err != nil {
		return err
	}
	if err := head.Want("HEAD on a full disk", http.StatusOK); err != nil {
		return err
	}
	stored, err := os.Stat(filepath.Join(dir, path.Base(ack.Path)))
	if err != nil {
		return err
	}
	if head.Offset() != stored.Size() || head.Offset() < ack.Offset {
		return fmt.Errorf("HEAD: offset %d, stored are %d bytes, acknowledged %d", head.Offset(), stored.Size(), ack.Offset)
	}
	ack.NoteOffset(head)
	return nil
}

// terminate deletes the upload.
func terminate(c *tusclient.Client, ack *Ack) error {
	answer, err := c.Delete(ack.Path)
	if err != nil {
		return err
	}
	ack.Deleted = true
	return answer.Want("DELETE", http.StatusNoContent)
}

// listFiles lists everything below a directory.
func listFiles(dir string) (names []string, err error) {
	err = filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	return names, err
}
