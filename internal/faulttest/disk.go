//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tus/tusd/internal/require"
)

// NeedMounts skips or fails the test if file systems cannot be mounted.
func NeedMounts(t testing.TB) {
	t.Helper()
	err := tryMount(t.TempDir())
	for _, tool := range []string{"mkfs.ext4", "mount", "umount"} {
		_, missing := exec.LookPath(tool)
		err = errors.Join(err, missing)
	}
	require.Need(t, "mounts", err == nil, fmt.Sprintf("file systems cannot be mounted (root and loop devices are needed): %v", err))
}

func tryMount(dir string) error {
	if _, err := os.Stat("/dev/loop-control"); err != nil {
		return err
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	return unix.Unmount(dir, 0)
}

// Disk is a mounted file system that is unmounted when the test ends.
type Disk struct {
	Dir string // where it is mounted

	image   string // of an ext4 disk
	mounted bool
}

// NewTmpfs mounts a tmpfs of a size.
func NewTmpfs(t testing.TB, bytes int64) *Disk {
	t.Helper()
	d := &Disk{Dir: t.TempDir()}
	t.Cleanup(func() { d.Unmount() })
	if err := unix.Mount("tmpfs", d.Dir, "tmpfs", 0, fmt.Sprint("size=", bytes)); err != nil {
		t.Fatalf("mount tmpfs: %v", err)
	}
	d.mounted = true
	return d
}

// NewExt4 makes an ext4 file system of a size in a file and mounts it.
func NewExt4(t testing.TB, bytes int64) *Disk {
	t.Helper()
	image := filepath.Join(t.TempDir(), "disk")
	if err := makeExt4(image, bytes); err != nil {
		t.Fatal(err)
	}
	return mountImage(t, image)
}

func makeExt4(image string, bytes int64) error {
	if err := os.WriteFile(image, nil, 0o600); err != nil {
		return err
	}
	if err := os.Truncate(image, bytes); err != nil {
		return err
	}
	// No reserved blocks: a full disk is full for root, too.
	return run("mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=0,lazy_journal_init=0", image)
}

func mountImage(t testing.TB, image string) *Disk {
	t.Helper()
	d := &Disk{Dir: t.TempDir(), image: image}
	t.Cleanup(func() { d.Unmount() })
	if err := d.Mount(); err != nil {
		t.Fatal(err)
	}
	return d
}

// Mount mounts an ext4 disk, which replays its journal.
func (d *Disk) Mount() error {
	if err := run("mount", "-o", "loop", d.image, d.Dir); err != nil {
		return err
	}
	d.mounted = true
	return nil
}

// Unmount unmounts the disk. It waits for processes that are being started and have files of
// it open for a moment.
func (d *Disk) Unmount() error {
	for deadline := time.Now().Add(waitTimeout); d.mounted; time.Sleep(5 * time.Millisecond) {
		err := unix.Unmount(d.Dir, 0)
		if err == nil {
			d.mounted = false
			break
		}
		if err != unix.EBUSY || time.Now().After(deadline) {
			return fmt.Errorf("unmount %s: %w", d.Dir, err)
		}
	}
	return d.awaitFree()
}

// awaitFree waits until the kernel has freed the loop device, which it does in the
// background.
func (d *Disk) awaitFree() error {
	for deadline := time.Now().Add(waitTimeout); d.image != ""; time.Sleep(5 * time.Millisecond) {
		users, err := exec.Command("losetup", "-j", d.image).Output()
		if err == nil && len(strings.TrimSpace(string(users))) == 0 {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is still in use: %s %w", d.image, users, err)
		}
	}
	return nil
}

// SyncDisk syncs the file system of dir.
func SyncDisk(dir string) error { return run("sync", "-f", dir) }

// shutdownIoctl (FS_IOC_SHUTDOWN) stops a file system at once. shutdownNoLogFlush drops the
// journal that is in memory.
const (
	shutdownIoctl      = 0x8004587d
	shutdownNoLogFlush = 2
)

// PowerCut stops the file system as a power cut does: data that is only in memory is lost,
// and every access fails until Unmount and Mount.
func (d *Disk) PowerCut() error {
	dir, err := os.Open(d.Dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := unix.IoctlSetPointerInt(int(dir.Fd()), shutdownIoctl, shutdownNoLogFlush); err != nil {
		return fmt.Errorf("shut %s down: %w", d.Dir, err)
	}
	return nil
}

// Copy mounts a copy of the disk. It lacks data that the mounted file system has only in
// memory, as after a power cut, and the mounted file system goes on.
func (d *Disk) Copy(t testing.TB) *Disk {
	t.Helper()
	image := filepath.Join(t.TempDir(), "copy")
	if err := run("cp", "--sparse=always", d.image, image); err != nil {
		t.Fatal(err)
	}
	return mountImage(t, image)
}

// Fill writes a file until the disk has no free block. free removes the file.
func (d *Disk) Fill() (free func() error, err error) {
	name := filepath.Join(d.Dir, "filler")
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	for size := 1 << 20; size > 0; {
		n, err := file.Write(make([]byte, size))
		switch {
		case errors.Is(err, unix.ENOSPC) && n == 0:
			size /= 2
		case err != nil && !errors.Is(err, unix.ENOSPC):
			return nil, err
		}
	}
	return func() error { return os.Remove(name) }, file.Sync()
}

func run(name string, args ...string) error {
	if output, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, output)
	}
	return nil
}
