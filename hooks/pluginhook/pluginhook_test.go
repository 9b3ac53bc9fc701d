//go:build linux

package pluginhook_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/pluginhook"
	"github.com/tus/tusd/internal/leaktest"
)

func TestMain(m *testing.M) {
	if path := os.Getenv("TUSD_TEST_PARENT_OF"); path != "" {
		os.Exit(beParent(path))
	}
	code := leaktest.Main(m)
	for _, path := range built {
		os.RemoveAll(filepath.Dir(path))
	}
	os.Exit(code)
}

var built = make(map[string]string) // programs of plugins, by folder

// build returns the program of a folder in testdata.
func build(t *testing.T, folder string) string {
	t.Helper()
	if built[folder] != "" {
		return built[folder]
	}
	dir, err := os.MkdirTemp("", "pluginhook")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, folder+".exe")
	if output, err := exec.Command("go", "build", "-o", path, "./testdata/"+folder).CombinedOutput(); err != nil {
		t.Fatalf("go build: %v\n%s", err, output)
	}
	built[folder] = path
	return path
}

// plugin is a hook of a test.
type plugin struct {
	*testing.T
	*pluginhook.Hook
	log    *safeBuffer
	starts string // the file in which the plugin writes the id of each of its processes
}

// safeBuffer may be read while it is written.
type safeBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *safeBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// newPlugin returns a hook that is not set up.
func newPlugin(t *testing.T, folder string) *plugin {
	t.Helper()
	p := &plugin{T: t, log: &safeBuffer{}, starts: filepath.Join(t.TempDir(), "starts")}
	t.Setenv("TUSD_TEST_STARTS", p.starts)
	p.Hook = &pluginhook.Hook{Path: build(t, folder), Logger: slog.New(slog.NewTextHandler(p.log, &slog.HandlerOptions{Level: slog.LevelDebug}))}
	return p
}

// start returns a plugin that runs.
func start(t *testing.T, folder string) *plugin {
	t.Helper()
	p := newPlugin(t, folder)
	if err := p.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		for _, pid := range p.pids() {
			if runs(pid) {
				t.Errorf("process %d is left", pid)
			}
		}
	})
	return p
}

// pids returns the processes that were started.
func (p *plugin) pids() (pids []int) {
	text, err := os.ReadFile(p.starts)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		p.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		pid, err := strconv.Atoi(strings.TrimSpace(line))
		if err != nil {
			p.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return pids
}

// call asks the plugin to do something, see testdata/ours.
func (p *plugin) call(what string) (hooks.HookResponse, error) {
	return p.InvokeHook(p.Context(), hooks.HookRequest{Type: tusd.EventPostFinish, Event: hooks.Event{Upload: hooks.Upload{ID: what}}})
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			t.Errorf("not within 30 s: %s", what)
			return
		}
	}
}

// answersAgain waits until a plugin that has ended was started again.
func (p *plugin) answersAgain() {
	p.Helper()
	eventually(p.T, "the plugin answers again", func() bool {
		_, err := p.call("anything")
		return err == nil
	})
}

var full = hooks.HookRequest{Type: tusd.EventPostFinish, Event: hooks.Event{
	Upload: hooks.Upload{
		ID: "24e5", Size: 1 << 40, SizeIsDeferred: true, Offset: 1<<40 - 1, MetaData: map[string]string{"filename": "hello\xff.txt"},
		IsPartial: true, IsFinal: true, PartialUploads: []string{"a", "b"}, Storage: map[string]string{"Path": "/d/24e5"}, Owner: "alice",
	},
	HTTPRequest: hooks.HTTPRequest{Method: "PATCH", URI: "/files/24e5", RemoteAddr: "192.0.2.1:1234", Header: map[string][]string{"X-Tenant": {"first", "second"}}},
	ID:          "e1", Sequence: 2, Time: time.Date(2026, 11, 30, 12, 0, 0, 5, time.UTC), Attempt: 3, Reason: tusd.RemovedExpired,
}}

var empty = hooks.HookRequest{Type: tusd.EventPreCreate, Event: hooks.Event{
	Upload: hooks.Upload{MetaData: map[string]string{}, Storage: map[string]string{}}, HTTPRequest: hooks.HTTPRequest{Header: map[string][]string{}},
}}

