package hooks_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/storetest"
)

// fake is a hook of a test.
type fake struct {
	name   string
	answer func(ctx context.Context, r hooks.HookRequest) (hooks.HookResponse, error) // nil: changes nothing

	mu     sync.Mutex
	calls  []hooks.HookRequest
	setups int
	closed int
}

func (f *fake) Name() string { return f.name }

func (f *fake) Setup(context.Context) error { f.setups++; return nil }

func (f *fake) Close() error { f.closed++; return nil }

func (f *fake) InvokeHook(ctx context.Context, r hooks.HookRequest) (hooks.HookResponse, error) {
	f.mu.Lock()
	f.calls = append(f.calls, r)
	f.mu.Unlock()
	if f.answer == nil {
		return hooks.HookResponse{}, nil
	}
	return f.answer(ctx, r)
}

// of returns the calls about events of a type.
func (f *fake) of(event tusd.EventType) (calls []hooks.HookRequest) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, r := range f.calls {
		if r.Type == event {
			calls = append(calls, r)
		}
	}
	return calls
}

// server is a handler with hooks.
type server struct {
	*testing.T
	*hooks.Handler
	url string
}

// serve starts a handler with hooks on uploads in memory.
func serve(t *testing.T, c hooks.Config) *server {
	t.Helper()
	return serveWith(t, tusd.Config{}, c)
}

func serveWith(t *testing.T, config tusd.Config, c hooks.Config) *server {
	t.Helper()
	config.StoreComposer = tusd.NewStoreComposer()
	storetest.NewMemory().UseIn(config.StoreComposer)
	quiet := slog.New(slog.DiscardHandler)
	c.Logger = cmp.Or(c.Logger, quiet)
	config.BasePath, config.Logger = "/files/", quiet
	h, err := hooks.NewHandler(t.Context(), config, c)
	if err != nil {
		t.Fatal(err)
	}
	web := httptest.NewServer(h)
	s := &server{t, h, web.URL}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		web.Close()
	})
	return s
}

// send makes a tus request. header has fields as "Name: value".
func (s *server) send(method, url, body string, header ...string) (*http.Response, string) {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, url, strings.NewReader(body))
	if err != nil {
		s.Fatal(err)
	}
	r.Header.Set("Tus-Resumable", "1.0.0")
	for _, field := range header {
		name, value, _ := strings.Cut(field, ": ")
		if r.Header.Set(name, value); value == "" {
			r.Header.Del(name)
		}
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	content, err := io.ReadAll(res.Body)
	if err != nil {
		s.Fatal(err)
	}
	return res, string(content)
}

func (s *server) create(header ...string) string {
	s.Helper()
	res, body := s.send("POST", s.url+"/files/", "", header...)
	if res.StatusCode != 201 {
		s.Fatalf("creation: %s %s", res.Status, body)
	}
	return res.Header.Get("Location")
}

func (s *server) patch(url, offset, body string, header ...string) (*http.Response, string) {
	s.Helper()
	return s.send("PATCH", url, body, append(header, "Upload-Offset: "+offset, "Content-Type: application/offset+octet-stream")...)
}

// eventually waits for a condition.
func (s *server) eventually(what string, holds func() bool) {
	s.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			s.Fatalf("not within 15 s: %s", what)
		}
	}
}

func on(event tusd.EventType, answer hooks.HookResponse, err error) func(context.Context, hooks.HookRequest) (hooks.HookResponse, error) {
	return func(_ context.Context, r hooks.HookRequest) (hooks.HookResponse, error) {
		if r.Type == event {
			return answer, err
		}
		return hooks.HookResponse{}, nil
	}
}

