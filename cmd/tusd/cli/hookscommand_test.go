package cli

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/internal/s3server"
)

// endpoint is a hook that fails with 503 while failing is set.
type endpoint struct {
	*httptest.Server
	failing atomic.Bool
	answer  hooks.HookResponse // to pre-create

	mu       sync.Mutex
	calls    []*http.Request // that succeeded
	contents map[*http.Request][]byte
	got      []hooks.HookRequest
}

func newEndpoint(t *testing.T) *endpoint {
	e := &endpoint{contents: make(map[*http.Request][]byte)}
	e.Server = httptest.NewServer(e)
	t.Cleanup(e.Close)
	return e
}

// ServeHTTP implements http.Handler.
func (e *endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var message hooks.HookRequest
	content, err := io.ReadAll(r.Body)
	if err != nil || json.Unmarshal(content, &message) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	if e.failing.Load() {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls, e.got = append(e.calls, r), append(e.got, message)
	e.contents[r] = content
	if message.Type == tusd.EventPreCreate {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(e.answer)
	}
}

// all returns the types of all events but post-receive, in the order of arrival.
func (e *endpoint) all() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var types []string
	for _, message := range e.got {
		if message.Type != tusd.EventPostReceive {
			types = append(types, string(message.Type))
		}
	}
	return strings.Join(types, " ")
}

// types returns the types of the events about an upload, in the order of arrival.
func (e *endpoint) types(id string) string {
	e.mu.Lock()
	defer e.mu.Unlock()
	var types []string
	for _, message := range e.got {
		if message.Event.Upload.ID == id {
			types = append(types, string(message.Type))
		}
	}
	return strings.Join(types, " ")
}

// listedEvents returns what tusd hooks ls -json prints.
func listedEvents(t *testing.T, args ...string) (lines []eventLine) {
	t.Helper()
	for line := range strings.Lines(wantCommand(t, exitOK, "", append([]string{"hooks", "ls", "-json"}, args...)...)) {
		var event eventLine
		if err := json.Unmarshal([]byte(line), &event); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		lines = append(lines, event)
	}
	return lines
}

// Events that no hook has are listed and shown. Dead ones are delivered again, or dropped.
func TestHooksCommand(t *testing.T) {
	e := newEndpoint(t)
	e.failing.Store(true)
	dir := t.TempDir()
	args := []string{"-upload-dir", dir, "-hooks-http", e.URL, "-hooks-enabled-events", "post-finish", "-hooks-http-retry", "1", "-hooks-give-up-after", "1ms"}
	d := start(t, args...)
	upload := func() (id string) {
		answer := tus(t, http.MethodPost, d.url, "hello", "Upload-Length: 5", "X-Request-ID: req-1", "Authorization: Bearer secret").want(t, http.StatusCreated)
		return strings.TrimPrefix(answer.header.Get("Location"), d.url)
	}
	first, second := upload(), upload()
	await(t, "the events to be dead", func() bool { return len(listedEvents(t, "-dead", "-upload-dir", dir)) == 2 })
	d.end(t)

	keys := make(map[string]string) // by id
	for _, event := range listedEvents(t, "-upload-dir", dir) {
		keys[event.ID] = event.Key
		if event.Event != tusd.EventPostFinish || !event.Dead || event.Attempts == 0 || !strings.Contains(event.Error, "503") || event.Since.IsZero() || event.Tried.IsZero() {
			t.Errorf("listed: %+v", event)
		}
	}
	if len(keys) != 2 || keys[first] == "" || keys[second] == "" {
		t.Fatalf("listed: %q", keys)
	}
	table := wantCommand(t, exitOK, "", "hooks", "ls", "-upload-dir", dir)
	for _, want := range []string{"STATE ", "dead    post-finish ", first + "  " + keys[first], "the endpoint answers with status 503"} {
		if !strings.Contains(table, want) {
			t.Errorf("the table lacks %q: %s", want, table)
		}
	}
	shown := wantCommand(t, exitOK, "", "hooks", "show", keys[first], "-upload-dir", dir)
	for _, want := range []string{"key        " + keys[first], "\nstate      dead\n", "\nattempts   ", `"X-Request-Id"`, "req-1"} {
		if !strings.Contains(shown, want) {
			t.Errorf("shown without %q: %s", want, shown)
		}
	}
	if strings.Contains(shown, "secret") {
		t.Errorf("a credential was kept: %s", shown)
	}
	wantCommand(t, exitOK, `"record":{`, "hooks", "show", "-json", keys[first], "-upload-dir", dir)

	wantCommand(t, exitOK, "dropped "+keys[second]+": post-finish of "+second, "hooks", "drop", keys[second], "-upload-dir", dir)
	for _, command := range []string{"show", "drop", "replay"} {
		wantCommand(t, exitFailed, keys[second]+": there is no such event: it was delivered or dropped", "hooks", command, keys[second], "-upload-dir", dir)
	}
	wantCommand(t, exitOK, "queued "+keys[first]+": post-finish of "+first, "hooks", "replay", "-dead", "-upload-dir", dir)
	if left := listedEvents(t, "-upload-dir", dir); len(left) != 1 || left[0].Dead {
		t.Errorf("after the replay: %+v", left)
	}
	wantCommand(t, exitFailed, "it is not dead: the server delivers it", "hooks", "replay", keys[first], "-upload-dir", dir)

	e.failing.Store(false)
	start(t, args...)
	await(t, "the event", func() bool { return e.types(first) == "post-finish" })
	await(t, "the end of its record", func() bool { return len(listedEvents(t, "-upload-dir", dir)) == 0 })
	if got := e.types(second); got != "" {
		t.Errorf("the event that was dropped arrived: %s", got)
	}
}

