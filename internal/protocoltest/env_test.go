package protocoltest

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/tuning"
	"github.com/tus/tusd/storetest"
)

// env is the environment of one test: a server, which the first request starts, and a
// client. The configuration is set before.
type env struct {
	*testing.T
	*client
	config  tusd.Config
	changes []func(*tuning.Values)          // of values that Config does not have
	mount   func(http.Handler) http.Handler // how the server calls the handler

	outermost func(http.Handler) http.Handler // around all, may be nil

	protocol protocol
	compose  func() *tusd.StoreComposer
	handler  *tusd.Handler
	server   *httptest.Server
	warnings *warnings
	running  atomic.Int64 // requests inside the handler
	received atomic.Int64 // bytes of bodies that the handler has read
	finished atomic.Int64 // calls of pre-finish, if countFinishes was called
	ahead    atomic.Int64 // how far the handler's clock is ahead, a time.Duration
}

func newEnv(t *testing.T, p protocol, kind storeKind) *env {
	compose := kind.open(t)
	e := &env{T: t, protocol: p, compose: compose, mount: mountAsInReadme, warnings: &warnings{}}
	e.config = tusd.Config{BasePath: "/files/", StoreComposer: compose(), Logger: slog.New(e.warnings), DisableIETF: true}
	e.client = newClient(e)
	return e
}

// newEnvOn is the environment of a test that is no scenario: it has its own store and both
// dialects, and the first retry of a finish comes soon.
func newEnvOn(t *testing.T, store tusd.DataStore, config tusd.Config, changes ...func(*tuning.Values)) *env {
	t.Helper()
	e := &env{T: t, protocol: protocols[0], mount: mountAsInReadme, warnings: &warnings{}}
	e.compose = func() *tusd.StoreComposer {
		composer := tusd.NewStoreComposer()
		composer.UseCore(store)
		return composer
	}
	config.BasePath, config.StoreComposer, config.Logger = "/files/", e.compose(), slog.New(e.warnings)
	if config.AcquireLockTimeout == 0 {
		config.AcquireLockTimeout = 2 * time.Second
	}
	e.config, e.changes = config, append(changes, firstRetry(10*time.Millisecond))
	e.client = newClient(e)
	return e
}

// serve starts a server over HTTP/1.1 in an environment of newEnvOn.
func serve(t *testing.T, store tusd.DataStore, config tusd.Config, changes ...func(*tuning.Values)) *env {
	t.Helper()
	e := newEnvOn(t, store, config, changes...)
	e.start()
	return e
}

func mountAsInReadme(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/files/", h)
	return mux
}

// start starts the server if it does not run.
func (e *env) start() {
	if e.server != nil {
		return
	}
	handler, err := newTunedHandler(e.config, append(e.changes, func(v *tuning.Values) {
		v.Now = func() time.Time { return time.Now().Add(time.Duration(e.ahead.Load())) }
	})...)
	if err != nil {
		e.Fatalf("NewHandler: %v", err)
	}
	e.handler = handler
	root := e.counted(e.mount(handler))
	if e.outermost != nil {
		root = e.outermost(root)
	}
	e.server = httptest.NewUnstartedServer(root)
	e.server.Config.ErrorLog = slog.NewLogLogger(serverLog{e.T}, slog.LevelError)
	e.protocol.listen(e.server)
	e.Cleanup(e.stop)
}

// stop shuts the server down.
func (e *env) stop() {
	if e.server == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := e.handler.Shutdown(ctx); err != nil {
		e.Errorf("Shutdown: %v", err)
	}
	e.client.drop()
	e.server.CloseClientConnections()
	e.server.Close()
	e.server = nil
}

// restart shuts the server down. The next request starts a new handler over the same store.
func (e *env) restart() {
	e.stop()
	e.config.StoreComposer = e.compose()
}

// counted counts the requests inside h and the bytes that it reads. It does not wrap the
// ResponseWriter.
func (e *env) counted(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		e.running.Add(1)
		defer e.running.Add(-1)
		if r.ProtoMajor == 1 && r.ContentLength < 0 && r.Trailer == nil {
			r.Trailer = make(http.Header) // or the copy does not get the trailers
		}
		inner := *r // net/http reads the body of its own request
		if r.Body != http.NoBody {
			inner.Body = countedBody{r.Body, &e.received}
		}
		h.ServeHTTP(w, &inner)
	})
}

type countedBody struct {
	io.ReadCloser
	n *atomic.Int64
}

func (b countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.n.Add(int64(n))
	return n, err
}

// waitIdle waits until no request is inside the handler.
func (e *env) waitIdle() {
	e.Helper()
	e.eventually("the server is done with all requests", func() bool { return e.running.Load() == 0 })
}

// eventually polls until met returns true. what describes it.
func (e *env) eventually(what string, met func() bool) {
	e.Helper()
	deadline := time.After(15 * time.Second)
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for !met() {
		select {
		case <-deadline:
			e.Fatalf("not within 15 s: %s", what)
		case <-tick.C:
		}
	}
}

// countFinishes makes e.finished count the calls of pre-finish.
func (e *env) countFinishes() {
	e.config.Callbacks.PreFinish = func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
		e.finished.Add(1)
		return tusd.HTTPResponse{}, nil
	}
}

// content is n bytes of test data. No two ranges of it are equal.
func content(n int64) []byte {
	data := make([]byte, n)
	storetest.Content("content", 0, data)
	return data
}

// serverLog fails a test if the HTTP server logs a panic or a second WriteHeader.
type serverLog struct{ t *testing.T }

func (serverLog) Enabled(context.Context, slog.Level) bool { return true }

func (l serverLog) WithAttrs([]slog.Attr) slog.Handler { return l }

func (l serverLog) WithGroup(string) slog.Handler { return l }

func (l serverLog) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "panic") || strings.Contains(r.Message, "superfluous") {
		l.t.Errorf("the HTTP server logs: %s", r.Message)
	}
	return nil
}

// warnings keeps the messages of warnings and errors of a handler.
type warnings struct {
	mu    sync.Mutex
	lines []string
}

func (*warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (w *warnings) WithAttrs([]slog.Attr) slog.Handler { return w }

func (w *warnings) WithGroup(string) slog.Handler { return w }

func (w *warnings) Handle(_ context.Context, r slog.Record) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lines = append(w.lines, r.Message)
	return nil
}

func (w *warnings) all() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.lines...)
}

// count returns how many warnings contain text.
func (w *warnings) count(text string) (n int) {
	for _, line := range w.all() {
		if strings.Contains(line, text) {
			n++
		}
	}
	return n
}

// await waits until done is closed or the test ends.
func await(t *testing.T, done <-chan struct{}) {
	select {
	case <-done:
	case <-t.Context().Done():
	case <-time.After(time.Minute):
		t.Error("not within a minute")
	}
}
