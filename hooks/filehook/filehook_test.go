//go:build unix

package filehook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/filehook"
)

// script returns a hook whose executable for post-finish is a shell script.
func script(t *testing.T, lines ...string) *filehook.Hook {
	t.Helper()
	h := &filehook.Hook{Dir: t.TempDir(), Stderr: new(bytes.Buffer)}
	text := "#!/bin/sh\n" + strings.Join(lines, "\n") + "\n"
	syscall.ForkLock.RLock() // a process that starts just now would have the file open: "text file busy"
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(filepath.Join(h.Dir, "post-finish"), []byte(text), 0o700); err != nil {
		t.Fatal(err)
	}
	return h
}

var request = hooks.HookRequest{Type: tusd.EventPostFinish, Event: hooks.Event{Upload: hooks.Upload{ID: "a/b", Size: 11, Offset: 7, MetaData: map[string]string{}}}}

func TestProgram(t *testing.T) {
	h := script(t, `cat > message`, `echo "$TUS_ID $TUS_SIZE $TUS_OFFSET" > variables`, `echo to the log >&2`, `echo '{"HTTPResponse":{"Body":"hi"}}'`)
	if err := h.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	response, err := h.InvokeHook(t.Context(), request)
	if err != nil || response.HTTPResponse.Body != "hi" {
		t.Errorf("%+v, %v", response, err)
	}
	want, _ := json.Marshal(request)
	for name, want := range map[string]string{"message": string(want), "variables": "a/b 11 7\n"} {
		if got, err := os.ReadFile(filepath.Join(h.Dir, name)); err != nil || string(got) != want { // the working directory is Dir
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if got := h.Stderr.(*bytes.Buffer).String(); got != "to the log\n" {
		t.Errorf("standard error: %q", got)
	}
}

func TestOutputs(t *testing.T) {
	for name, c := range map[string]struct {
		lines []string
		body  string
		fails bool
	}{
		"none":               {lines: []string{"true"}},
		"does not read":      {lines: []string{"exec true"}},
		"text before JSON":   {lines: []string{"echo checking", `echo '{"HTTPResponse":{"Body":"hi"}}'`}, body: "hi"},
		"two answers":        {lines: []string{`echo '{"RejectUpload":true}'`, `echo '{}'`}, fails: true},
		"text, two answers":  {lines: []string{"echo checking", `echo '{"RejectUpload":true}'`, `echo '{}'`}, fails: true},
		"space, two answers": {lines: []string{"echo", `echo ' {"RejectUpload":true}'`, `echo '{}'`}, fails: true},
		"no JSON, an answer": {lines: []string{"echo '{not json'", `echo '{}'`}, fails: true},
		"JSON over lines":    {lines: []string{"echo checking", `printf '{\n"HTTPResponse":\n{"Body":"hi"}\n}\n'`}, body: "hi"},
		"only text":          {lines: []string{"echo checking"}, fails: true},
		"status 1":           {lines: []string{`echo '{"HTTPResponse":{"Body":"hi"}}'`, "exit 1"}, fails: true},
		"too long":           {lines: []string{"head -c 2000000 /dev/zero"}, fails: true},
		"a child goes on":    {lines: []string{"sleep 300 &", `echo '{"HTTPResponse":{"Body":"hi"}}'`}, body: "hi"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response, err := script(t, c.lines...).InvokeHook(t.Context(), request)
			if (err != nil) != c.fails || errors.Is(err, hooks.ErrUnreadable) != (c.fails && name != "status 1") || response.HTTPResponse.Body != c.body {
				t.Errorf("%+v, %v", response, err)
			}
		})
	}
}

// The error of a program that fails has the beginning of what it has printed.
func TestOutputOfAFailure(t *testing.T) {
	for name, c := range map[string]struct{ line, want string }{
		"text":            {`printf 'no "space"\nleft\n'; exit 3`, `exit status 3, its output: "no \"space\"\nleft"`},
		"none":            {"exit 3", "exit status 3"},
		"long":            {"head -c 501 /dev/zero | tr '\\0' x; exit 3", `exit status 3, its output: "` + strings.Repeat("x", 500) + `"`},
		"too long":        {"head -c 2000000 /dev/zero | tr '\\0' x; exit 3", `exit status 3, its output: "` + strings.Repeat("x", 500) + `"`},
		"a child goes on": {"sleep 300 & echo full; exit 3", `exit status 3, its output: "full"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if _, err := script(t, c.line).InvokeHook(t.Context(), request); err == nil || err.Error() != c.want || errors.Is(err, hooks.ErrUnreadable) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
}

// A process that a program leaves behind may go on writing.
func TestChildGoesOn(t *testing.T) {
	h := script(t, "(while [ ! -e returned ]; do sleep 0.01; done; echo more && echo more && > written) &", `echo '{"HTTPResponse":{"Body":"hi"}}'`)
	response, err := h.InvokeHook(t.Context(), request)
	if err != nil || response.HTTPResponse.Body != "hi" {
		t.Fatalf("%+v, %v", response, err)
	}
	if err := os.WriteFile(filepath.Join(h.Dir, "returned"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the child has written", func() bool {
		_, err := os.Stat(filepath.Join(h.Dir, "written"))
		return err == nil
	})
}

func TestEventWithoutProgram(t *testing.T) {
	h := &filehook.Hook{Dir: t.TempDir()}
	if _, err := h.InvokeHook(t.Context(), request); !errors.Is(err, hooks.ErrNothingToCall) {
		t.Error(err)
	}
	if err := os.WriteFile(filepath.Join(h.Dir, "post-finish"), []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := h.InvokeHook(t.Context(), request); err == nil || errors.Is(err, hooks.ErrNothingToCall) {
		t.Error("a file that is not executable is ignored")
	}
	if err := os.Remove(filepath.Join(h.Dir, "post-finish")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("missing", filepath.Join(h.Dir, "post-finish")); err != nil {
		t.Fatal(err)
	}
	if _, err := h.InvokeHook(t.Context(), request); err == nil || !strings.HasSuffix(err.Error(), "post-finish is a broken symbolic link") {
		t.Errorf("a broken symbolic link: %v", err)
	}
	if err := os.RemoveAll(h.Dir); err != nil {
		t.Fatal(err)
	}
	if _, err := h.InvokeHook(t.Context(), request); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory that is gone: %v", err)
	}
	if err := (&filehook.Hook{Dir: filepath.Join(h.Dir, "missing")}).Setup(t.Context()); err == nil {
		t.Error("a missing directory is ignored")
	}
}

// A program that takes too long is killed, with the processes that it has started.
func TestTimeoutKillsChildren(t *testing.T) {
	for name, timeout := range map[string]time.Duration{"timeout": 3 * time.Second, "end of the context": time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			h := script(t, "sleep 300 &", "echo $! > number", "mv number child", "wait")
			h.Timeout = timeout
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			ended := make(chan error, 1)
			go func() {
				_, err := h.InvokeHook(ctx, request)
				ended <- err
			}()
			var child int
			eventually(t, "the program runs", func() bool {
				text, _ := os.ReadFile(filepath.Join(h.Dir, "child"))
				child, _ = strconv.Atoi(strings.TrimSpace(string(text)))
				return child > 0
			})
			if timeout == time.Hour {
				cancel()
			}
			if err := <-ended; err == nil {
				t.Error("no error")
			}
			eventually(t, "the child is killed", func() bool { return syscall.Kill(child, 0) != nil || isZombie(child) })
		})
	}
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("not within 15 s: %s", what)
		}
	}
}

// isZombie reports whether a process has ended and nothing has waited for it.
func isZombie(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err == nil && strings.Contains(string(stat), ") Z ")
}
