package filestore

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
)

// smallDisk mounts a file system of 2 MiB.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=2m")
	if err == nil {
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	}
	require.Need(t, "mounts", err == nil, "a tmpfs cannot be mounted here")
	return dir
}

// fill leaves no free block on the file system of dir. free makes space again.
func fill(t *testing.T, dir string) (free func()) {
	t.Helper()
	path := filepath.Join(dir, "ballast")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	_, err = io.Copy(f, zeroSource{})
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatalf("filling the disk: %v", err)
	}
	return func() { os.Remove(path) }
}

// On a full disk the bytes that fit are stored. Uploads can be loaded, read and
// terminated, and continued when there is space again, also after a restart.
func TestFullDisk(t *testing.T) {
	for _, level := range levels {
		t.Run(level.String(), func(t *testing.T) {
			dir := smallDisk(t)
			s := New(filepath.Join(dir, "uploads"))
			s.Durability = level
			s = reopen(t, s)
			const size = 1 << 20
			up, err := s.NewUpload(t.Context(), lockID(t, "a"), tusd.FileInfo{ID: "a", SizeIsDeferred: true})
			if err != nil {
				t.Fatal(err)
			}
			createWithContent(t, s, "b", 3, "abc")
			write(t, up, 0, strings.Repeat("x", size))
			if _, err := s.NewUpload(t.Context(), lockID(t, "large"), tusd.FileInfo{ID: "large", Size: 3 * size / 2}); !errors.Is(err, tusd.ErrNoSpace) {
				t.Errorf("an upload that does not fit now: %v, want ErrNoSpace", err)
			}
			if _, err := s.NewUpload(t.Context(), lockID(t, "huge"), tusd.FileInfo{ID: "huge", Size: 3 * size}); !errors.Is(err, tusd.ErrMaxSizeExceeded) {
				t.Errorf("an upload that never fits: %v, want ErrMaxSizeExceeded", err)
			}
			free := fill(t, dir)
			if err := os.Truncate(filepath.Join(dir, "ballast"), 512<<10); err != nil {
				t.Fatal(err)
			}
			n, err := up.WriteChunk(t.Context(), size, strings.NewReader(strings.Repeat("y", size)))
			if !errors.Is(err, tusd.ErrNoSpace) || n < 64<<10 || n >= size {
				t.Fatalf("WriteChunk into the last %d bytes gives %d, %v", size/2, n, err)
			}
			fill(t, dir)
			s = reopen(t, s)
			if got := offsetOf(t, loadUpload(t, s, "a")); got != size+n {
				t.Errorf("the offset is %d, want %d", got, size+n)
			}
			wantContent(t, s, "b", "abc")
			if _, err := s.NewUpload(t.Context(), lockID(t, "c"), tusd.FileInfo{ID: "c", SizeIsDeferred: true}); !errors.Is(err, tusd.ErrNoSpace) {
				t.Errorf("NewUpload on a full disk: %v, want ErrNoSpace", err)
			}
			wantAbsent(t, s, "c")
			wantFiles(t, s, "a", "a.info", "b", "b.info")
			err = loadUpload(t, s, "b").UpdateInfo(t.Context(), func(info *tusd.FileInfo) error {
				info.State = tusd.StateFailed
				return nil
			})
			if info, _ := loadUpload(t, s, "b").GetInfo(t.Context()); !errors.Is(err, tusd.ErrNoSpace) || info.State != "" {
				t.Errorf("UpdateInfo on a full disk: %v, state %q; want ErrNoSpace and the old record", err, info.State)
			}
			if err := s.Terminate(t.Context(), lockID(t, "b"), "b"); err != nil {
				t.Errorf("Terminate on a full disk: %v", err)
			}
			free()
			up = loadUpload(t, s, "a")
			write(t, up, offsetOf(t, up), "z")
		})
	}
}

// A creation is refused if fewer than MinFree bytes would stay free.
func TestMinFree(t *testing.T) {
	s := New(smallDisk(t))
	s.MinFree = 1 << 20
	s = reopen(t, s)
	createWithContent(t, s, "small", 1<<19, strings.Repeat("x", 1<<19))
	_, err := s.NewUpload(t.Context(), lockID(t, "large"), tusd.FileInfo{ID: "large", Size: 3 << 18})
	if !errors.Is(err, tusd.ErrNoSpace) {
		t.Errorf("an upload that leaves less than MinFree: %v, want ErrNoSpace", err)
	}
	_, err = s.NewUpload(t.Context(), lockID(t, "huge"), tusd.FileInfo{ID: "huge", Size: 3 << 19})
	if !errors.Is(err, tusd.ErrMaxSizeExceeded) {
		t.Errorf("an upload that never leaves MinFree: %v, want ErrMaxSizeExceeded", err)
	}
}

// No call leaves a descriptor open, whether it succeeds or fails.
func TestDescriptors(t *testing.T) {
	require.Long(t)
	descriptors := func() int {
		entries, err := os.ReadDir("/proc/self/fd")
		if err != nil {
			t.Fatal(err)
		}
		return len(entries)
	}
	before := descriptors()
	t.Cleanup(func() { // runs last, when the stores of the sweeps are closed
		if after := descriptors(); after > before {
			t.Errorf("%d descriptors are open, %d were before", after, before)
		}
	})
	for _, sc := range scenarios {
		sweep(t, Ack, sc, syscall.EIO)
	}
}

// MinFree bytes stay free, also while an upload of deferred length is written.
func TestMinFreeDuringWrites(t *testing.T) {
	const minFree = 1 << 20
	dir := smallDisk(t)
	s := New(filepath.Join(dir, "uploads"))
	s.MinFree = minFree
	s = reopen(t, s)
	up, err := s.NewUpload(t.Context(), lockID(t, "a"), tusd.FileInfo{ID: "a", SizeIsDeferred: true})
	if err != nil {
		t.Fatal(err)
	}
	n, err := up.WriteChunk(t.Context(), 0, io.LimitReader(zeroSource{}, 4<<20))
	if !errors.Is(err, tusd.ErrNoSpace) || n < 512<<10 || n > 1<<20 {
		t.Fatalf("%d of 4 MiB are stored on 2 MiB of which 1 MiB must stay free: %v", n, err)
	}
	if info := infoOf(t, s, "a"); info.Offset != n {
		t.Errorf("the offset is %d, want the %d bytes that were stored", info.Offset, n)
	}
	if _, err := s.NewUpload(t.Context(), lockID(t, "b"), tusd.FileInfo{ID: "b", Size: 512 << 10}); !errors.Is(err, tusd.ErrNoSpace) {
		t.Errorf("another upload: %v", err)
	}
}
