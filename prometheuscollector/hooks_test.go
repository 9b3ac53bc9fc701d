package prometheuscollector_test

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/prometheuscollector"
	"github.com/tus/tusd/storetest"
)

// failingHook fails for every post-create.
type failingHook struct{}

func (failingHook) Name() string                { return "test" }
func (failingHook) Setup(context.Context) error { return nil }
func (failingHook) Close() error                { return nil }

func (failingHook) InvokeHook(_ context.Context, r hooks.HookRequest) (hooks.HookResponse, error) {
	if r.Type == tusd.EventPostCreate {
		return hooks.HookResponse{}, errors.New("not now")
	}
	return hooks.HookResponse{}, nil
}

func TestHookMetrics(t *testing.T) {
	composer := tusd.NewStoreComposer()
	composer.UseCore(storetest.NewMemory())
	handler, err := hooks.NewHandler(t.Context(), tusd.Config{StoreComposer: composer, Logger: slog.New(slog.DiscardHandler)},
		hooks.Config{Hooks: []hooks.Hook{failingHook{}}, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Server: httptest.NewServer(handler), handler: handler.Handler, registry: prometheus.NewPedanticRegistry()}
	t.Cleanup(func() {
		s.Close()
		handler.Shutdown(context.Background())
	})
	if err := s.registry.Register(prometheuscollector.NewHooks(handler.Handler, handler.Hooks.Stats())); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{
		`tusd_hook_invocations_total{hooktype="pre-create"} 0`, `tusd_hook_errors_total{hooktype="post-expire"} 0`,
		`tusd_hook_duration_seconds_count{hook="test",hooktype="pre-finish"} 0`,
		"tusd_hook_events_waiting 0", "tusd_hook_oldest_event_seconds 0", "tusd_hook_events_dropped_total 0", "tusd_hook_events_dead_total 0",
	} {
		mustHaveLine(t, s.expose(t), want)
	}
	if answer := s.request(t, http.MethodPost, s.URL+"/", "", "Upload-Length", "5"); answer.StatusCode != http.StatusCreated {
		t.Fatalf("status %d", answer.StatusCode)
	}
	failed := regexp.MustCompile(`(?m)^tusd_hook_errors_total\{hooktype="post-create"\} [1-9]`)
	text := s.expose(t)
	for deadline := time.Now().Add(30 * time.Second); !failed.MatchString(text); text = s.expose(t) {
		if time.Now().After(deadline) {
			t.Fatalf("no call has failed: %s", text)
		}
		time.Sleep(time.Millisecond)
	}
	mustHaveLine(t, text, `tusd_hook_invocations_total{hooktype="pre-create"} 1`)
	mustHaveLine(t, text, `tusd_hook_errors_total{hooktype="pre-create"} 0`)
	mustHaveLine(t, text, `tusd_hook_duration_seconds_count{hook="test",hooktype="pre-create"} 1`)
	mustHaveLine(t, text, "tusd_hook_events_waiting 1")
	if strings.Contains(text, "\ntusd_hook_oldest_event_seconds 0\n") {
		t.Error("the event that waits has no age")
	}
	if problems, err := testutil.GatherAndLint(s.registry); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}
