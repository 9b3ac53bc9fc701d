package filestore

import (
	"errors"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tus/tusd"
)

func TestProbeFindsAReadOnlyFileSystem(t *testing.T) {
	dir := smallDisk(t)
	s := reopen(t, New(dir))
	mountReadOnly(t, dir)
	if err := s.Probe(t.Context()); !errors.Is(err, syscall.EROFS) {
		t.Errorf("Probe: %v, want %v", err, syscall.EROFS)
	}
}

// mountReadOnly mounts dir over itself, read-only. The file system itself cannot be
// remounted read-only because the store has files open for writing.
func mountReadOnly(t *testing.T, dir string) {
	t.Helper()
	if err := unix.Mount(dir, dir, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
}

func TestProbeFindsAFullDisk(t *testing.T) {
	dir := smallDisk(t)
	s := reopen(t, New(dir))
	free := fill(t, dir)
	if err := s.Probe(t.Context()); !errors.Is(err, tusd.ErrNoSpace) {
		t.Errorf("Probe: %v, want %v", err, tusd.ErrNoSpace)
	}
	free()
	if err := s.Probe(t.Context()); err != nil {
		t.Errorf("with free space again: %v", err)
	}
}
