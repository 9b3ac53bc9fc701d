//go:build linux

package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
)

// hookEndpoint is an HTTP endpoint for hooks. It answers post-* events at once.
type hookEndpoint struct {
	url string

	mu     sync.Mutex
	events []string // the types of all events, in order
}

// startHookEndpoint serves until the test ends. preFinish answers the n-th pre-finish, from 1, with
// a status.
func startHookEndpoint(t *testing.T, preFinish func(r *http.Request, n int) int) *hookEndpoint {
	t.Helper()
	h := new(hookEndpoint)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var message struct{ Type string }
		if err := json.NewDecoder(r.Body).Decode(&message); err != nil {
			t.Error(err)
		}
		io.Copy(io.Discard, r.Body) // the end of the call is noticed then
		status := http.StatusOK
		if n := h.note(message.Type); message.Type == "pre-finish" {
			status = preFinish(r, n)
		}
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		io.WriteString(w, "{}")
	}))
	t.Cleanup(server.Close)
	h.url = server.URL
	return h
}

// note notes an event, and returns how many of the type there are.
func (h *hookEndpoint) note(event string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.events = append(h.events, event)
	return h.count(event)
}

// count counts the events of a type. The caller holds h.mu.
func (h *hookEndpoint) count(event string) (n int) {
	for _, e := range h.events {
		if e == event {
			n++
		}
	}
	return n
}

// flags are those of the daemon. Each pre-finish is sent once.
func (h *hookEndpoint) flags() []string {
	return []string{
		"-hooks-http", h.url, "-hooks-enabled-events", "pre-finish,post-finish",
		"-hooks-http-retry", "1", "-hooks-http-timeout", "5m",
	}
}

// want waits for post-finish, and compares all events.
func (h *hookEndpoint) want(t *testing.T, want ...string) {
	t.Helper()
	for deadline := time.Now().Add(clientLimit); ; time.Sleep(10 * time.Millisecond) {
		h.mu.Lock()
		events, finished := slices.Clone(h.events), h.count("post-finish") > 0
		h.mu.Unlock()
		if !finished && time.Now().Before(deadline) {
			continue
		}
		if !slices.Equal(events, want) {
			t.Errorf("the endpoint got %q, want %q", events, want)
		}
		return
	}
}

// everySecond are delays of a client that last longer than any test: what is tested is that the
// client comes back.
func everySecond() map[string]any {
	return map[string]any{"retryDelays": slices.Repeat([]int{1000}, 200)}
}

// A pre-finish that fails twice: every client comes back, and succeeds with the third.
func TestClientsOutliveAFailingPreFinish(t *testing.T) {
	t.Parallel()
	for _, client := range jsClients {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			h := startHookEndpoint(t, func(_ *http.Request, n int) int {
				if n <= 2 {
					return http.StatusInternalServerError
				}
				return http.StatusOK
			})
			s := startService(t, t.TempDir(), h.flags()...)
			file, sum := writeContent(t, mib)
			url := upload(t, s.relay, job{Client: client, File: file, Options: everySecond()})
			wantContent(t, url, sum)
			wantPosts(t, s.relay, 1)
			h.want(t, "pre-finish", "pre-finish", "pre-finish", "post-finish")
		})
	}
}

// slowPreFinish is longer than proxies wait for an answer, usually.
const slowPreFinish = 90 * time.Second

// A pre-finish that takes longer than the proxy waits: the client is told to come back, and
// the hook is called once.
func TestSlowPreFinishBehindAProxy(t *testing.T) {
	t.Parallel()
	require.Long(t)
	nginx.need(t)
	h := startHookEndpoint(t, func(r *http.Request, _ int) int {
		select {
		case <-time.After(slowPreFinish):
		case <-r.Context().Done():
			t.Error("the daemon has given up its pre-finish")
		}
		return http.StatusOK
	})
	s := startService(t, t.TempDir(), h.flags()...)
	c := newChain(t, s, startProxy(t, nginx, s.listener.Addr().String(), func(settings string) string {
		changed := strings.Replace(settings, "proxy_read_timeout      75s;", "proxy_read_timeout 60s;", 1)
		if changed == settings {
			t.Fatal("the snippet has no proxy_read_timeout of 75s")
		}
		return changed
	}), "http")
	c.httpRelay = s.relay
	file, sum := writeContent(t, mib)
	options := everySecond()
	options["endpoint"] = c.url() + "/files/"
	began := time.Now()
	url := job{Client: newClient, File: file, Options: options, limit: 2 * slowPreFinish}.run(t)
	if took := time.Since(began); took < slowPreFinish {
		t.Errorf("the client succeeded after %v, before pre-finish", took)
	}
	c.wantContent(t, url, sum)
	c.wantCreated(t, 1)
	h.want(t, "pre-finish", "post-finish")
}
