//go:build unix

package hooktest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/hooks"
)

// server is a server with a hook that gets all events, and with the application behind it.
type server struct {
	*testing.T
	*hooks.Handler
	application Application
	url         string // of creations
	uploads     string // the folder of the store
}

// each runs a test with the hooks of every transport.
func each(t *testing.T, test func(s *server)) {
	for _, transport := range transports {
		t.Run(transport.name, func(t *testing.T) { test(serve(t, transport.connect)) })
	}
}

func serve(t *testing.T, connect func(*testing.T, Application) hooks.Hook) *server {
	t.Helper()
	s := &server{T: t, application: Application{t.TempDir()}, uploads: t.TempDir()}
	if err := os.Mkdir(filepath.Join(s.application.Dir, "answers"), 0o700); err != nil {
		t.Fatal(err)
	}
	composer := tusd.NewStoreComposer()
	store := &filestore.FileStore{Path: s.uploads, Durability: filestore.None}
	store.UseIn(composer)
	quiet := slog.New(slog.DiscardHandler)
	h, err := hooks.NewHandler(t.Context(), tusd.Config{StoreComposer: composer, BasePath: "/files/", Logger: quiet, ProgressInterval: 5 * time.Millisecond},
		hooks.Config{Hooks: []hooks.Hook{connect(t, s.application)}, Events: hooks.AllEvents, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	s.Handler = h
	web := httptest.NewServer(h)
	s.url = web.URL + "/files/"
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := h.Shutdown(ctx); err != nil {
			t.Error(err)
		}
		web.Close()
		store.Close()
	})
	return s
}

// answer lets the application answer with a text from now on.
func (s *server) answer(event tusd.EventType, text string) {
	s.Helper()
	name := s.application.AnswerFile(string(event))
	if err := os.WriteFile(name+".new", []byte(text), 0o600); err != nil {
		s.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		s.Fatal(err)
	}
}

// message is one that the application has got.
type message struct {
	hooks.HookRequest
	raw string
}

// messages returns all messages so far.
func (s *server) messages() (all []message) {
	s.Helper()
	log, err := os.ReadFile(s.application.Log())
	if err != nil && !os.IsNotExist(err) {
		s.Fatal(err)
	}
	for line := range strings.Lines(string(log)) {
		raw, ended := strings.CutSuffix(line, "\n")
		if !ended {
			break
		}
		m := message{raw: raw}
		if err := json.Unmarshal([]byte(raw), &m.HookRequest); err != nil {
			s.Fatalf("%v: %s", err, raw)
		}
		all = append(all, m)
	}
	return all
}

// of returns the messages about events of a type.
func (s *server) of(event tusd.EventType) (some []message) {
	s.Helper()
	for _, m := range s.messages() {
		if m.Type == event {
			some = append(some, m)
		}
	}
	return some
}

// wantNone checks that there were no events of these types.
func (s *server) wantNone(events ...tusd.EventType) {
	s.Helper()
	for _, event := range events {
		if got := s.of(event); len(got) != 0 {
			s.Errorf("%s: %d messages", event, len(got))
		}
	}
}

// reply is an answer of the server.
type reply struct {
	*server
	*http.Response
	body string
}

// send makes a tus request. header has fields as "Name: value".
func (s *server) send(method, url string, body io.Reader, header ...string) *reply {
	s.Helper()
	r, err := http.NewRequestWithContext(s.Context(), method, url, body)
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
	return &reply{s, res, string(content)}
}

func (s *server) create(header ...string) string {
	s.Helper()
	return s.send("POST", s.url, nil, header...).want(201).Header.Get("Location")
}

func (s *server) patch(url, offset string, body io.Reader, header ...string) *reply {
	s.Helper()
	return s.send("PATCH", url, body, append(header, "Upload-Offset: "+offset, "Content-Type: application/offset+octet-stream")...)
}

// want checks the status.
func (r *reply) want(status int) *reply {
	r.Helper()
	if r.StatusCode != status {
		r.Fatalf("%s %q, want %d", r.Status, r.body, status)
	}
	return r
}

// says checks the body, and the field X-Why.
func (r *reply) says(body, why string) *reply {
	r.Helper()
	if r.body != body || r.Header.Get("X-Why") != why {
		r.Errorf("%q, X-Why %q, want %q, %q", r.body, r.Header.Get("X-Why"), body, why)
	}
	return r
}

// has checks that the body names an error code.
func (r *reply) has(code string) *reply {
	r.Helper()
	if !strings.Contains(r.body, code) {
		r.Errorf("%q, want %s", r.body, code)
	}
	return r
}

// eventually waits for a condition.
func (s *server) eventually(what string, holds func() bool) {
	s.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			s.Fatalf("not within 30 s: %s", what)
		}
	}
}

// terminated waits for the last event of an upload.
func (s *server) terminated(id string) {
	s.Helper()
	s.eventually("post-terminate of "+id, func() bool {
		for _, m := range s.of(tusd.EventPostTerminate) {
			if m.Event.Upload.ID == id {
				return true
			}
		}
		return false
	})
}

// idOf returns the id in the URL of an upload.
func (s *server) idOf(url string) string { return strings.TrimPrefix(url, s.url) }