func TestAnswersOfPreCreate(t *testing.T) {
	first := &fake{name: "first", answer: on(tusd.EventPreCreate, hooks.HookResponse{
		HTTPResponse:   hooks.HTTPResponse{Header: map[string]string{"X-First": "1", "x-both": "first", "Location": "/other"}},
		ChangeFileInfo: hooks.FileInfoChanges{ID: "chosen/id", MetaData: map[string]string{"a": "b"}, Owner: "alice"},
	}, nil)}
	second := &fake{name: "second", answer: on(tusd.EventPreCreate, hooks.HookResponse{
		HTTPResponse: hooks.HTTPResponse{Body: "hello", Header: map[string]string{"X-Both": "second"}},
	}, nil)}
	s := serve(t, hooks.Config{Hooks: []hooks.Hook{first, second}})
	res, body := s.send("POST", s.url+"/files/", "", "Upload-Length: 5", "Upload-Metadata: c ZA==")
	if res.StatusCode != 201 || body != "hello" || res.Header.Get("X-First") != "1" || res.Header.Get("X-Both") != "second" || !strings.HasSuffix(res.Header.Get("Location"), "/files/chosen/id") {
		t.Errorf("%s %q %q", res.Status, res.Header, body)
	}
	if calls := second.of(tusd.EventPreCreate); len(calls) != 1 || calls[0].Event.Upload.ID != "chosen/id" || calls[0].Event.Upload.MetaData["a"] != "b" || calls[0].Event.Upload.Owner != "alice" {
		t.Errorf("the second hook is asked about %+v", calls)
	}
	if calls := first.of(tusd.EventPreCreate); calls[0].Event.Upload.ID != "" || calls[0].Event.Upload.MetaData["c"] != "d" {
		t.Errorf("the first hook is asked about %+v", calls)
	}
	s.eventually("post-create", func() bool {
		return len(first.of(tusd.EventPostCreate)) == 1 && len(second.of(tusd.EventPostCreate)) == 1
	})
	if u := first.of(tusd.EventPostCreate)[0].Event; u.Upload.ID != "chosen/id" || u.Upload.Owner != "alice" || u.Sequence != 1 {
		t.Errorf("post-create: %+v", u)
	}
}

func TestRefusals(t *testing.T) {
	refusal := hooks.HTTPResponse{StatusCode: 413, Body: "too large for you", Header: map[string]string{"X-Why": "quota"}}
	for name, c := range map[string]struct {
		event  tusd.EventType
		answer hooks.HookResponse
		err    error
		status int // of the request that the hook is asked about
	}{
		"creation":                {tusd.EventPreCreate, hooks.HookResponse{RejectUpload: true, HTTPResponse: refusal}, nil, 413},
		"creation fails":          {tusd.EventPreCreate, hooks.HookResponse{}, errors.New("secret detail"), 500},
		"creation, odd status":    {tusd.EventPreCreate, hooks.HookResponse{HTTPResponse: hooks.HTTPResponse{StatusCode: 1000}}, nil, 500},
		"completion":              {tusd.EventPreFinish, hooks.HookResponse{HTTPResponse: refusal}, nil, 413},
		"completion, status 500":  {tusd.EventPreFinish, hooks.HookResponse{HTTPResponse: hooks.HTTPResponse{StatusCode: 500}}, nil, 503},
		"completion fails":        {tusd.EventPreFinish, hooks.HookResponse{}, errors.New("secret detail"), 503},
		"termination":             {tusd.EventPreTerminate, hooks.HookResponse{RejectTermination: true, HTTPResponse: refusal}, nil, 413},
		"termination fails":       {tusd.EventPreTerminate, hooks.HookResponse{}, errors.New("secret detail"), 500},
		"access":                  {tusd.EventPreAccess, hooks.HookResponse{RejectAccess: true, HTTPResponse: refusal}, nil, 413},
		"access, but status 204":  {tusd.EventPreAccess, hooks.HookResponse{RejectAccess: true, HTTPResponse: hooks.HTTPResponse{StatusCode: 204}}, nil, 403},
		"access by status alone":  {tusd.EventPreAccess, hooks.HookResponse{HTTPResponse: refusal}, nil, 413},
		"access, status 101":      {tusd.EventPreAccess, hooks.HookResponse{HTTPResponse: hooks.HTTPResponse{StatusCode: 101}}, nil, 500},
		"access, status 302":      {tusd.EventPreAccess, hooks.HookResponse{HTTPResponse: hooks.HTTPResponse{StatusCode: 302}}, nil, 500},
		"termination, odd status": {tusd.EventPreTerminate, hooks.HookResponse{HTTPResponse: hooks.HTTPResponse{StatusCode: 100}}, nil, 500},
		"access fails":            {tusd.EventPreAccess, hooks.HookResponse{HTTPResponse: hooks.HTTPResponse{StatusCode: 502}}, nil, 500},
	} {
		t.Run(name, func(t *testing.T) {
			hook := &fake{name: "fake", answer: on(c.event, c.answer, c.err)}
			s := serve(t, hooks.Config{Hooks: []hooks.Hook{hook}, Events: hooks.AllEvents})
			var res *http.Response
			var body string
			switch c.event {
			case tusd.EventPreCreate:
				res, body = s.send("POST", s.url+"/files/", "", "Upload-Length: 5")
			case tusd.EventPreTerminate:
				res, body = s.send("DELETE", s.create("Upload-Length: 5"), "")
			default:
				res, body = s.patch(s.create("Upload-Length: 5"), "0", "hello")
			}
			if res.StatusCode != c.status || strings.Contains(body, "secret") {
				t.Errorf("%s %q", res.Status, body)
			}
			if c.status == 413 && (body != refusal.Body || res.Header.Get("X-Why") != "quota") {
				t.Errorf("%q %q", res.Header, body)
			}
			if c.status >= 500 && res.Header.Get("Retry-After") == "" {
				t.Errorf("a failure has no Retry-After: %q", res.Header)
			}
		})
	}
}

