package bare_test

import (
	"bufio"
	"context"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/signal"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tus/tusd/cmd/tusd-bench/bare"
	"github.com/tus/tusd/internal/faulttest"
)

// TestMain runs this program as the bare server if it is started as one, so that it can be traced.
func TestMain(m *testing.M) {
	if len(os.Args) < 2 || os.Args[1] != bare.Command {
		os.Exit(m.Run())
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	if err := bare.Serve(ctx, os.Args[2:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// The system calls of each request, as the package's comment lists them. Calls in
// brackets are made only with -sync. Consecutive pwrite calls count as one.
const (
	createEmpty = `openat(info) write(info) [fdatasync(info)] close(info) openat(data) close(data) [fsync(dir)]`
	createFull  = `openat(info) write(info) [fdatasync(info)] close(info)
		openat(data) pwrite64(data) [fdatasync(data)] close(data) [fsync(dir)]`
	patch  = `openat(data) fstat(data) pwrite64(data) [fdatasync(data)] close(data)`
	head   = `openat(info) read(info) close(info) newfstatat(data)`
	remove = `unlinkat(info) unlinkat(data) [fsync(dir)]`
)

// TestSystemCalls compares all calls on the directory with the list in the
// package's comment.
func TestSystemCalls(t *testing.T) {
	faulttest.NeedStrace(t)
	for name, syncs := range map[string]bool{"bare": false, "bare-sync": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(t.TempDir(), "uploads")
			if err := os.Mkdir(dir, 0o777); err != nil {
				t.Fatal(err)
			}
			s := startTraced(t, dir, syncs)
			s.create(t, "")
			s.patch(t)
			s.head(t)
			s.remove(t)
			s.create(t, "content")
			got := s.calls(t, dir)
			want := listed(syncs, createEmpty, patch, head, remove, createFull)
			if !slices.Equal(got, want) {
				t.Errorf("calls:\n%q\nwant\n%q", got, want)
			}
		})
	}
}

// listed splits lists of calls. Without syncs it omits those in brackets.
func listed(syncs bool, lists ...string) (calls []string) {
	for _, call := range strings.Fields(strings.Join(lists, " ")) {
		name, onlySync := strings.CutPrefix(call, "[")
		if onlySync && !syncs {
			continue
		}
		calls = append(calls, strings.TrimSuffix(name, "]"))
	}
	return calls
}

// traced is a bare server whose system calls are traced.
type traced struct {
	cmd    *exec.Cmd
	trace  string
	url    string
	upload string
}

func startTraced(t *testing.T, dir string, syncs bool) *traced {
	t.Helper()
	s := &traced{trace: filepath.Join(t.TempDir(), "trace")}
	line := faulttest.Strace(s.trace, "-e", "trace=%file,%desc")
	line = append(line, os.Args[0], bare.Command, "-upload-dir", dir, fmt.Sprintf("-sync=%v", syncs))
	s.cmd = exec.Command(line[0], line[1:]...)
	s.cmd.Stderr = os.Stderr
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	output, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.cmd.Process.Kill() }) // normally it has ended already
	text, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	_, s.url, _ = strings.Cut(strings.TrimSpace(text), "upload files to: ")
	return s
}

// do sends a request, and fails unless the answer has that status.
func (s *traced) do(t *testing.T, status int, method, url, content string, header ...string) http.Header {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != status {
		t.Fatalf("%s: %s, want %d", method, answer.Status, status)
	}
	return answer.Header
}

func (s *traced) create(t *testing.T, content string) {
	t.Helper()
	s.upload = s.do(t, http.StatusCreated, "POST", s.url, content, "Upload-Length", "20").Get("Location")
	if _, err := url.Parse(s.upload); err != nil || s.upload == "" {
		t.Fatalf("Location %q: %v", s.upload, err)
	}
}

func (s *traced) patch(t *testing.T) {
	t.Helper()
	h := s.do(t, http.StatusNoContent, "PATCH", s.upload, "content", "Upload-Offset", "0")
	if got := h.Get("Upload-Offset"); got != "7" {
		t.Fatalf("offset %q", got)
	}
}

func (s *traced) head(t *testing.T) {
	t.Helper()
	h := s.do(t, http.StatusOK, "HEAD", s.upload, "")
	if h.Get("Upload-Offset") != "7" || h.Get("Upload-Length") != "20" {
		t.Fatalf("%v", h)
	}
}

func (s *traced) remove(t *testing.T) {
	t.Helper()
	s.do(t, http.StatusNoContent, "DELETE", s.upload, "")
}

// calls ends the server and returns its system calls on the directory since it
// started to serve.
func (s *traced) calls(t *testing.T, dir string) (calls []string) {
	t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := s.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	lines, err := faulttest.ReadTrace(s.trace)
	if err != nil {
		t.Fatal(err)
	}
	all := faulttest.ParseTrace(lines)
	serves := slices.IndexFunc(all, func(c *faulttest.Call) bool { return strings.Contains(c.Args, "You can now upload") })
	for _, call := range all[serves+1:] {
		kind := kindOf(call, dir)
		text := call.Name + "(" + kind + ")"
		again := len(calls) > 0 && text == calls[len(calls)-1]
		if kind != "" && !(again && call.Name == "pwrite64") {
			calls = append(calls, text)
		}
	}
	return calls
}

// kindOf returns which file a call concerns: dir, info, data, or "" for none.
func kindOf(call *faulttest.Call, dir string) string {
	_, name, ok := strings.Cut(call.Args, dir)
	if !ok {
		return ""
	}
	name = name[:strings.IndexAny(name+">", `">`)]
	switch {
	case name == "":
		return "dir"
	case path.Ext(name) == ".info":
		return "info"
	}
	return "data"
}
