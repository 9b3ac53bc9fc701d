package tusd

import (
	"context"
	"log/slog"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bmizerany/pat"

	"github.com/tus/tusd/internal/forwarded"
)

// Handler serves uploads. Make one with NewHandler. It is an http.Handler that may be
// mounted anywhere and more than once, with or without http.StripPrefix: the base path, or
// what StripPrefix has left of it, is removed from a path that begins with it, and any other
// path is used as it is. Location always has the base path. If a prefix was removed before
// and the base path lacks it, the log says so once.
//
// A checksum in a trailer that is not announced is seen only if the handler gets the
// *http.Request of the server itself. http.StripPrefix and r.WithContext make copies,
// which lose it. To keep it, an outer middleware sets r.Trailer to an empty http.Header
// if it is nil.
type Handler struct {
	engine     *engine
	router     *pat.PatternServeMux
	routeCache map[routeKey]exchangeFunc // the router's choice for nearly all requests
	log        *slog.Logger
	cors       *CORSConfig

	proxies   forwarded.Trust
	limits    requestLimits
	running   requestList
	buffering bufferingDetector

	origin   string // of Location; "": the origin of the request
	basePath string // escaped, with a slash at both ends

	publicOrigin, publicPath string // of Config.PublicURL; "": none

	extensions    string // value of Tus-Extension
	creationAllow string // value of Allow on the creation URL
	uploadAllow   string // value of Allow on an upload's URL
	corsAllowed   string // methods of both that scripts may use

	deadlineWarning sync.Once
	mountWarning    sync.Once
	schemeWarned    atomic.Bool
}

// openTimeout limits the opening of a store. After a crash, limitedstore waits 27 s, in addition to
// what the store that it wraps needs.
const openTimeout = time.Minute

// NewHandler opens the store and returns the handler that serves it. A faulty
// configuration or store is an error here. It starts background work that finishes and
// builds what an earlier process left. Opening takes 1 min at most if the store obeys its
// context. Shutdown ends the handler.
func NewHandler(config Config) (*Handler, error) {
	h, err := newHandler(config)
	if err == nil && !h.engine.config.Offline {
		h.engine.resume()
	}
	return h, err
}

// newHandler is NewHandler without background work.
func newHandler(config Config) (*Handler, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	origin, basePath, err := parseBasePath("BasePath", config.BasePath)
	if err != nil {
		return nil, err
	}
	publicOrigin, publicPath, err := parsePublicURL(config.PublicURL)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), openTimeout)
	defer cancel()
	var engineForStore atomic.Pointer[engine] // does not exist while the store is opened
	evict := func(ctx context.Context, id string, allow func(FileInfo) bool) error {
		if e := engineForStore.Load(); e != nil {
			return e.evict(ctx, id, allow)
		}
		return ErrUploadLocked
	}
	if err := config.openStore(ctx, evict); err != nil {
		return nil, err
	}
	if !config.Offline {
		config.sweepSpool()
	}
	h := &Handler{
		engine:   newEngine(config),
		log:      config.Logger,
		cors:     config.CORS,
		origin:   origin,
		basePath: basePath,

		publicOrigin: publicOrigin,
		publicPath:   publicPath,

		proxies: forwarded.Trust{All: config.TrustForwarded, Networks: config.TrustedProxies},
	}
	engineForStore.Store(h.engine)
	h.limits = requestLimits{config: &h.engine.config, uploads: make(map[netip.Prefix]int)}
	h.routes(config)
	return h, nil
}

// ServeHTTP serves the creation URL and the uploads below it. If the path of the
// request begins with BasePath, or with what is left of it after a prefix was removed, that
// is removed.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest := h.pathBelowBase(r)
	if rest == "" {
		h.serve(w, r, "", nil)
		return
	}
	id, err := parseID(rest)
	h.serve(w, r, id, err)
}

// pathBelowBase returns the path of the request without the base path, "" for the creation
// URL.
func (h *Handler) pathBelowBase(r *http.Request) string {
	path := r.URL.EscapedPath()
	if rest, ok := cutBase(path, h.basePath); ok {
		return rest
	}
	if removed, ok := strings.CutSuffix(sentPath(r), path); ok && strings.HasPrefix(h.basePath, removed) {
		if rest, ok := cutBase(path, h.basePath[len(removed):]); ok {
			return rest
		}
	}
	return strings.TrimPrefix(path, "/")
}

// cutBase removes a base path with a slash at its end, which may be missing in path.
func cutBase(path, base string) (rest string, ok bool) {
	if len(path)+1 == len(base) && strings.HasPrefix(base, path) {
		return "", true
	}
	return strings.CutPrefix(path, base)
}

// ServeUpload serves a request for the upload with this id, or for the creation URL if
// id is "". It does not look at the request's path: it is for routers that parse paths
// themselves. Location is the same as with ServeHTTP.
func (h *Handler) ServeUpload(w http.ResponseWriter, r *http.Request, id string) {
	var err error
	if id != "" {
		if err = ValidateID(id); err == nil {
			id = strings.Clone(id) // routers slice it out of the request line
		}
	}
	h.serve(w, r, id, err)
}

// refuse answers a request with an error instead of serving it (front.RefuseConnection).
func (h *Handler) refuse(w http.ResponseWriter, r *http.Request, refusal *Error) {
	x := newExchange(h, w, r, "")
	x.unlogged = true
	defer x.end()
	err := x.begin()
	if err == nil {
		x.chooseDialect() // after an error it is tus 1.0
		err = refusal
	}
	x.fail(err)
	x.returned = true
}

// Subscribe returns a subscription to the post-* events. Its queue holds at most size
// events (at least one), in at most size times 4 KiB or 1 MiB of memory, whichever is
// more; events beyond that are dropped and counted. A subscription lasts until Shutdown.
// Without subscriptions and Config.Events, they cost nothing. Safe for concurrent use.
func (h *Handler) Subscribe(size int) *Subscription { return h.engine.events.subscribe(max(size, 1)) }

// Metrics returns the handler's counters.
func (h *Handler) Metrics() *Metrics { return h.engine.metrics }

// deadlineWarner is a Handler as a deadline.Warner.
type deadlineWarner Handler

// WarnDeadlines logs, once, that a wrapper of the ResponseWriter hides the
// deadlines.
func (h *deadlineWarner) WarnDeadlines(err error) {
	h.deadlineWarning.Do(func() {
		h.log.Warn("the http.ResponseWriter cannot set deadlines: a client that stops sending will block its upload. "+
			"If a middleware wraps it, give the wrapper a method Unwrap() http.ResponseWriter", "err", err)
	})
}