// A hook that has an event is not called again because another one failed.
func TestEachHookGetsAnEventOnce(t *testing.T) {
	var failures int
	good := &fake{name: "good"}
	bad := &fake{name: "bad", answer: func(_ context.Context, r hooks.HookRequest) (hooks.HookResponse, error) {
		if failures++; failures < 2 {
			return hooks.HookResponse{}, errors.New("not yet")
		}
		return hooks.HookResponse{}, nil
	}}
	s := serve(t, hooks.Config{Hooks: []hooks.Hook{bad, good}, Events: []tusd.EventType{tusd.EventPostCreate}})
	s.create("Upload-Length: 5")
	s.eventually("the second attempt", func() bool { return len(bad.of(tusd.EventPostCreate)) == 2 })
	s.eventually("the event is delivered", func() bool {
		n := 0
		err := s.Undelivered(t.Context(), func(tusd.UndeliveredEvent) error { n++; return nil })
		return err == nil && n == 0
	})
	if n := len(good.of(tusd.EventPostCreate)); n != 1 {
		t.Errorf("the other hook has the event %d times", n)
	}
	if stats := s.Hooks.Stats(); stats.Invocations[tusd.EventPostCreate].Load() != 3 || stats.Errors[tusd.EventPostCreate].Load() != 1 {
		t.Errorf("%d calls, %d errors", stats.Invocations[tusd.EventPostCreate].Load(), stats.Errors[tusd.EventPostCreate].Load())
	}
}

// StopUpload ends the request that runs, and removes the upload without asking pre-terminate. With
// a status that no answer can have it does so, too, with the default answer.
func TestStopUpload(t *testing.T) {
	const ignored = "the answer of a hook is ignored, except StopUpload"
	for name, c := range map[string]struct {
		answer hooks.HTTPResponse
		status int
		body   string
		log    string
	}{
		"answer":     {hooks.HTTPResponse{StatusCode: 422, Body: "virus"}, 422, "virus", ""},
		"none":       {hooks.HTTPResponse{}, 400, "ERR_UPLOAD_STOPPED", ""},
		"status 600": {hooks.HTTPResponse{StatusCode: 600, Body: "virus"}, 400, "ERR_UPLOAD_STOPPED", ignored},
		"status 99":  {hooks.HTTPResponse{StatusCode: 99, Body: "virus"}, 400, "ERR_UPLOAD_STOPPED", ignored},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.answer.Header = map[string]string{"X-Why": "scan"}
			testStopUpload(t, c.answer, c.status, c.body, c.log)
		})
	}
}