func TestMessages(t *testing.T) {
	p := start(t, "ours")
	for _, r := range []hooks.HookRequest{full, empty} {
		response, err := p.InvokeHook(t.Context(), r)
		if want, _ := json.Marshal(r); err != nil || response.HTTPResponse.Body != string(want) {
			t.Errorf("%v: the plugin reads\n     %s\nwant %s", err, response.HTTPResponse.Body, want)
		}
	}
	response, err := p.call("all")
	if want := (hooks.HookResponse{
		HTTPResponse: hooks.HTTPResponse{StatusCode: 413, Body: "no", Header: map[string]string{"X-Why": "quota"}},
		RejectUpload: true, RejectTermination: true, RejectAccess: true, AllowSeconds: 60, StopUpload: true,
		ChangeFileInfo: hooks.FileInfoChanges{
			ID: "b", MetaData: map[string]string{}, Storage: map[string]string{"Path": "e"}, Owner: "f", Expires: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC),
		},
	}); err != nil || !reflect.DeepEqual(response, want) {
		t.Errorf("%+v, %v, want %+v", response, err, want)
	}
}

// A plugin that was built for tusd v2 reads the same fields, and its answers are understood.
func TestPluginOfV2(t *testing.T) {
	p := start(t, "v2")
	for _, c := range []struct {
		request hooks.HookRequest
		want    string
	}{
		{full, `{"Type":"post-finish","Event":{"Upload":{"ID":"24e5","Size":1099511627776,"SizeIsDeferred":true,"Offset":1099511627775,"MetaData":{"filename":"hello\ufffd.txt"},` +
			`"IsPartial":true,"IsFinal":true,"PartialUploads":["a","b"],"Storage":{"Path":"/d/24e5"}},` +
			`"HTTPRequest":{"Method":"PATCH","URI":"/files/24e5","RemoteAddr":"192.0.2.1:1234","Header":{"X-Tenant":["first","second"]}}}}`},
		{empty, `{"Type":"pre-create","Event":{"Upload":{"ID":"","Size":0,"SizeIsDeferred":false,"Offset":0,"MetaData":{},"IsPartial":false,"IsFinal":false,"PartialUploads":null,"Storage":{}},` +
			`"HTTPRequest":{"Method":"","URI":"","RemoteAddr":"","Header":{}}}}`},
	} {
		response, err := p.InvokeHook(t.Context(), c.request)
		if want := (hooks.HookResponse{
			HTTPResponse: hooks.HTTPResponse{StatusCode: 413, Body: c.want, Header: map[string]string{"X-Why": "quota"}},
			RejectUpload: true, StopUpload: true, ChangeFileInfo: hooks.FileInfoChanges{ID: "b", MetaData: map[string]string{"c": "d"}},
		}); err != nil || !reflect.DeepEqual(response, want) {
			t.Errorf("%v\n got %+v\nwant %+v", err, response, want)
		}
	}
	// Such a plugin ends with a panic. It is started again.
	if _, err := p.call("panic"); err == nil {
		t.Error("a panic is no failure")
	}
	p.answersAgain()
	eventually(t, "the panic is logged", func() bool { return strings.Contains(p.log.String(), "boom") })
}

