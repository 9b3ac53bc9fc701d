package httphook_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/httphook"
)

var request = hooks.HookRequest{Type: tusd.EventPreCreate, Event: hooks.Event{
	Upload:      hooks.Upload{Size: 11, MetaData: map[string]string{}},
	HTTPRequest: hooks.HTTPRequest{Method: "POST", Header: map[string][]string{"Authorization": {"Bearer a"}, "X-Tenant": {"b", "c"}}},
}}

// start sets up a hook whose endpoint is a function.
func start(t *testing.T, h *httphook.Hook, endpoint http.HandlerFunc) {
	t.Helper()
	server := httptest.NewServer(endpoint)
	t.Cleanup(server.Close)
	h.URL = server.URL + "/hooks"
	setUp(t, h)
}

func setUp(t *testing.T, h *httphook.Hook) {
	t.Helper()
	if err := h.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
}

// answer writes an answer in JSON.
func answer(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, text)
}

func TestCall(t *testing.T) {
	h := &httphook.Hook{ForwardHeaders: []string{"Authorization", "X-Tenant", "X-Missing"}, Secret: []byte("key")}
	var got hooks.HookRequest
	start(t, h, func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil || json.Unmarshal(body, &got) != nil {
			t.Errorf("body %q, %v", body, err)
		}
		if r.Method != "POST" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("Authorization") != "Bearer a" || len(r.Header["X-Tenant"]) != 2 {
			t.Errorf("%s %q", r.Method, r.Header)
		}
		timestamp := r.Header.Get(httphook.TimestampField)
		if r.Header.Get(httphook.SignatureField) != "sha256="+httphook.Sign([]byte("key"), timestamp, body) || timestamp == "" {
			t.Errorf("signature %q of %q", r.Header.Get(httphook.SignatureField), timestamp)
		}
		answer(w, 200, `{"RejectUpload":true}`)
	})
	response, err := h.InvokeHook(t.Context(), request)
	if err != nil || !response.RejectUpload || got.Type != tusd.EventPreCreate || got.Event.Upload.Size != 11 {
		t.Errorf("%+v, %v, %+v", response, err, got)
	}
}

// The signature is one that receivers compute with other tools:
//
//	printf '1700000000.{}' | openssl dgst -sha256 -hmac key
func TestSign(t *testing.T) {
	const want = "9d713ed406bb7076d4123f0dc2c39d2df5c654ed4b0cd56b52c8b4c940bd63ae"
	if got := httphook.Sign([]byte("key"), "1700000000", []byte("{}")); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		endpoint func(w http.ResponseWriter, call int)
		calls    int
		fails    bool
	}{
		"empty":              {func(w http.ResponseWriter, _ int) { w.WriteHeader(204) }, 1, false},
		"created":            {func(w http.ResponseWriter, _ int) { answer(w, 201, "{}") }, 1, false},
		"no JSON type":       {func(w http.ResponseWriter, _ int) { io.WriteString(w, "{}") }, 1, true},
		"no JSON":            {func(w http.ResponseWriter, _ int) { answer(w, 200, "hello") }, 1, true},
		"too long":           {func(w http.ResponseWriter, _ int) { answer(w, 200, strings.Repeat(" ", 6000)+"{}") }, 1, true},
		"client error":       {func(w http.ResponseWriter, _ int) { answer(w, 403, "{}") }, 1, true},
		"too many requests":  {func(w http.ResponseWriter, _ int) { answer(w, 429, "{}") }, 1, true},
		"server error":       {func(w http.ResponseWriter, _ int) { answer(w, 500, "{}") }, 3, true},
		"server error twice": {func(w http.ResponseWriter, call int) { answer(w, map[bool]int{true: 503, false: 200}[call < 3], "{}") }, 3, false},
		"cut connection": {func(w http.ResponseWriter, call int) {
			if call == 1 {
				panic(http.ErrAbortHandler)
			}
			answer(w, 200, "{}")
		}, 2, false},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			h := &httphook.Hook{Backoff: time.Millisecond}
			start(t, h, func(w http.ResponseWriter, _ *http.Request) { c.endpoint(w, int(calls.Add(1))) })
			_, err := h.InvokeHook(t.Context(), request)
			unreadable := name == "no JSON type" || name == "no JSON" || name == "too long"
			if (err != nil) != c.fails || errors.Is(err, hooks.ErrUnreadable) != unreadable || int(calls.Load()) != c.calls {
				t.Errorf("%v after %d calls, want %d", err, calls.Load(), c.calls)
			}
		})
	}
}

