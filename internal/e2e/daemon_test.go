//go:build linux

package e2e

import (
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/tus/tusd/internal/faulttest"
)

// builder builds the daemon when the first test needs it.
var builder faulttest.Builder

// parallelTests is the number of tests that run at the same time, unless the command
// line sets it. The tests spend most of their time waiting for timeouts of clients or of
// the server.
const parallelTests = "10"

func TestMain(m *testing.M) {
	flag.Set("test.parallel", parallelTests)
	code := m.Run()
	builder.Remove()
	os.Exit(code)
}

// service is a daemon with a relay in front of it. Clients use the relay's address,
// which stays the same when the daemon restarts.
type service struct {
	*relay
	daemon *faulttest.Daemon
	launch faulttest.Launch
}

// startService runs the daemon on folder, with further flags, until the test
// ends.
func startService(t *testing.T, folder string, flags ...string) *service {
	t.Helper()
	launch := faulttest.Launch{
		Binary: builder.Binary(t, ""),
		Dir:    folder,
		Flags:  append([]string{"-shutdown-timeout", "5s"}, flags...),
	}
	daemon := faulttest.Start(t, launch)
	return &service{relay: startRelay(t, daemon.Address), daemon: daemon, launch: launch}
}

// restart starts a new daemon on the same folder. It may be called by any goroutine.
func (s *service) restart(t *testing.T) {
	daemon, err := faulttest.TryStart(t, s.launch)
	if err != nil {
		t.Error(err)
		return
	}
	s.daemon = daemon
	s.retarget(daemon.Address)
}

// kill ends the daemon as kill -9 does, and starts a new one.
func (s *service) kill(t *testing.T) {
	s.daemon.Kill()
	s.restart(t)
}

// awaitStored waits until n bytes are in the daemon's folder.
func (s *service) awaitStored(t *testing.T, n int64) {
	for deadline := time.Now().Add(clientLimit); storedBytes(s.launch.Dir) < n; {
		if time.Now().After(deadline) {
			t.Errorf("there are not %d bytes in the daemon's folder", n)
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// storedBytes returns the size of all files below folder.
func storedBytes(folder string) (sum int64) {
	filepath.WalkDir(folder, func(_ string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil // removed meanwhile
		}
		if info, err := entry.Info(); err == nil {
			sum += info.Size()
		}
		return nil
	})
	return sum
}