func TestFailures(t *testing.T) {
	p := start(t, "ours")
	if response, err := p.call("fail"); err == nil || err.Error() != "not today" || response.RejectUpload {
		t.Errorf("error: %+v, %v", response, err)
	}
	if _, err := p.call("panic"); err == nil || !strings.Contains(err.Error(), "boom") {
		t.Errorf("panic: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.InvokeHook(ctx, full); !errors.Is(err, context.Canceled) {
		t.Errorf("the end of the context: %v", err)
	}
	if _, err := p.call("anything"); err != nil || len(p.pids()) != 1 { // none of that has ended the plugin
		t.Errorf("%v, processes %d", err, p.pids())
	}
}

// A plugin that answers no call is started again.
func TestPluginHangs(t *testing.T) {
	p := start(t, "ours")
	p.Timeout = 50 * time.Millisecond
	if _, err := p.call("hang"); err == nil || !strings.Contains(err.Error(), "within 50ms") {
		t.Errorf("timeout: %v", err)
	}
	p.Timeout = 0
	p.answersAgain()
	if pids := p.pids(); len(pids) != 2 {
		t.Errorf("processes %d, want two", pids)
	}
}

// A plugin that answers other calls goes on.
func TestOneCallHangs(t *testing.T) {
	p := start(t, "ours")
	p.Timeout = 5 * time.Second // longer than an answer can take
	failed := make(chan error, 1)
	go func() {
		_, err := p.call("hang")
		failed <- err
	}()
	eventually(t, "the call is under way", func() bool { return strings.Contains(p.log.String(), "hanging") })
	if _, err := p.call("anything"); err != nil {
		t.Errorf("another call: %v", err)
	}
	if err := <-failed; err == nil || !strings.Contains(err.Error(), "within 5s") {
		t.Errorf("the call: %v", err)
	}
	if _, err := p.call("anything"); err != nil || len(p.pids()) != 1 {
		t.Errorf("a later call: %v, processes %d, want one", err, p.pids())
	}
}

func TestCallsAtTheSameTime(t *testing.T) {
	p := start(t, "ours")
	var calls sync.WaitGroup
	for i := range 50 {
		calls.Go(func() {
			r := full
			r.Event.Upload.ID = fmt.Sprint(i)
			want, _ := json.Marshal(r)
			if response, err := p.InvokeHook(t.Context(), r); err != nil || response.HTTPResponse.Body != string(want) {
				t.Errorf("%v %s", err, response.HTTPResponse.Body)
			}
		})
	}
	calls.Wait()
}

// The calls under way fail when the plugin ends, and the next ones start it again, but not at
// once each time.
func TestPluginEnds(t *testing.T) {
	begun := time.Now()
	p := start(t, "ours")
	failed := make(chan error)
	for range 2 {
		go func() {
			_, err := p.call("hang")
			failed <- err
		}()
	}
	eventually(t, "two calls are under way", func() bool { return strings.Count(p.log.String(), "hanging") == 2 })
	if _, err := p.call("exit"); err == nil || !strings.Contains(err.Error(), "the plugin has ended") {
		t.Errorf("exit: %v", err)
	}
	for range 2 {
		select {
		case err := <-failed:
			if err == nil {
				t.Error("a call of a plugin that has ended succeeds")
			}
		case <-time.After(30 * time.Second):
			t.Fatal("a call does not end with the plugin")
		}
	}
	eventually(t, "four starts", func() bool {
		_, err := p.call("exit")
		return err != nil && len(p.pids()) >= 4
	})
	if took := time.Since(begun); took < 3*time.Second {
		t.Errorf("four starts within %v", took)
	}
	p.answersAgain()
	eventually(t, "the end is logged", func() bool { return strings.Contains(p.log.String(), "plugin process exited") })
}

// A child that goes on keeps neither the next start nor Close waiting.
func TestPluginEndsBeforeItsChild(t *testing.T) {
	p := start(t, "ours")
	if _, err := p.call("child"); err == nil {
		t.Error("no error")
	}
	p.answersAgain()
}

// What a plugin writes is in the log of tusd.
func TestOutput(t *testing.T) {
	p := start(t, "ours")
	if _, err := p.call("write"); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`level=INFO msg="the plugin writes" text="to standard output"`, `level=INFO msg="the plugin writes" text="to standard error"`,
		`level=INFO msg="the plugin writes" text="below standard error"`, `level=DEBUG msg="the plugin writes" text="[DEBUG] a detail"`,
		`level=ERROR msg="the plugin writes" text="[ERROR] a fault"`,
	} {
		eventually(t, line, func() bool { return strings.Contains(p.log.String(), line) })
	}
}

func TestStartsThatFail(t *testing.T) {
	for name, c := range map[string]struct {
		path  string
		setUp string
		error string
	}{
		"Setup fails":     {setUp: "fail", error: "no database"},
		"no program":      {path: filepath.Join(t.TempDir(), "missing"), error: "missing"},
		"Setup hangs":     {setUp: "hang", error: context.Canceled.Error()},
		"not executable":  {path: "testdata/v2/main.go", error: "main.go"},
		"a plain program": {path: "go", error: "Unrecognized remote plugin message"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPlugin(t, "ours")
			t.Setenv("TUSD_TEST_SETUP", c.setUp)
			if c.path != "" {
				p.Path = c.path
			}
			ctx := t.Context()
			if c.setUp == "hang" {
				var cancel context.CancelFunc
				ctx, cancel = context.WithCancel(ctx)
				defer cancel()
				go func() {
					defer cancel()
					eventually(t, "Setup is called", func() bool { return len(p.pids()) == 1 })
				}()
			}
			err := p.Setup(ctx)
			if err == nil || !strings.Contains(err.Error(), c.error) {
				t.Errorf("%v", err)
			}
			if _, err := p.call("anything"); err == nil {
				t.Error("a hook that is not set up can be called")
			}
			for _, pid := range p.pids() {
				if runs(pid) {
					t.Errorf("process %d is left", pid)
				}
			}
		})
	}
}

func TestClose(t *testing.T) {
	p := start(t, "ours")
	pid := p.pids()[0]
	if !runs(pid) {
		t.Fatal("the plugin does not run")
	}
	for range 2 {
		if err := p.Close(); err != nil || runs(pid) {
			t.Errorf("%v, runs %v", err, runs(pid))
		}
	}
	if _, err := p.call("anything"); err == nil {
		t.Error("a call after Close succeeds")
	}
}