func TestLimits(t *testing.T) {
	for name, h := range map[string]*httphook.Hook{
		"all attempts": {Timeout: 50 * time.Millisecond},
		"each attempt": {AttemptTimeout: 50 * time.Millisecond, Attempts: 2, Backoff: time.Millisecond, Timeout: time.Hour},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			start(t, h, func(_ http.ResponseWriter, r *http.Request) {
				calls.Add(1)
				io.Copy(io.Discard, r.Body)
				<-r.Context().Done()
			})
			if _, err := h.InvokeHook(t.Context(), request); err == nil {
				t.Error("no error")
			}
			if want := max(h.Attempts, 1); int(calls.Load()) != want {
				t.Errorf("%d calls, want %d", calls.Load(), want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	h := &httphook.Hook{}
	start(t, h, func(_ http.ResponseWriter, r *http.Request) {
		cancel()
		io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	if _, err := h.InvokeHook(ctx, request); err == nil {
		t.Error("no error at the end of the context")
	}
}

func TestTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, 200, "{}") }))
	t.Cleanup(server.Close)
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	for name, c := range map[string]struct {
		config *tls.Config
		fails  bool
	}{
		"known":       {&tls.Config{RootCAs: roots}, false},
		"not checked": {&tls.Config{InsecureSkipVerify: true}, false},
		"unknown":     {nil, true},
	} {
		h := &httphook.Hook{URL: server.URL, TLS: c.config, Attempts: 1}
		setUp(t, h)
		if _, err := h.InvokeHook(t.Context(), request); (err != nil) != c.fails {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// No error shows the URL, which may have a password.
func TestErrorsHaveNoURL(t *testing.T) {
	for _, url := range []string{"http://user:S3cr3t@127.0.0.1:1/", "ftp://user:S3cr3t@a.example/", "http://user:S3cr3t@%zz/", "user:S3cr3t"} {
		h := &httphook.Hook{URL: url, Attempts: 1}
		err := h.Setup(t.Context())
		if err == nil {
			_, err = h.InvokeHook(t.Context(), request)
			h.Close()
		}
		if err == nil || strings.Contains(err.Error(), "S3cr3t") {
			t.Errorf("%s: %v", url, err)
		}
	}
}

// Calls one after another use one connection.
func TestConnectionIsKept(t *testing.T) {
	remote := make(map[string]bool)
	h := &httphook.Hook{}
	start(t, h, func(w http.ResponseWriter, r *http.Request) {
		remote[r.RemoteAddr] = true
		answer(w, 200, `{}`)
	})
	for range 5 {
		if _, err := h.InvokeHook(t.Context(), request); err != nil {
			t.Fatal(err)
		}
	}
	if len(remote) != 1 {
		t.Errorf("%d connections", len(remote))
	}
}

// Only a redirection that repeats the POST is followed.
func TestRedirections(t *testing.T) {
	for status, want := range map[int]bool{301: false, 302: false, 303: false, 307: true, 308: true} {
		h := new(httphook.Hook)
		start(t, h, func(w http.ResponseWriter, r *http.Request) {
			if body, _ := io.ReadAll(r.Body); r.URL.Path != "/moved" {
				http.Redirect(w, r, "/moved", status)
			} else if r.Method != http.MethodPost || len(body) == 0 {
				t.Errorf("status %d: %s with %d bytes arrives", status, r.Method, len(body))
			}
		})
		if _, err := h.InvokeHook(t.Context(), request); (err == nil) != want {
			t.Errorf("status %d: %v", status, err)
		}
	}
}

// The wait doubles: the second one is longer than the first one could be.
func TestBackoffDoubles(t *testing.T) {
	const backoff = 40 * time.Millisecond
	var at []time.Time
	h := &httphook.Hook{Backoff: backoff, Timeout: time.Hour}
	start(t, h, func(w http.ResponseWriter, _ *http.Request) {
		at = append(at, time.Now())
		answer(w, 500, "{}")
	})
	if _, err := h.InvokeHook(t.Context(), request); err == nil || len(at) != 3 {
		t.Fatalf("%v after %d calls", err, len(at))
	}
	for i, least := range []time.Duration{backoff * 3 / 4, 2 * backoff * 3 / 4} {
		if wait := at[i+1].Sub(at[i]); wait < least {
			t.Errorf("wait %d took %v, want at least %v", i+1, wait, least)
		}
	}
}

// No redirection takes an event, its signature and the client's credentials to another server.
func TestRedirectionsToOthers(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { t.Errorf("another host gets %q", r.Header) }))
	t.Cleanup(other.Close)
	for _, status := range []int{307, 308} {
		h := &httphook.Hook{ForwardHeaders: []string{"X-Tenant"}, Secret: []byte("key")}
		start(t, h, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other.URL, status) })
		if _, err := h.InvokeHook(t.Context(), request); err == nil {
			t.Errorf("status %d: no error", status)
		}
	}
}

// A redirection from https to http on the same host and port is none to follow either.
func TestRedirectionWithoutTLS(t *testing.T) {
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+r.Host+"/moved", http.StatusTemporaryRedirect)
	}))
	t.Cleanup(server.Close)
	h := &httphook.Hook{URL: server.URL, TLS: &tls.Config{InsecureSkipVerify: true}}
	setUp(t, h)
	if _, err := h.InvokeHook(t.Context(), request); err == nil || !strings.Contains(err.Error(), "status 307") {
		t.Errorf("%v", err)
	}
}

func TestEmptySecret(t *testing.T) {
	if err := (&httphook.Hook{URL: "http://127.0.0.1:1/", Secret: []byte{}}).Setup(t.Context()); err == nil {
		t.Error("an empty secret signs calls")
	}
}
