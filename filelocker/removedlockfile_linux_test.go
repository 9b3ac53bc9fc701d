package filelocker

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// A clean-up job may remove the lock file. Then holders are preempted, and no further
// lock is granted on the removed file. After the last lease all lockers use a new file.
func TestRemovedLockFile(t *testing.T) {
	dir := t.TempDir()
	l := onDir("default", dir)
	defer l.Close()
	held := mustLock(t, l, "a", tusd.LockTry)
	if err := os.Remove(filepath.Join(dir, slotFileName)); err != nil {
		t.Fatal(err)
	}
	select {
	case <-held.Preempted():
	case <-time.After(10 * time.Second):
		t.Fatal("the holder is not preempted")
	}
	if _, err := l.Lock(t.Context(), "b", tusd.LockTry); !errors.Is(err, errLockFileRemoved) {
		t.Fatalf("a lock was granted on the removed file: %v", err)
	}
	wantUnlocked(t, held)
	again := mustLock(t, l, "a", tusd.LockTry)
	other := onDir("default", dir)
	defer other.Close()
	wantRefused(t, other, "a")
	wantUnlocked(t, again)
	wantUnlocked(t, mustLock(t, other, "a", tusd.LockTry))
}

// The modification time of the lock file is renewed, so that clean-up jobs keep the file.
func TestLockFileIsTouched(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, slotFileName)
	if err := os.WriteFile(file, nil, 0o664); err != nil {
		t.Fatal(err)
	}
	longAgo := time.Now().Add(-30 * 24 * time.Hour)
	if err := os.Chtimes(file, longAgo, longAgo); err != nil {
		t.Fatal(err)
	}
	l := onDir("default", dir)
	defer l.Close()
	wantUnlocked(t, mustLock(t, l, "a", tusd.LockTry))
	if err := os.Chtimes(file, longAgo, longAgo); err != nil {
		t.Fatal(err)
	}
	l.mu.Lock()
	l.dir.slots.(*ofdSlots).touched -= touchAfter
	l.mu.Unlock()
	defer mustLock(t, l, "a", tusd.LockTry).Unlock(t.Context())
	eventually(t, "the modification time is renewed", func() bool {
		stat, err := os.Stat(file)
		return err == nil && time.Since(stat.ModTime()) < time.Hour
	})
}
