package doctor_test

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tus/tusd/cmd/tusd/cli/doctor"
	"github.com/tus/tusd/internal/require"
)

// mounted mounts a file system in memory.
func mounted(t *testing.T, options string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	err := unix.Mount("tmpfs", dir, "tmpfs", 0, options)
	if err == nil {
		t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	}
	require.Need(t, "mounts", err == nil, "a tmpfs cannot be mounted here")
	return dir
}

func TestDirectoryInMemory(t *testing.T) {
	dir := mounted(t, "size=4m,nr_inodes=50")
	text, good := inspected(t.Context(), doctor.Directory{Path: dir})
	if !good {
		t.Error(text)
	}
	wantLine(t, text, "warning  file system: tmpfs: it is in memory")
	wantLine(t, text, "warning  free space: 4 MiB$")
	wantLine(t, text, "warning  files: 4. more can be made")
	text, good = inspected(t.Context(), doctor.Directory{Path: dir, MinFree: 5 << 20})
	if good {
		t.Error(text)
	}
	wantLine(t, text, "missing  free space: 4 MiB, less than -min-free")
	wantNames(t, dir)
}

func TestDirectoryOnAFullDisk(t *testing.T) {
	dir := mounted(t, "size=1m")
	fill(t, filepath.Join(dir, "filler"))
	text, good := inspected(t.Context(), doctor.Directory{Path: dir})
	if good {
		t.Error(text)
	}
	wantLine(t, text, "missing  .*(none|no space left on device)")
	wantNames(t, dir, "filler")
}

func fill(t *testing.T, name string) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
}

func TestDirectoryWithoutInodes(t *testing.T) {
	dir := mounted(t, "size=4m,nr_inodes=2")
	if err := os.WriteFile(filepath.Join(dir, "last"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text, good := inspected(t.Context(), doctor.Directory{Path: dir})
	if good {
		t.Error(text)
	}
	wantLine(t, text, "missing  directory .*no space left on device; free some space")
}

// Data that the user cannot write may be of a complete upload: it is only a
// warning.
func TestDirectoryWithAFileOfAnother(t *testing.T) {
	dir := mounted(t, "size=4m")
	for name, content := range map[string]string{"a": "12345", "a.info": `{"ID":"a","Size":9}`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	data := filepath.Join(dir, "a")
	if err := unix.Mount(data, data, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Unmount(data, unix.MNT_DETACH) })
	if err := unix.Mount("", data, "", unix.MS_REMOUNT|unix.MS_BIND|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	text, good := inspected(t.Context(), doctor.Directory{Path: dir})
	if !good {
		t.Error(text)
	}
	wantLine(t, text, "warning  existing uploads: .*/a cannot be written to: ")
}

func TestDirectoryThatIsReadOnly(t *testing.T) {
	dir := mounted(t, "size=4m")
	if err := unix.Mount("", dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		t.Fatal(err)
	}
	text, good := inspected(t.Context(), doctor.Directory{Path: filepath.Join(dir, "uploads")})
	if good {
		t.Error(text)
	}
	wantLine(t, text, "missing  directory .*read-only file system; it must be mounted for writing$")
}
