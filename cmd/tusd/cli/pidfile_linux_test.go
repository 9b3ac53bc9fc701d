package cli

import (
	"os"
	"path/filepath"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// A process that we must not signal runs all the same. The library takes it for
// gone.
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
			t.Error("this thread may still signal process 1: the test shows nothing")
		}
		running <- isRunning(1)
	}()
	if !<-running {
		t.Error("process 1 counts as gone")
	}
}

// Starts and ends keep no handles of processes.
func TestPIDFileKeepsNoHandles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tusd.pid")
	before := openHandles(t, "anon_inode:[pidfd]")
	for range 50 {
		leave(t, path, "1\n")
		if _, err := writePIDFile(path); err == nil {
			t.Fatal("process 1 counts as gone")
		}
		leave(t, path, "")
		if _, err := writePIDFile(path); err != nil {
			t.Fatal(err)
		}
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	if n := openHandles(t, "anon_inode:[pidfd]"); n > before {
		t.Errorf("%d handles of processes are open, before it were %d", n, before)
	}
}

// openHandles counts the descriptors of this process that lead to target.
func openHandles(t *testing.T, target string) (n int) {
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
