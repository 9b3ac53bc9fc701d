package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// healthHandler is the handler of /healthz and /readyz.
type healthHandler struct {
	*http.ServeMux
	readiness *readiness
}

// newHealthHandler answers /healthz and /readyz, and 404 for everything else.
//
// /healthz is 200 whenever it is answered: a supervisor should restart the
// server only if there is no answer. /readyz is 200 while no other server would
// do better: stopping is not closed, and each probe succeeds, only warns (a full
// disk), or fails at what all servers share and what has worked before. Otherwise it is
// 503. It has a line for each probe.
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
	latest result
}

// result is the result of all probes.
type result struct {
	text     string // a line for each probe
	failed   []bool // of each probe
	unready  error  // why the server is not ready; nil: it is
	degraded error  // why it is of little use, although it is ready
	failing  string // the names of the probes in unready and degraded
}

func (r *readiness) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	select {
	case <-r.stopping:
		answerHealth(w, http.StatusServiceUnavailable, "the server is shutting down\n")
		return
	default:
	}
	now, ok := r.update(req.Context(), false)
	if !ok {
		return // the client has disconnected
	}
	if now.unready != nil {
		answerHealth(w, http.StatusServiceUnavailable, now.text)
		return
	}
	answerHealth(w, http.StatusOK, now.text)
}

// checkAtStart runs the probes if a part is unproven, so that wrong settings are logged
// without a request for /readyz.
func (r *readiness) checkAtStart(ctx context.Context) {
	if r.unproven() {
		r.update(ctx, true)
	}
}

// unproven reports whether a part has never worked in this process.
func (r *readiness) unproven() bool {
	return slices.ContainsFunc(r.probes, func(p *probe) bool { return p.unproven.Load() })
}

// update runs all probes, as check does, and logs what has changed. ok is false if ctx has
// ended meanwhile, which may have failed a probe.
func (r *readiness) update(ctx context.Context, patient bool) (now result, ok bool) {
	now = r.check(ctx, patient)
	if ctx.Err() != nil {
		return now, false
	}
	r.logChange(now)
	return now, true
}

// check runs all probes at once. Unless it is patient, it does not wait long for probes whose
// failure concerns all servers.
func (r *readiness) check(ctx context.Context, patient bool) (now result) {
	runs := make([]*probeRun, len(r.probes))
	for i, p := range r.probes {
		runs[i] = p.start()
	}
	for i, p := range r.probes {
		if p.failsForAll() && !patient {
			now.add(p, runs[i].waitBriefly(ctx))
		} else {
			now.add(p, runs[i].wait(ctx))
		}
	}
	return now
}

// add adds the result of a probe.
func (r *result) add(p *probe, err error) {
	failed, forAll := err != nil && !isOnlyWarning(err), p.failsForAll()
	r.text += p.name + ": " + p.text(err, forAll) + "\n"
	r.failed = append(r.failed, failed)
	err = fmt.Errorf("%s: %w", p.name, err)
	switch {
	case !failed, forAll && p.logsItself:
		return
	case forAll:
		r.degraded = errors.Join(r.degraded, err)
	default:
		r.unready = errors.Join(r.unready, err)
	}
	r.failing += p.name + " "
}

// lastResult reports whether the server was ready when the probes ran last.
func (r *readiness) lastResult() bool {
	select {
	case <-r.stopping:
		return false
	default:
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.latest.unready == nil && !r.unproven()
}

// logChange logs that other probes fail than before, or none any more.
func (r *readiness) logChange(now result) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before := r.latest
	r.latest = now
	switch {
	case now.failing == before.failing:
	case now.unready != nil:
		r.log.Warn("not ready", "err", errors.Join(now.unready, now.degraded))
	case now.degraded != nil:
		r.log.Warn("unreachable for all servers, so this one stays ready", "err", now.degraded)
	case before.unready != nil:
		r.log.Info("ready again")
	default:
		r.log.Info("reachable again")
	}
}

// collector returns the metric of the probes. It runs them, as a request for /readyz does.
func (r *readiness) collector() prometheus.Collector { return probeCollector{r} }

type probeCollector struct{ *readiness }

var probeUp = prometheus.NewDesc("tusd_probe_up", "1 if the check of readiness succeeds, else 0.", []string{"probe"}, nil)

// Describe implements prometheus.Collector.
func (probeCollector) Describe(descs chan<- *prometheus.Desc) { descs <- probeUp }

// Collect implements prometheus.Collector.
func (c probeCollector) Collect(metrics chan<- prometheus.Metric) {
	now, _ := c.update(context.Background(), true)
	for i, p := range c.probes {
		up := 1.0
		if now.failed[i] {
			up = 0
		}
		metrics <- prometheus.MustNewConstMetric(probeUp, prometheus.GaugeValue, up, p.name)
	}
}
