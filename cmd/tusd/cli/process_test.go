//go:build unix

package cli

import (
	"context"
	"flag"
	"os"
	"os/exec"
	"testing"

	"github.com/tus/tusd/hooks/pluginhook"
	"github.com/tus/tusd/internal/logtest"
)

// asTusd is the environment variable with which the test binary runs as the daemon.
const asTusd = "TUSD_TEST_AS_TUSD"

func TestMain(m *testing.M) {
	if os.Getenv(pluginhook.Handshake.MagicCookieKey) != "" { // a daemon has started this as its plugin
		pluginhook.Serve(testPlugin{})
		return
	}
	if os.Getenv(asTusd) != "" {
		os.Exit(Run(UntilSignal(context.Background(), os.Exit), os.Args[1:], os.Environ(), os.Stdout, os.Stderr))
	}
	flag.Set("test.parallel", "6") // tests that run in parallel mostly wait
	os.Exit(m.Run())
}

// process is a daemon in its own process, which is killed when the test ends.
type process struct {
	cmd            *exec.Cmd
	stdout, stderr logtest.Buffer
	exited         chan struct{}
}

// launch starts the daemon by a shell that first sets LISTEN_PID to the process id of
// the daemon, like systemd.
func launch(t *testing.T, variables []string, files []*os.File, args ...string) *process {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	p := &process{exited: make(chan struct{})}
	p.cmd = exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$0" "$@"`, self}, args...)...)
	p.cmd.Env = append(append(os.Environ(), asTusd+"=1"), variables...)
	p.cmd.ExtraFiles = files
	p.cmd.Stdout, p.cmd.Stderr = &p.stdout, &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		defer close(p.exited)
		p.cmd.Wait() // its result is in cmd.ProcessState
	}()
	t.Cleanup(func() {
		p.cmd.Process.Kill()
		<-p.exited
	})
	return p
}
