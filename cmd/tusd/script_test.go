package main

import (
	"net/http"
	"os/exec"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// testTimeout limits every wait of a script. It is far longer than any wait needs.
const testTimeout = 30 * time.Second

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"tusd": main})
}

// TestScripts runs the scripts in testdata. They have the commands of testscript, commands
// for a running daemon (daemon_test.go) and for uploads over HTTP (http_test.go).
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			env.Values[stateKey{}] = &state{daemons: make(map[string]*daemon)}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"start":         cmdStart,
			"signal":        cmdSignal,
			"exits":         cmdExits,
			"fill":          cmdFill,
			"http":          cmdHTTP,
			"resume":        cmdResume,
			"download":      cmdDownload,
			"stall":         cmdStall,
			"answered":      cmdAnswered,
			"stored":        cmdStored,
			"stalldownload": cmdStallDownload,
			"logged":        cmdLogged,
		},
	})
}

// state is shared by the commands of one script.
type state struct {
	daemons map[string]*daemon
	stalled *stalledPatch // nil: none was begun
}

type stateKey struct{}

func stateOf(ts *testscript.TestScript) *state {
	return ts.Value(stateKey{}).(*state)
}

// daemon is a tusd that a script has started.
type daemon struct {
	cmd    *exec.Cmd
	exited chan struct{} // closed when cmd has been waited for
}

// stalledPatch is a PATCH whose body does not end by itself.
type stalledPatch struct {
	done   chan struct{} // closed after the answer or an error
	answer *http.Response
	err    error
}