func testStopUpload(t *testing.T, answer hooks.HTTPResponse, wantStatus int, wantBody, wantLog string) {
	var log safeBuffer
	hook := &fake{name: "fake", answer: on(tusd.EventPostReceive, hooks.HookResponse{StopUpload: true, HTTPResponse: answer}, nil)}
	s := serve(t, hooks.Config{Hooks: []hooks.Hook{hook}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	url := s.create("Upload-Length: 10")
	body, sender := io.Pipe()
	defer sender.Close()
	r, err := http.NewRequestWithContext(t.Context(), "PATCH", url, body)
	if err != nil {
		t.Fatal(err)
	}
	r.Header = http.Header{"Tus-Resumable": {"1.0.0"}, "Upload-Offset": {"0"}, "Content-Type": {"application/offset+octet-stream"}}
	go func() {
		for range 8 { // a progress event needs a second
			if _, err := sender.Write([]byte("x")); err != nil {
				return
			}
			select {
			case <-time.After(300 * time.Millisecond):
			case <-t.Context().Done():
				return
			}
		}
	}()
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if content, _ := io.ReadAll(res.Body); res.StatusCode != wantStatus || !strings.HasPrefix(string(content), wantBody) || (res.Header.Get("X-Why") == "scan") != (wantLog == "") {
		t.Errorf("%s %q %q", res.Status, res.Header, content)
	}
	if text := log.String(); (text != "") != (wantLog != "") || !strings.Contains(text, wantLog) {
		t.Errorf("the log has %q, want %q", text, wantLog)
	}
	s.eventually("post-terminate", func() bool { return len(hook.of(tusd.EventPostTerminate)) == 1 })
	if n := len(hook.of(tusd.EventPreTerminate)); n != 0 {
		t.Errorf("pre-terminate was asked %d times", n)
	}
	if res, _ := s.send("HEAD", url, ""); res.StatusCode != 404 {
		t.Errorf("HEAD: %s", res.Status)
	}
}

// A stop that comes after the end of the request removes the upload, too.
func TestStopUploadAfterTheRequest(t *testing.T) {
	hook := &fake{name: "fake", answer: on(tusd.EventPostReceive, hooks.HookResponse{StopUpload: true}, nil)}
	s := serve(t, hooks.Config{Hooks: []hooks.Hook{hook}})
	url := s.create("Upload-Length: 10")
	s.patch(url, "0", "hello")
	s.eventually("the upload is removed", func() bool {
		res, _ := s.send("HEAD", url, "")
		return res.StatusCode == 404
	})
}

// A stop while pre-finish holds the lock removes the upload when that has ended.
func TestStopUploadDuringPreFinish(t *testing.T) {
	finishing, release := make(chan struct{}), make(chan struct{})
	hook := &fake{name: "fake", answer: func(_ context.Context, r hooks.HookRequest) (hooks.HookResponse, error) {
		switch r.Type {
		case tusd.EventPostReceive:
			<-finishing
			return hooks.HookResponse{StopUpload: r.Event.Upload.Offset == 5}, nil
		case tusd.EventPreFinish:
			close(finishing)
			<-release
		}
		return hooks.HookResponse{}, nil
	}}
	var log safeBuffer
	s := serveWith(t, tusd.Config{AcquireLockTimeout: 50 * time.Millisecond}, hooks.Config{Hooks: []hooks.Hook{hook}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	url := s.create("Upload-Length: 10")
	s.patch(url, "0", "hello")
	s.eventually("post-receive", func() bool { return len(hook.of(tusd.EventPostReceive)) == 1 })
	status := make(chan int)
	go func() {
		res, _ := s.patch(url, "5", "world")
		status <- res.StatusCode
	}()
	s.eventually("the removal fails", func() bool { return strings.Contains(log.String(), "cannot be removed yet") })
	close(release)
	if got := <-status; got != 204 {
		t.Errorf("the PATCH: %d", got)
	}
	s.eventually("post-terminate", func() bool { return len(hook.of(tusd.EventPostTerminate)) == 1 })
	if res, _ := s.send("HEAD", url, ""); res.StatusCode != 404 {
		t.Errorf("HEAD: %s", res.Status)
	}
}

// A stop that comes after the end of the upload does not remove a later one with the same id.
func TestStopUploadIsOfOneLife(t *testing.T) {
	again := make(chan struct{})
	hook := &fake{name: "fake", answer: func(_ context.Context, r hooks.HookRequest) (hooks.HookResponse, error) {
		switch r.Type {
		case tusd.EventPreCreate:
			return hooks.HookResponse{ChangeFileInfo: hooks.FileInfoChanges{ID: "same"}}, nil
		case tusd.EventPostReceive:
			<-again
			return hooks.HookResponse{StopUpload: r.Event.Upload.Offset == 5}, nil
		}
		return hooks.HookResponse{}, nil
	}}
	var log safeBuffer
	s := serve(t, hooks.Config{Hooks: []hooks.Hook{hook}, Logger: slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))})
	url := s.create("Upload-Length: 6")
	s.patch(url, "0", "hello")
	s.eventually("post-receive", func() bool { return len(hook.of(tusd.EventPostReceive)) == 1 })
	s.send("DELETE", url, "")
	s.create("Upload-Length: 6")
	s.patch(url, "0", "hello!")
	close(again)
	s.eventually("the stop has come too late", func() bool { return strings.Contains(log.String(), "does not exist any more") })
	if res, _ := s.send("HEAD", url, ""); res.StatusCode != 200 || res.Header.Get("Upload-Offset") != "6" {
		t.Errorf("HEAD: %s %q", res.Status, res.Header)
	}
}

// Close ends calls that run, and waits for them: nothing of a hook goes on after the server.
func TestCloseEndsCalls(t *testing.T) {
	running, ended := make(chan struct{}), false
	hook := &closedHook{fake: &fake{name: "fake"}}
	hook.answer = func(ctx context.Context, _ hooks.HookRequest) (hooks.HookResponse, error) {
		close(running)
		<-ctx.Done()
		ended = true
		return hooks.HookResponse{}, context.Cause(ctx)
	}
	hook.onClose = func() {
		if !ended {
			t.Error("the hook is closed while a call runs")
		}
	}
	s := serve(t, hooks.Config{Hooks: []hooks.Hook{hook}, Events: []tusd.EventType{tusd.EventPreFinish}})
	url := s.create("Upload-Length: 5")
	status := make(chan int)
	go func() {
		res, _ := s.patch(url, "0", "hello")
		status <- res.StatusCode
	}()
	<-running
	if err := s.Hooks.Close(); err != nil || hook.closed != 1 {
		t.Errorf("%v, closed %d times", err, hook.closed)
	}
	if got := <-status; got != 503 {
		t.Errorf("the PATCH: %d", got)
	}
}

// closedHook is a fake that calls a function when it is closed.
type closedHook struct {
	*fake
	onClose func()
}

func (h *closedHook) Close() error {
	h.onClose()
	return h.fake.Close()
}

// Every kind of request on an upload asks pre-access, in both protocols, and each partial of a final.
func TestPreAccessOfEveryRequest(t *testing.T) {
	hook := &fake{name: "fake"}
	s := serve(t, hooks.Config{Hooks: []hooks.Hook{hook}, Events: []tusd.EventType{tusd.EventPreAccess}})
	asked := 0
	want := func(what string, n int, method string) {
		t.Helper()
		calls := hook.of(tusd.EventPreAccess)
		if len(calls)-asked != n || n > 0 && calls[len(calls)-1].Event.HTTPRequest.Method != method {
			t.Errorf("%s: %d calls, want %d of %s", what, len(calls)-asked, n, method)
		}
		asked = len(calls)
	}
	url := s.create("Upload-Length: 5")
	want("creation", 0, "")
	s.send("HEAD", url, "")
	want("HEAD", 1, "HEAD")
	s.patch(url, "0", "hello")
	want("PATCH", 1, "PATCH")
	s.send("GET", url, "")
	want("GET", 1, "GET")
	s.send("POST", url, "", "X-HTTP-Method-Override: DELETE")
	want("DELETE", 1, "DELETE")
	s.send("HEAD", url, "")
	want("HEAD of a missing upload", 1, "HEAD")
	ietf := s.create("Upload-Complete: ?0", "Upload-Draft-Interop-Version: 8", "Tus-Resumable: ")
	want("creation", 0, "")
	s.send("HEAD", ietf, "", "Upload-Draft-Interop-Version: 8", "Tus-Resumable: ")
	want("HEAD of the draft", 1, "HEAD")
	first, second := s.create("Upload-Length: 0", "Upload-Concat: partial"), s.create("Upload-Length: 0", "Upload-Concat: partial")
	s.create("Upload-Concat: final;" + first + " " + second)
	want("a final of two partials", 2, "POST")
}

func TestPreAccessIsRemembered(t *testing.T) {
	hook := &fake{name: "fake", answer: on(tusd.EventPreAccess, hooks.HookResponse{AllowSeconds: 3600}, nil)}
	s := serve(t, hooks.Config{Hooks: []hooks.Hook{hook}, Events: []tusd.EventType{tusd.EventPreAccess}})
	url, other := s.create("Upload-Length: 50"), s.create("Upload-Length: 50")
	for _, c := range []struct {
		what string
		asks bool
		send func()
	}{
		{what: "first HEAD", asks: true, send: func() { s.send("HEAD", url, "", "Authorization: a") }},
		{what: "second HEAD", send: func() { s.send("HEAD", url, "", "Authorization: a") }},
		{what: "GET", send: func() { s.send("GET", url, "", "Authorization: a") }},
		{what: "other credentials", asks: true, send: func() { s.send("HEAD", url, "", "Authorization: b") }},
		{what: "none", asks: true, send: func() { s.send("HEAD", url, "") }},
		{what: "a cookie", asks: true, send: func() { s.send("HEAD", url, "", "Cookie: a") }},
		{what: "a field that looks like one of the protocol", asks: true, send: func() { s.send("HEAD", url, "", "Authorization: a", "Upload-Token: a") }},
		{what: "the same", send: func() { s.send("HEAD", url, "", "Authorization: a", "Upload-Token: a") }},
		{what: "another value of it", asks: true, send: func() { s.send("HEAD", url, "", "Authorization: a", "Upload-Token: b") }},
		{what: "another such field", asks: true, send: func() { s.send("HEAD", url, "", "Authorization: a", "Tus-Token: a") }},
		{what: "metadata", asks: true, send: func() { s.send("HEAD", url, "", "Authorization: a", "Upload-Metadata: token YQ==") }},
		{what: "other metadata", asks: true, send: func() { s.send("HEAD", url, "", "Authorization: a", "Upload-Metadata: token YWE=") }},
		{what: "a token in the query", asks: true, send: func() { s.send("HEAD", url+"?token=1", "", "Authorization: a") }},
		{what: "another upload", asks: true, send: func() { s.send("HEAD", other, "", "Authorization: a") }},
		{what: "first PATCH", asks: true, send: func() { s.patch(url, "0", "hello", "Authorization: a") }},
		{what: "second PATCH", send: func() { s.patch(url, "5", "hello", "Authorization: a") }},
		{what: "DELETE", asks: true, send: func() { s.send("DELETE", other, "", "Authorization: a") }},
	} {
		before := len(hook.of(tusd.EventPreAccess))
		c.send()
		if asked := len(hook.of(tusd.EventPreAccess)) > before; asked != c.asks {
			t.Errorf("%s: asked %v, want %v", c.what, asked, c.asks)
		}
	}
}

// The shortest time of the hooks that say something counts: one that has nothing to call for
// pre-access allows nothing, and forbids nothing.
func TestPreAccessWithNothingToCall(t *testing.T) {
	nothing := func() *fake {
		return &fake{name: "nothing", answer: on(tusd.EventPreAccess, hooks.HookResponse{}, hooks.ErrNothingToCall)}
	}
	hour := func() *fake {
		return &fake{name: "hour", answer: on(tusd.EventPreAccess, hooks.HookResponse{AllowSeconds: 3600}, nil)}
	}
	for name, c := range map[string]struct {
		hooks []*fake
		calls int // of two requests
	}{
		"before an answer": {[]*fake{nothing(), hour()}, 1},
		"behind an answer": {[]*fake{hour(), nothing()}, 1},
		"a hook says 0":    {[]*fake{nothing(), hour(), {name: "zero"}}, 2},
		"none":             {[]*fake{nothing()}, 2},
	} {
		t.Run(name, func(t *testing.T) {
			config := hooks.Config{Events: []tusd.EventType{tusd.EventPreAccess}}
			for _, hook := range c.hooks {
				config.Hooks = append(config.Hooks, hook)
			}
			s := serve(t, config)
			url := s.create("Upload-Length: 5")
			for range 2 {
				if res, _ := s.send("HEAD", url, ""); res.StatusCode != 200 {
					t.Errorf("HEAD: %s", res.Status)
				}
			}
			if calls := len(c.hooks[0].of(tusd.EventPreAccess)); calls != c.calls {
				t.Errorf("%d requests ask, want %d", calls, c.calls)
			}
			if n := s.Hooks.Stats().Errors[tusd.EventPreAccess].Load(); n != 0 {
				t.Errorf("%d errors are counted", n)
			}
		})
	}
}

// A post- event is delivered to a hook that has nothing to call for it.
func TestDeliveryWithNothingToCall(t *testing.T) {
	var log safeBuffer
	hook := &fake{name: "fake", answer: on(tusd.EventPostCreate, hooks.HookResponse{}, hooks.ErrNothingToCall)}
	s := serve(t, hooks.Config{Hooks: []hooks.Hook{hook}, Events: []tusd.EventType{tusd.EventPostCreate, tusd.EventPostTerminate}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	s.send("DELETE", s.create("Upload-Length: 5"), "")
	s.eventually("the next event", func() bool { return len(hook.of(tusd.EventPostTerminate)) == 1 })
	if n := len(hook.of(tusd.EventPostCreate)); n != 1 || log.String() != "" {
		t.Errorf("post-create came %d times; the log: %s", n, log.String())
	}
}

// A permission does not hold for a later upload that has the same id, nor for one that was
// missing when it was given.
func TestPreAccessIsOfOneLife(t *testing.T) {
	hook := &fake{name: "fake", answer: func(_ context.Context, r hooks.HookRequest) (hooks.HookResponse, error) {
		return hooks.HookResponse{AllowSeconds: 3600, ChangeFileInfo: hooks.FileInfoChanges{ID: "same"}}, nil
	}}
	s := serve(t, hooks.Config{Hooks: []hooks.Hook{hook}, Events: []tusd.EventType{tusd.EventPreAccess, tusd.EventPreCreate}})
	asks := func(what string, want bool) {
		t.Helper()
		before := len(hook.of(tusd.EventPreAccess))
		s.send("HEAD", s.url+"/files/same", "")
		if asked := len(hook.of(tusd.EventPreAccess)) > before; asked != want {
			t.Errorf("%s: asked %v, want %v", what, asked, want)
		}
	}
	asks("a missing upload", true)
	url := s.create("Upload-Length: 5")
	asks("the first upload", true)
	asks("the first upload again", false)
	s.send("DELETE", url, "")
	s.create("Upload-Length: 5")
	asks("the second upload", true)
}

func TestFaultyConfiguration(t *testing.T) {
	hook := &fake{name: "fake"}
	for name, c := range map[string]hooks.Config{
		"no hook":       {},
		"unknown event": {Hooks: []hooks.Hook{hook}, Events: []tusd.EventType{"post-party"}},
	} {
		if _, err := hooks.NewHandler(t.Context(), tusd.Config{}, c); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if _, err := hooks.NewHandler(t.Context(), tusd.Config{}, hooks.Config{Hooks: []hooks.Hook{hook}}); err == nil || hook.setups != 1 || hook.closed != 1 {
		t.Errorf("a faulty tusd.Config: %v, %d times set up, %d times closed", err, hook.setups, hook.closed)
	}
}

// Events of partials have IsPartial, those of finals IsFinal.
func TestEventsOfConcatenation(t *testing.T) {
	hook := &fake{name: "fake"}
	s := serve(t, hooks.Config{Hooks: []hooks.Hook{hook}})
	partial := s.create("Upload-Length: 2", "Upload-Concat: partial")
	s.patch(partial, "0", "ab")
	s.create("Upload-Concat: final;" + partial)
	for _, event := range []tusd.EventType{tusd.EventPreFinish, tusd.EventPostFinish} {
		s.eventually(string(event), func() bool { return len(hook.of(event)) == 2 })
		var got []string
		for _, call := range hook.of(event) {
			u := call.Event.Upload
			got = append(got, fmt.Sprint(u.IsPartial, u.IsFinal, len(u.PartialUploads), u.Offset))
		}
		slices.Sort(got) // events of different uploads have no order
		if want := []string{"false true 1 2", "true false 0 2"}; !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", event, got, want)
		}
	}
}

// Programs that print text worked with tusd v2 if nothing depended on their answer: their events
// do not come again.
func TestUnreadableAnswers(t *testing.T) {
	hook := &fake{name: "fake", answer: func(_ context.Context, r hooks.HookRequest) (hooks.HookResponse, error) {
		_, err := hooks.ParseResponse([]byte("done"))
		return hooks.HookResponse{}, err
	}}
	s := serve(t, hooks.Config{Hooks: []hooks.Hook{hook}, Events: []tusd.EventType{tusd.EventPostCreate, tusd.EventPreTerminate}})
	url := s.create("Upload-Length: 5")
	s.eventually("post-create is delivered", func() bool {
		n := 0
		err := s.Undelivered(t.Context(), func(tusd.UndeliveredEvent) error { n++; return nil })
		return err == nil && n == 0
	})
	if n := len(hook.of(tusd.EventPostCreate)); n != 1 {
		t.Errorf("post-create came %d times", n)
	}
	if res, _ := s.send("DELETE", url, ""); res.StatusCode != 500 {
		t.Errorf("DELETE without a decision: %s", res.Status)
	}
}

// However many events fail, the log has a line a minute for each hook and type of event.
func TestFailuresAreLogged(t *testing.T) {
	var log safeBuffer
	bad := &fake{name: "bad", answer: func(_ context.Context, r hooks.HookRequest) (hooks.HookResponse, error) {
		if r.Event.Attempt > 1 {
			return hooks.HookResponse{}, nil
		}
		return hooks.HookResponse{}, errors.New("down")
	}}
	s := serve(t, hooks.Config{Hooks: []hooks.Hook{bad}, Events: []tusd.EventType{tusd.EventPostCreate}, Logger: slog.New(slog.NewTextHandler(&log, nil))})
	for range 5 {
		s.create("Upload-Length: 5")
	}
	s.eventually("second attempts", func() bool { return len(bad.of(tusd.EventPostCreate)) == 10 })
	if text := log.String(); strings.Count(text, "\n") != 1 || !strings.Contains(text, `comes again" event=post-create id=`) || !strings.Contains(text, "bad hook post-create: down") {
		t.Errorf("the log has\n%s\nwant one line about post-create", text)
	}
}

// safeBuffer is a bytes.Buffer for concurrent use.
type safeBuffer struct {
	mu sync.Mutex
	b  strings.Builder
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
