package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"sync"
)

// healthHandler is the handler of /healthz and /readyz.
type healthHandler struct {
	*http.ServeMux
	readiness *readiness
}

// newHealthHandler answers /healthz and /readyz, and 404 for everything else.
//
// /healthz is 200 whenever it is answered: a supervisor should restart the
// server only if there is no answer. /readyz is 200 while uploads can be
// served: stopping is not closed, and each probe succeeds or only warns (a full disk). Otherwise it is 503.
// It has a line for each probe.
func newHealthHandler(stopping <-chan struct{}, log *slog.Logger, probes ...*probe) healthHandler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+healthPath, func(w http.ResponseWriter, _ *http.Request) {
		answerHealth(w, http.StatusOK, "alive\n")
	})
	r := &readiness{stopping: stopping, log: log, probes: probes}
	mux.Handle("GET "+readyPath, r)
	return healthHandler{mux, r}
}

// withoutContent returns handlers for times of overload. They answer with a
// status and no content, and run no probe.
func (h healthHandler) withoutContent() (alive, ready http.Handler) {
	answer := func(w http.ResponseWriter, status int) {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Content-Length", "0")
		w.WriteHeader(status)
	}
	alive = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { answer(w, http.StatusOK) })
	ready = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if h.readiness.lastResult() {
			answer(w, http.StatusOK)
		} else {
			answer(w, http.StatusServiceUnavailable)
		}
	})
	return alive, ready
}

func answerHealth(w http.ResponseWriter, status int, text string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	io.WriteString(w, text) // an error means that the client has disconnected
}

// readiness is the handler of /readyz.
type readiness struct {
	stopping <-chan struct{}
	log      *slog.Logger
	probes   []*probe

	mu     sync.Mutex
	logged string // the last answer that was logged; "": ready
}

func (r *readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	select {
	case <-r.stopping:
		answerHealth(w, http.StatusServiceUnavailable, "the server is shutting down\n")
		return
	default:
	}
	text, err := r.check(req.Context())
	if req.Context().Err() != nil {
		return // the client has disconnected, which may have failed a probe
	}
	r.logChange(text, err)
	if err != nil {
		answerHealth(w, http.StatusServiceUnavailable, text)
		return
	}
	answerHealth(w, http.StatusOK, text)
}

// check runs all probes at once. text has a line for each; err is why the
// server is not ready.
func (r *readiness) check(ctx context.Context) (text string, err error) {
	runs := make([]*probeRun, len(r.probes))
	for i, p := range r.probes {
		runs[i] = p.start()
	}
	var errs []error
	for i, p := range r.probes {
		err := runs[i].wait(ctx)
		text += p.name + ": " + p.text(err) + "\n"
		if err != nil && !isOnlyWarning(err) {
			errs = append(errs, fmt.Errorf("%s: %w", p.name, err))
		}
	}
	return text, errors.Join(errs...)
}

// lastResult reports whether the server was ready at the last request.
func (r *readiness) lastResult() bool {
	select {
	case <-r.stopping:
		return false
	default:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.logged == ""
}

// logChange logs that the server is not ready, or ready again, once for each
// change.
func (r *readiness) logChange(text string, err error) {
	if err == nil {
		text = ""
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if text == r.logged {
		return
	}
	r.logged = text
	if err != nil {
		r.log.Warn("not ready", "err", err)
		return
	}
	r.log.Info("ready again")
}
