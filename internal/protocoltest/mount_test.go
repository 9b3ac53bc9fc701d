package protocoltest

import (
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestMount(t *testing.T) {
	runOn(t, memoryStore, protocols, []scenario{
		{"strip_with_slash", "behind StripPrefix(/files/) it works", func(e *env) { mounted(e, mountAsInReadme) }},
		{"strip_without_slash", "behind StripPrefix(/files) it works", func(e *env) { mounted(e, mountStripped) }},
		{"half_stripped", "behind StripPrefix of the first half of the base path it works", mountedHalf},
		{"unstripped", "mounted as it is, with BasePath, it works", func(e *env) { mounted(e, func(h http.Handler) http.Handler { return h }) }},
		{"prefix_middleware", "behind a middleware that changes only URL.Path it works", func(e *env) { mounted(e, mountPathOnly) }},
		{"wrapper_with_unwrap", "a ResponseWriter wrapped with Unwrap keeps deadlines, without a warning", mountedUnwrap},
		{"wrapper_without_unwrap", "a ResponseWriter that hides deadlines is warned of once, and requests work", mountedHidden},
		{"interim", "a wrapper that takes a 104 for the final answer changes neither", mountedInterim},
		{"interim_hidden", "behind a wrapper without Unwrap there is no 104, which it could take for the final answer", mountedWithoutInterim},
		{"max_bytes", "a limit on bodies outside gives 413, what came before is kept, the upload can be continued", mountedMaxBytes},
		{"replaced_body", "a middleware that replaces the request's body does not keep an answer from a waiting client", mountedReplacedBody},
		{"wrong_base_path", "a mount whose base path cannot be right is warned of once, others are not", mountWarnings},
		{"own_mux", "the handler serves one upload under a path of the embedder's own", mountedOwnMux},
	})
}

// mounted creates, fills, downloads and terminates an upload behind a mount.
func mounted(e *env, mount func(http.Handler) http.Handler) {
	e.mount = mount
	data := content(100)
	u := e.create(100, "Upload-Metadata: k dg==")
	e.patch(u, 0, data[:40]).status(204)
	e.wantOffset(u, 40)
	e.patch(u, 40, data[40:]).status(204)
	if a := e.get(u).status(200); string(a.Body) != string(data) {
		e.Errorf("GET has %s, want %s", digest(a.Body), digest(data))
	}
	e.head("/files/unknown").status(404)
	for _, id := range []string{"%2e%2e", "a%2f..%2fb", "x.info", "%00"} {
		e.head("/files/"+id).status(404, 400, 301, 307, 308)
	}
	part := e.createPartial(data)
	e.wantFinal(e.postFinal(part).status(201).location(), part, data)
	e.terminate(u).status(204)
	e.head(u).status(404)
	e.options("/files/").status(200)
}

func mountStripped(h http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/files/", http.StripPrefix("/files", h))
	return mux
}

// mountedHalf mounts the handler in a mux that is in another one without its prefix.
func mountedHalf(e *env) {
	e.stop()
	e.config.StoreComposer, e.config.BasePath = e.compose(), "/api/files/"
	e.mount = func(h http.Handler) http.Handler {
		inner, outer := http.NewServeMux(), http.NewServeMux()
		inner.Handle("/files/", h)
		outer.Handle("/api/", http.StripPrefix("/api", inner))
		return outer
	}
	location := e.do(http.MethodPost, "/api/files/", nil, version, "Upload-Length: 100").status(201).Header.Get("Location")
	u, ok := strings.CutPrefix(location, e.server.URL)
	if !ok || !strings.HasPrefix(u, "/api/files/") {
		e.Fatalf("Location is %s", location)
	}
	e.patch(u, 0, content(100)).status(204)
	e.wantOffset(u, 100)
	e.terminate(u).status(204)
	e.head("/api/files/unknown").status(404)
}

// mountPathOnly is a middleware that strips a prefix of Path and ignores RawPath.
func mountPathOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner := r.Clone(r.Context())
		inner.URL.Path = strings.TrimPrefix(r.URL.Path, "/files")
		h.ServeHTTP(w, inner)
	})
}

