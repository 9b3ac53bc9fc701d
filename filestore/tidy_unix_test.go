//go:build unix

package filestore

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// A lock file that a program has locked stays, however old it is, and whatever is in it.
func TestTidyLeavesHeldLocks(t *testing.T) {
	for how, lock := range map[string]func(f *os.File) error{
		"flock":  func(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_EX) },
		"shared": func(f *os.File) error { return unix.Flock(int(f.Fd()), unix.LOCK_SH) },
		"as this program locks": func(f *os.File) error {
			_, err := tryLock(f, true)
			return err
		},
	} {
		s := openStore(t, None)
		createUpload(t, s, "a", 1)
		writeFiles(t, s, map[string]string{"a.lock": "1234\n"})
		f, err := os.OpenFile(filepath.Join(s.Path, "a.lock"), os.O_RDWR, 0)
		if err == nil {
			err = lock(f)
		}
		if err != nil {
			t.Fatal(err)
		}
		inAnHour := time.Now().Add(time.Hour)
		if got := tidyAll(t, s, inAnHour); !slices.Equal(got, []string{`lock a.lock "a" stays`}) {
			t.Errorf("%s, held: %q", how, got)
		}
		wantFiles(t, s, "a", "a.info", "a.lock")
		f.Close()
		if got := tidyAll(t, s, inAnHour); !slices.Equal(got, []string{`lock a.lock "a" removed`}) {
			t.Errorf("%s, free: %q", how, got)
		}
	}
}