// What is wrong with the arguments ends tusd hooks with 2.
func TestHooksCommandUsage(t *testing.T) {
	dir := t.TempDir()
	for args, want := range map[string]string{
		"hooks":                          "hooks needs one of its commands: ls, show, replay or drop",
		"hooks list":                     "hooks needs one of its commands",
		"hooks show":                     "hooks show needs the key of an event",
		"hooks show x":                   `"x" is no key of an event: tusd hooks ls prints them`,
		"hooks drop ../y":                "is no key of an event",
		"hooks drop a/../y":              "is no key of an event",
		"hooks drop":                     "hooks drop needs keys of events, or -dead and no key",
		"hooks replay":                   "hooks replay needs keys of events, or -dead and no key",
		"hooks replay -dead finishing/x": "hooks replay needs keys of events, or -dead and no key",
		"hooks ls x":                     "hooks ls has more arguments than it takes",
	} {
		wantCommand(t, exitUsage, want, append(strings.Fields(args), "-upload-dir", dir)...)
	}
	for _, args := range []string{"help hooks", "hooks -help"} {
		wantCommand(t, exitOK, "tusd hooks replay", strings.Fields(args)...)
	}
	wantCommand(t, exitOK, "Usage: tusd hooks drop [-as user] [flags] KEY...", "hooks", "drop", "-help")
	wantCommand(t, exitOK, "STATE", "hooks", "ls", "-upload-dir", dir)
	wantCommand(t, exitFailed, "finishing/x: there is no such event", "hooks", "show", "finishing/x", "-upload-dir", dir)
	wantCommand(t, exitFailed, "no such file or directory", "hooks", "ls", "-upload-dir", dir+"/missing")
}

// Without a locker that servers share, a server may be running: only dead events are changed,
// which no server touches.
func TestHooksCommandOnABucket(t *testing.T) {
	e := newEndpoint(t)
	e.failing.Store(true)
	service := s3server.Start(t, s3server.Options{})
	args := []string{"-hooks-http", e.URL, "-hooks-enabled-events", "post-create,post-finish", "-hooks-http-retry", "1", "-hooks-give-up-after", "1ms"}
	d := startInBucket(t, service, args...)
	id := strings.TrimPrefix(create(t, http.DefaultClient, d.url, "5"), d.url)
	bucket := []string{"-s3-bucket", service.Bucket(), "-s3-endpoint", service.URL}
	on := func(args ...string) []string { return append(args, bucket...) }
	await(t, "the event to be dead", func() bool { return len(listedEvents(t, on("-dead")...)) == 1 })
	wantCommand(t, exitOK, "queued creating/", on("hooks", "replay", "-dead")...)
	event := listedEvents(t, on()...)[0]
	if event.Dead || event.ID != id {
		t.Errorf("after the replay: %+v", event)
	}
	wantCommand(t, exitFailed, event.Key+": it is not dead, and the locks are in the memory of each process", on("hooks", "drop", event.Key)...)
	d.end(t)
	wantCommand(t, exitOK, "dropped "+event.Key, on("hooks", "drop", "-only-process", event.Key)...)
	if left := listedEvents(t, on()...); len(left) > 0 {
		t.Errorf("left: %+v", left)
	}
}
