package cli

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A process that this user must not signal counts as running. os.Process.Signal alone
// does not show that.
func TestPIDFileOfAnotherUser(t *testing.T) {
	if os.Geteuid() != 0 {
		if !isRunning(1) {
			t.Error("process 1 does not run")
		}
		return
	}
	running := make(chan bool)
	go func() {
		runtime.LockOSThread() // the thread ends with the goroutine
		if _, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, 65534, 65534, 65534); errno != 0 {
			t.Error(errno)
		}
		process, err := os.FindProcess(1)
		if err == nil {
			defer process.Release()
			err = process.Signal(unix.Signal(0))
		}
		if err == nil {
			t.Error("this thread may still signal process 1: the test is void")
		}
		running <- isRunning(1)
	}()
	if !<-running {
		t.Error("process 1 counts as not running")
	}
}

// Checks of the PID file leave no pidfd open.
func TestPIDFileLeaksNoDescriptors(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tusd.pid")
	before := openDescriptors(t, "anon_inode:[pidfd]")
	for range 50 {
		writeFile(t, path, "1\n")
		if _, err := writePIDFile(path); err == nil {
			t.Fatal("process 1 counts as not running")
		}
		writeFile(t, path, "")
		if _, err := writePIDFile(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if n := openDescriptors(t, "anon_inode:[pidfd]"); n > before {
		t.Errorf("%d pidfds are open, %d before", n, before)
	}
}

// openDescriptors counts the descriptors of this process that refer to target.
func openDescriptors(t *testing.T, target string) (n int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if link, _ := os.Readlink("/proc/self/fd/" + entry.Name()); link == target {
			n++
		}
	}
	return n
}
