package filelocker

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nightlyone/lockfile"
	"github.com/tus/tusd"
)

// old makes the watcher find what is held older than it is.
func old(l *FileLocker, leases ...tusd.Lease) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range leases {
		s.(*lease).since = s.(*lease).since.Add(-showAfter)
	}
}

// held locks ids and makes their pid files.
func heldLong(t *testing.T, l *FileLocker, ids ...string) []tusd.Lease {
	t.Helper()
	var leases []tusd.Lease
	for _, id := range ids {
		leases = append(leases, mustLock(t, l, id, tusd.LockTry))
	}
	old(l, leases...)
	l.writePIDFiles(l.listOld())
	return leases
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func wantOurs(t *testing.T, path string) {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil || string(content) != fmt.Sprintf("%d\n", os.Getpid()) {
		t.Errorf("%s has %q (%v), want our process id", path, content, err)
	}
	if owner, err := lockfile.Lockfile(path).GetOwner(); err != nil || owner.Pid != os.Getpid() {
		t.Errorf("the library takes %s for that of %v (%v)", path, owner, err)
	}
}

// A lock that is held for longer than a second shows, one that is not does
// not, and nothing is left of either.
func TestPIDFileAfterASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := lockers(t, "default", 1)[0]
		long := mustLock(t, l, "long", tusd.LockTry)
		time.Sleep(showAfter - time.Millisecond)
		wantFiles(t, l.Path)
		short := mustLock(t, l, "short", tusd.LockTry)
		time.Sleep(showAfter / 2)
		wantFiles(t, l.Path, "long.lock")
		wantOurs(t, filepath.Join(l.Path, "long.lock"))
		wantUnlocked(t, short)
		time.Sleep(2 * showAfter)
		wantFiles(t, l.Path, "long.lock")
		wantUnlocked(t, long)
		wantFiles(t, l.Path)
	})
}

// wantFiles checks what lies in the directory besides what decides.
func wantFiles(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, e := range entries {
		if e.Name() != ".tusd.locks" && e.Name() != slotDir {
			got = append(got, e.Name())
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(append([]string{}, want...)) {
		t.Errorf("the directory has %v, want %v", got, want)
	}
}

// What others have left under the name is in nobody's way: it holds no lock,
// and the file says who does.
func TestLeftoverPIDFiles(t *testing.T) {
	l := lockers(t, "default", 1)[0]
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	leftovers := map[string]func(path string) error{
		"dead":    func(path string) error { return os.WriteFile(path, []byte("4194304\n"), 0o600) },
		"living":  func(path string) error { return os.WriteFile(path, []byte("1\n"), 0o600) },
		"garbage": func(path string) error { return os.WriteFile(path, []byte("x"), 0o600) },
		"link":    func(path string) error { return os.Symlink(outside, path) },
	}
	for id, leave := range leftovers {
		path := filepath.Join(l.Path, id+".lock")
		if err := leave(path); err != nil {
			t.Fatal(err)
		}
		leases := heldLong(t, l, id)
		wantOurs(t, path)
		wantUnlocked(t, leases[0])
	}
	wantFiles(t, l.Path)
	if content, err := os.ReadFile(outside); err != nil || string(content) != "precious" {
		t.Errorf("the file behind a link has %q (%v)", content, err)
	}
}

// A pid file lies beside its upload, and never outside of the directory.
func TestPIDFilesOfPaths(t *testing.T) {
	l := lockers(t, "default", 1)[0]
	outside := t.TempDir()
	if err := os.MkdirAll(filepath.Join(l.Path, "a", "b"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(l.Path, "a", "link")); err != nil {
		t.Fatal(err)
	}
	leases := heldLong(t, l, "a/b/c", "a/link/c", "missing/c")
	wantOurs(t, filepath.Join(l.Path, "a", "b", "c.lock"))
	wantFiles(t, outside)
	wantFiles(t, l.Path, "a")
	for _, lease := range leases {
		wantUnlocked(t, lease)
	}
	if exists(filepath.Join(l.Path, "a", "b", "c.lock")) {
		t.Error("the pid file is left")
	}
}

// Locks do not care whether their pid files can be made, or what becomes of
// them.
func TestPIDFilesDecideNothing(t *testing.T) {
	ls := lockers(t, "default", 2)
	if err := os.MkdirAll(filepath.Join(ls[0].Path, "blocked.lock", "full"), 0o755); err != nil {
		t.Fatal(err)
	}
	leases := heldLong(t, ls[0], "blocked", "removed", "replaced")
	replaced := filepath.Join(ls[0].Path, "replaced.lock")
	if err := os.Remove(filepath.Join(ls[0].Path, "removed.lock")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(replaced, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for i, id := range []string{"blocked", "removed", "replaced"} {
		wantRefused(t, ls[1], id)
		wantUnlocked(t, leases[i])
		wantUnlocked(t, mustLock(t, ls[1], id, tusd.LockTry))
	}
	wantFiles(t, ls[0].Path, "blocked.lock", "replaced.lock")
}

// A pid file that is being made while its lock is given back does not stay.
func TestPIDFileRacesWithUnlock(t *testing.T) {
	l := lockers(t, "default", 1)[0]
	for range 100 {
		lease := mustLock(t, l, "a", tusd.LockTry)
		old(l, lease)
		listed := l.listOld()
		done := make(chan struct{})
		go func() { defer close(done); l.writePIDFiles(listed) }()
		runtime.Gosched()
		wantUnlocked(t, lease)
		<-done
		wantFiles(t, l.Path)
	}
}
