//go:build linux

package e2e

import (
	"os"
	"testing"

	"github.com/tus/tusd/internal/faulttest"
)

// builder builds the daemon when the first test needs it.
var builder faulttest.Builder

func TestMain(m *testing.M) {
	code := m.Run()
	builder.Remove()
	os.Exit(code)
}

// service is a daemon with a relay in front of it. Clients know the relay's
// address, which outlives the daemon.
type service struct {
	*relay
	daemon *faulttest.Daemon
	launch faulttest.Launch
}

// startService runs the daemon on folder, until the test ends.
func startService(t *testing.T, folder string) *service {
	t.Helper()
	launch := faulttest.Launch{
		Binary: builder.Binary(t, ""),
		Dir:    folder,
		Flags:  []string{"-shutdown-timeout", "5s"},
	}
	daemon := faulttest.Start(t, launch)
	return &service{relay: startRelay(t, daemon.Address), daemon: daemon, launch: launch}
}

// restart gives the daemon's folder to a new one. It may be called by any
// goroutine.
func (s *service) restart(t *testing.T) {
	daemon, err := faulttest.TryStart(t, s.launch)
	if err != nil {
		t.Error(err)
		return
	}
	s.daemon = daemon
	s.retarget(daemon.Address)
}