// unwrappingWriter wraps a ResponseWriter as logging middleware does.
type unwrappingWriter struct{ http.ResponseWriter }

func (w unwrappingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// hidingWriter is the same without Unwrap.
type hidingWriter struct{ http.ResponseWriter }

func wrapped(wrap func(http.ResponseWriter) http.ResponseWriter) func(http.Handler) http.Handler {
	return func(h http.Handler) http.Handler {
		return mountAsInReadme(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { h.ServeHTTP(wrap(w), r) }))
	}
}

func mountedUnwrap(e *env) {
	e.config.NetworkTimeout = 150 * time.Millisecond
	wrap := wrapped(func(w http.ResponseWriter) http.ResponseWriter { return unwrappingWriter{w} })
	mounted(e, wrap)
	u := e.create(100)
	s := e.another().open(u, 0, 100)
	s.send(content(30))
	s.answer().status(500).code("ERR_READ_TIMEOUT")
	e.wantOffset(u, 30)
	if e.warnings.count("deadline") > 0 {
		e.Errorf("warned of a wrapper that has Unwrap: %q", e.warnings.all())
	}
}

func mountedHidden(e *env) {
	mounted(e, wrapped(func(w http.ResponseWriter) http.ResponseWriter { return hidingWriter{w} }))
	if told := e.warnings.count("deadline"); told != 1 {
		e.Errorf("warned %d times of a wrapper that hides deadlines, want once: %q", told, e.warnings.all())
	}
}

// finalWriter passes on the first status only, as the writers of some frameworks do.
type finalWriter struct {
	http.ResponseWriter
	written bool
}

func (w *finalWriter) WriteHeader(status int) {
	if !w.written {
		w.written = true
		w.ResponseWriter.WriteHeader(status)
	}
}

// unwrappingFinalWriter is the same with Unwrap.
type unwrappingFinalWriter struct{ finalWriter }

func (w *unwrappingFinalWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func mountedInterim(e *env) {
	s := createByDraft(e, func(w http.ResponseWriter) http.ResponseWriter {
		return &unwrappingFinalWriter{finalWriter{ResponseWriter: w}}
	})
	u := s.announced()
	s.send(content(100))
	s.end()
	if got := s.answer().status(201).location(); got != u {
		e.Errorf("the answer has Location %s, the 104 had %s", got, u)
	}
	e.wantStored(u, content(100))
}

func mountedWithoutInterim(e *env) {
	s := createByDraft(e, func(w http.ResponseWriter) http.ResponseWriter { return &finalWriter{ResponseWriter: w} })
	s.send(content(100))
	s.end()
	e.wantStored(s.answer().status(201).location(), content(100))
	s.wantNoInterim()
}

// createByDraft begins a creation with 100 bytes in the IETF draft.
func createByDraft(e *env, wrap func(http.ResponseWriter) http.ResponseWriter) *openIETFRequest {
	e.config.DisableIETF = false
	e.mount = wrapped(wrap)
	d := &ietfClient{e.another(), 8}
	return d.open(http.MethodPost, "/files/", 100, d.completeness(true))
}

func mountedMaxBytes(e *env) {
	e.mount = func(h http.Handler) http.Handler { return mountAsInReadme(http.MaxBytesHandler(h, 50)) }
	data := content(100)
	for _, header := range [][]string{nil, {chunked}} {
		u := e.create(100)
		e.patch(u, 0, data[:60], header...).status(413).code("ERR_BODY_TOO_LARGE")
		n := e.offset(u)
		if n > 50 {
			e.Errorf("offset %d behind a limit of 50 bytes", n)
		}
		e.patch(u, n, data[n:50]).status(204)
		e.patch(u, 50, data[50:]).status(204)
		e.wantStored(u, data)
	}
}

// mountedReplacedBody replaces the body in the server's request, as the documentation of
// MaxBytesReader suggests.
func mountedReplacedBody(e *env) {
	u := e.create(100)
	e.stop()
	e.config.StoreComposer = e.compose()
	e.outermost = func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
			h.ServeHTTP(w, r)
		})
	}
	s := e.openExpecting(u, "Upload-Offset: 50")
	select {
	case <-s.Done():
		s.answer().status(409)
	case <-time.After(3 * time.Second):
		e.Error("no answer after 3 s")
	}
	e.patch(u, 0, content(100)).status(204)
}

