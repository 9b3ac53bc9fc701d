//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tus/tusd/internal/tusclient"
)

// TestFinalsOnAFullDisk makes finals that would use the space that -min-free reserves: they
// are refused and leave no file, or wait and are built when there is space.
func TestFinalsOnAFullDisk(t *testing.T) {
	NeedMounts(t)
	disks := map[string]func(testing.TB, int64) *Disk{"tmpfs": NewTmpfs, "ext4": NewExt4}
	for name, newDisk := range disks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			testFinalsOnAFullDisk(t, newDisk(t, 48<<20))
		})
	}
}

const (
	minFree     = 4 << 20
	partialSize = 4 << 20
)

func testFinalsOnAFullDisk(t *testing.T, disk *Disk) {
	dir := disk.Dir + "/uploads"
	launch := Launch{Binary: builder.Binary(t, ""), Dir: dir, Flags: []string{"-min-free", fmt.Sprint(minFree)}}
	daemon := Start(t, launch)
	c := daemon.Client()
	partial := mustPartial(t, c, 1, partialSize)
	open := mustPartial(t, c, 2, partialSize-1)

	filler := filepath.Join(disk.Dir, "filler")
	wantNoError(t, fillDisk(disk, filler, 6*partialSize+minFree-1<<20))
	before, err := listFiles(dir)
	wantNoError(t, err)
	answer, err := c.Concat(slices.Repeat([]string{partial.Path}, 6)...)
	wantNoError(t, errors.Join(err, wantNoSpace(answer)))
	answer, err = c.Concat(slices.Repeat([]string{partial.Path}, 12)...)
	wantNoError(t, errors.Join(err, wantTooLarge(answer)))
	if after, err := listFiles(dir); err != nil || !slices.Equal(before, after) {
		t.Errorf("a refused final has left files: %v, before %v, %v", after, before, err)
	}
	wantNoError(t, checkMinFree(disk))
	wantNoError(t, os.Remove(filler))

	// There is space for this final when it is created, but not when it can be built.
	pending, err := c.Concat(partial.Path, open.Path, partial.Path)
	wantNoError(t, errors.Join(err, pending.Want("POST of a final that waits", http.StatusCreated)))
	wantNoError(t, fillDisk(disk, filler, 3*partialSize+minFree-1<<20))
	wantNoError(t, patch(c, open, 1))
	final := filepath.Join(dir, filepath.Base(pending.Path()))
	wantNoError(t, checkNotBuilt(daemon, disk, final))
	daemon.Kill()
	daemon = Start(t, launch)
	c = daemon.Client()
	wantNoError(t, checkNotBuilt(daemon, disk, final))

	wantNoError(t, os.Remove(filler))
	head, err := headUntilAnswered(c, pending.Path())
	wantNoError(t, errors.Join(err, head.Want("HEAD when there is space", http.StatusOK)))
	if head.Offset() != 3*partialSize {
		t.Errorf("the final has %d bytes", head.Offset())
	}
	wantNoError(t, daemon.Stop())
}

// mustPartial makes a partial of partialSize bytes and sends n of them.
func mustPartial(t *testing.T, c *tusclient.Client, seed uint64, n int64) *Ack {
	t.Helper()
	ack, err := create(c, Content{{Seed: seed, Length: partialSize}}, "Upload-Concat: partial")
	if err == nil {
		err = patch(c, ack, n)
	}
	if err != nil {
		t.Fatal(err)
	}
	return ack
}

func freeOn(disk *Disk) (int64, error) {
	var stat unix.Statfs_t
	err := unix.Statfs(disk.Dir, &stat)
	return int64(stat.Bavail) * int64(stat.Bsize), err
}

// checkMinFree checks that minFree bytes are free, but for some records.
func checkMinFree(disk *Disk) error {
	free, err := freeOn(disk)
	if err == nil && free < minFree-256<<10 {
		err = fmt.Errorf("%d bytes are free, want %d", free, minFree)
	}
	return err
}

// fillDisk writes a file so that left bytes stay free.
func fillDisk(disk *Disk, name string, left int64) error {
	free, err := freeOn(disk)
	if err != nil {
		return err
	}
	if free <= left {
		return fmt.Errorf("only %d bytes are free", free)
	}
	return os.WriteFile(name, make([]byte, free-left), 0o600)
}

// checkNotBuilt checks that the server writes nothing of a final for which there is no space,
// until it has tried twice to build it.
func checkNotBuilt(daemon *Daemon, disk *Disk, final string) error {
	const failed = "building a final upload failed"
	for deadline := time.Now().Add(waitTimeout); strings.Count(daemon.Output(), failed) < 2; time.Sleep(time.Millisecond) {
		stat, err := os.Stat(final)
		if err != nil {
			return err
		}
		if stat.Size() > 0 {
			return fmt.Errorf("%d bytes were written of a final that does not fit", stat.Size())
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("after %v the server has not tried twice: %s", waitTimeout, daemon.Output())
		}
	}
	return checkMinFree(disk)
}
