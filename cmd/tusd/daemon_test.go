package main

import (
	"bufio"
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// startupLine is the line that scripts of operators search for.
var startupLine = regexp.MustCompile(`You can now upload files to: (https?://([^/]+)/\S*)`)

// cmdStart is "start NAME [VARIABLE=value...] [flag...]": runs tusd on a free
// port of 127.0.0.1, waits until it serves, and sets $NAME to the URL of uploads
// and $NAME_root to the URL without its path. Its output goes to NAME.log.
func cmdStart(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: start NAME [VARIABLE=value...] [flag...]")
	}
	name, args := args[0], args[1:]
	variables := os.Environ()
	for len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		variables, args = append(variables, args[0]), args[1:]
	}
	cmd := exec.Command("tusd", append([]string{"-host", "127.0.0.1", "-port", "0"}, args...)...)
	cmd.Env = variables
	cmd.Dir = ts.MkAbs(".")
	cmd.Stderr = ts.Stderr()
	stdout, err := cmd.StdoutPipe()
	ts.Check(err)
	log, err := os.Create(ts.MkAbs(name + ".log"))
	ts.Check(err)
	ts.Check(cmd.Start())
	d := &daemon{cmd: cmd, exited: make(chan struct{})}
	stateOf(ts).daemons[name] = d
	ts.Defer(func() {
		cmd.Process.Kill()
		<-d.exited
	})
	url := make(chan string, 1)
	go func() {
		defer close(d.exited)
		follow(stdout, log, url)
		cmd.Wait() // its result is in cmd.ProcessState
	}()
	uploads := awaitURL(ts, name, url)
	ts.Setenv(name, uploads)
	ts.Setenv(name+"_root", rootOf(uploads))
}

func awaitURL(ts *testscript.TestScript, name string, url <-chan string) string {
	select {
	case u, ok := <-url:
		if !ok {
			ts.Fatalf("%s ended while starting, see %s.log", name, name)
		}
		return u
	case <-time.After(testTimeout):
		ts.Fatalf("%s did not start", name)
	}
	panic("not reached")
}

// rootOf returns a URL without its path.
func rootOf(url string) string {
	scheme, rest, _ := strings.Cut(url, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

// follow copies the output of a daemon to log until it ends, and sends its URL to url.
func follow(output io.Reader, log io.WriteCloser, url chan<- string) {
	defer log.Close()
	defer close(url)
	lines := bufio.NewScanner(output)
	for lines.Scan() {
		fmt.Fprintln(log, lines.Text())
		if m := startupLine.FindStringSubmatch(lines.Text()); m != nil {
			url <- m[1]
		}
	}
}

// cmdSignal is "signal NAME HUP|TERM|INT|KILL".
func cmdSignal(ts *testscript.TestScript, _ bool, args []string) {
	signals := map[string]syscall.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM, "INT": syscall.SIGINT, "KILL": syscall.SIGKILL}
	if len(args) != 2 || signals[args[1]] == 0 {
		ts.Fatalf("usage: signal NAME HUP|TERM|INT|KILL")
	}
	ts.Check(startedDaemon(ts, args[0]).cmd.Process.Signal(signals[args[1]]))
}

// cmdExits is "exits NAME CODE": waits for the daemon's end and compares its
// exit code.
func cmdExits(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: exits NAME CODE")
	}
	d := startedDaemon(ts, args[0])
	select {
	case <-d.exited:
		if strconv.Itoa(d.cmd.ProcessState.ExitCode()) != args[1] {
			ts.Fatalf("%s ended with %v, want exit code %s", args[0], d.cmd.ProcessState, args[1])
		}
	case <-time.After(testTimeout):
		ts.Fatalf("%s did not end", args[0])
	}
}

func startedDaemon(ts *testscript.TestScript, name string) *daemon {
	d := stateOf(ts).daemons[name]
	if d == nil {
		ts.Fatalf("no daemon %q was started", name)
	}
	return d
}

// cmdLogged is "logged NAME TEXT": waits until the daemon has printed TEXT.
func cmdLogged(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: logged NAME TEXT")
	}
	for deadline := time.Now().Add(testTimeout); !strings.Contains(ts.ReadFile(args[0]+".log"), args[1]); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not print %q", args[0], args[1])
		}
	}
}