// serveUpload in place of a prefix: the program calls ServeUpload.
const serveUpload = "ServeUpload"

// mounts are ways to mount a handler with a base path.
var mounts = []struct {
	name, basePath, pattern, strip string
	target                         string // of creations
	header                         string
	warns                          bool
}{
	{"nothing stripped", "/files/", "/files/", "", "/files/", "", false},
	{"stripped", "/files/", "/files/", "/files", "/files/", "", false},
	{"stripped with its slash", "/files/", "/files/", "/files/", "/files/", "", false},
	{"without the last slash", "/files/", "/files", "/files", "/files", "", false},
	{"with a query", "/files/", "/files/", "/files", "/files/?a=/b/", "", false},
	{"at the root", "/", "/", "", "/", "", false},
	{"a proxy strips the base path", "/files/", "/", "", "/", "", false},
	{"a proxy strips what comes first", "/app/files/", "/files/", "/files", "/files/", "", false},
	{"a proxy names itself", "/files/", "/api/", "/api", "/api/", "X-Forwarded-For: 192.0.2.1", false},
	{"creations elsewhere by ServeUpload", "/files/", "/create", serveUpload, "/create", "", false},
	{"PublicURL", "http://upload.example/files/", "/api/", "/api", "/api/", "", false},

	{"half stripped with the whole base path", "/api/files/", "/api/", "/api", "/api/files/", "", false},
	{"the same without the last slash", "/api/files/", "/api/", "/api", "/api/files", "", false},
	{"half stripped with its slash", "/api/files/", "/api/", "/api/", "/api/files/", "", false},

	{"another base path", "/files/", "/api/", "/api", "/api/", "", true},
	{"no base path", "", "/files/", "/files", "/files/", "", true},
	{"a base path that is too short", "/files/", "/api/files/", "/api/files", "/api/files/", "", true},
	{"half stripped", "/files/", "/api/files/", "/api", "/api/files/", "", true},
	{"another name at the end", "/xfiles/", "/files/", "/files", "/files/", "", true},
}

func mountWarnings(e *env) {
	for _, m := range mounts {
		e.stop()
		e.config.StoreComposer, e.config.BasePath, e.warnings = e.compose(), m.basePath, &warnings{}
		e.config.Logger = slog.New(e.warnings)
		e.mount = func(h http.Handler) http.Handler {
			switch m.strip {
			case "":
			case serveUpload:
				h = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.handler.ServeUpload(w, r, "") })
			default:
				h = http.StripPrefix(m.strip, h)
			}
			mux := http.NewServeMux()
			mux.Handle(m.pattern, h)
			return mux
		}
		for range 2 {
			header := []string{version, "Upload-Length: 1"}
			if m.header != "" {
				header = append(header, m.header)
			}
			e.do(http.MethodPost, m.target, nil, header...).status(201)
		}
		want := 0
		if m.warns {
			want = 1
		}
		if told := e.warnings.count("Config.BasePath"); told != want {
			e.Errorf("%s: warned %d times, want %d: %q", m.name, told, want, e.warnings.all())
		}
	}
}

func mountedOwnMux(e *env) {
	e.mount = func(http.Handler) http.Handler {
		mux := http.NewServeMux()
		mux.HandleFunc("/files/{id...}", func(w http.ResponseWriter, r *http.Request) { e.handler.ServeUpload(w, r, r.PathValue("id")) })
		return mux
	}
	u := e.create(100)
	e.patch(u, 0, content(100)).status(204)
	e.wantOffset(u, 100)
	e.get(u).status(200)
	e.head("/files/x.info").status(404)
}
