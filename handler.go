package tusd

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bmizerany/pat"
)

// Handler serves uploads. Make one with NewHandler. It is an http.Handler
// that may be mounted anywhere and more than once, with or without
// http.StripPrefix: a path that begins with the base path is taken without
// it, another one as it is.
//
// A checksum in a trailer that was not announced is seen only if the handler gets
// the server's own *http.Request. http.StripPrefix and r.WithContext make copies, in
// which it does not appear. A middleware around them that makes r.Trailer, if it is
// nil, lets it appear in copies, too.
type Handler struct {
	engine *engine
	router *pat.PatternServeMux
	usual  map[routed]exchangeFunc // what the router chooses for nearly all requests
	log    *slog.Logger
	cors   *CORSConfig

	proxies proxies
	gate    gate
	running running
	watch   proxyWatch
	alarms  alarms

	origin   string // of Location, "" for that of the request
	basePath string // as on the wire, with a slash at both ends

	publicOrigin, publicPath string // of Config.PublicURL; "": none

	extensions   string // value of Tus-Extension
	creationVerb string // value of Allow on the creation URL
	uploadVerbs  string // value of Allow on an upload's URL
	corsMethods  string // what scripts may use of both

	deadlineWarning sync.Once
	schemeWarned    atomic.Bool
}

// openTimeout bounds the probing of a store.
const openTimeout = 30 * time.Second

// NewHandler opens the store and returns the handler that serves it. What is
// wrong with the configuration or the store comes out here, not with the
// first upload. Shutdown ends it.
func NewHandler(config Config) (*Handler, error) {
	h, err := newHandler(config)
	if err == nil {
		h.engine.resume()
	}
	return h, err
}

// newHandler is NewHandler before anything runs in the background.
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
	if err := config.StoreComposer.Core.Open(ctx, Env{config.StoreComposer.Locker, config.limitSize}); err != nil {
		return nil, err
	}
	config.sweepSpool()
	h := &Handler{
		engine:   newEngine(config),
		log:      config.Logger,
		cors:     config.CORS,
		origin:   origin,
		basePath: basePath,

		publicOrigin: publicOrigin,
		publicPath:   publicPath,

		proxies: proxies{all: config.TrustForwarded, networks: config.TrustedProxies},
	}
	h.gate = gate{config: &h.engine.config, uploads: make(map[netip.Prefix]int)}
	h.routes(config)
	return h, nil
}

// routes fills the router with what the configuration and the store allow.
func (h *Handler) routes(config Config) {
	composer := config.StoreComposer
	h.router = pat.New()
	h.router.NotFound = exchangeFunc(func(*exchange) error { return ErrMethodNotAllowed })
	add := func(allow *string, method, pattern string, serve func(*exchange) error) {
		h.router.Add(method, pattern, exchangeFunc(serve))
		*allow += method + ", "
	}
	if !config.DisableCreation {
		add(&h.creationVerb, http.MethodPost, creationPath, serveCreation)
		if !config.DisableIETF {
			h.router.Add(http.MethodPut, creationPath, exchangeFunc(serveCreation))   // not in Allow: these two
			h.router.Add(http.MethodPatch, creationPath, exchangeFunc(serveCreation)) // need a mark of the draft
		}
	}
	add(&h.uploadVerbs, http.MethodHead, uploadPath, serveStatus)
	add(&h.uploadVerbs, http.MethodPatch, uploadPath, serveAppend)
	if !config.DisableDownload {
		add(&h.uploadVerbs, http.MethodGet, uploadPath, serveDownload)
	}
	if composer.Terminater != nil && !config.DisableTermination {
		add(&h.uploadVerbs, http.MethodDelete, uploadPath, serveTermination)
	}
	h.corsMethods = corsMethods(h.creationVerb, h.uploadVerbs, !config.DisableCreation && !config.DisableIETF)
	h.creationVerb += http.MethodOptions
	h.uploadVerbs += http.MethodOptions
	h.extensions = extensions(config)
	h.usual = make(map[routed]exchangeFunc)
	for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodPatch, http.MethodGet, http.MethodDelete} {
		for _, path := range []string{creationPath, uploadPath} {
			to := routed{method, path}
			h.usual[to] = h.choose(to)
		}
	}
}

// ServeHTTP serves the creation URL and the uploads below it. The path is
// that of the request, less BasePath if it begins with it.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	rest, under := strings.CutPrefix(r.URL.EscapedPath(), h.basePath)
	switch {
	case !under && rest+"/" == h.basePath:
		rest = ""
	case !under:
		rest = strings.TrimPrefix(rest, "/")
	}
	if rest == "" {
		h.serve(w, r, "", nil)
		return
	}
	id, err := parseID(rest)
	h.serve(w, r, id, err)
}

// ServeUpload serves a request for the upload with this id, "" for the
// creation URL, whatever the request's path: for routers that take paths
// apart themselves. Location is BasePath and the id all the same.
func (h *Handler) ServeUpload(w http.ResponseWriter, r *http.Request, id string) {
	var err error
	if id != "" {
		if err = ValidateID(id); err == nil {
			id = strings.Clone(id) // routers slice it out of the request line
		}
	}
	h.serve(w, r, id, err)
}

// Refuse answers a request with an error in place of serving it: in the dialect
// of the request, with the headers that every answer has, counted, and logged
// by nobody. It is for servers with limits of their own in front of the handler.
func (h *Handler) Refuse(w http.ResponseWriter, r *http.Request, refusal *Error) {
	x := newExchange(h, w, r, "")
	x.unlogged = true
	defer x.end()
	err := x.begin()
	if err == nil {
		x.chooseDialect() // an error leaves that of tus 1.0, which is as good as another
		err = refusal
	}
	x.fail(err)
	x.returned = true
}

// serve runs one request. idErr tells that the path names no possible upload;
// it is answered when it is its turn.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, id string, idErr error) {
	x := newExchange(h, w, r, id)
	defer x.end()
	if err := h.route(x, idErr); err != nil {
		x.fail(err)
	}
	x.returned = true
}

// route does what is common to all requests, then what the router says. The
// error has still to be answered.
func (h *Handler) route(x *exchange, idErr error) error {
	if err := x.begin(); err != nil {
		return err
	}
	if len(x.r.Header[overrideField]) > 1 {
		return ErrUnexpectedHeader.With(errors.New("more than one method to override with"))
	}
	if x.method == http.MethodOptions {
		serveOptions(x)
		return nil
	}
	if err := x.chooseDialect(); err != nil {
		return err
	}
	if err := h.gate.enter(x); err != nil {
		return err
	}
	if idErr != nil {
		return idErr
	}
	if x.method != x.r.Method {
		x.r = x.r.WithContext(x.r.Context()) // a copy, for all who ask the request
		x.r.Method = x.method
	}
	to := routed{x.method, uploadPath}
	if x.id == "" {
		to.path = creationPath
	}
	serve := h.usual[to]
	if serve == nil {
		serve = h.choose(to)
	}
	return serve(x)
}

// The router chooses by these and the method. It need not see the id, which is
// parsed already, nor anything else.
const (
	creationPath = "/"
	uploadPath   = "/upload"
)

// routed is what the router sees of a request.
type routed struct{ method, path string }

// choose asks the router.
func (h *Handler) choose(to routed) exchangeFunc {
	var c choice
	h.router.ServeHTTP(&c, &http.Request{Method: to.method, URL: &url.URL{Path: to.path}})
	return c.serve
}

// choice is given to the router in place of a ResponseWriter: whoever is chosen
// enters it. Nothing else is done with it, since something always is chosen.
type choice struct {
	http.ResponseWriter // nil
	serve               exchangeFunc
}

// exchangeFunc serves a kind of request. The error has still to be answered. As
// an http.Handler, behind the router, it is what was chosen.
type exchangeFunc func(*exchange) error

func (f exchangeFunc) ServeHTTP(w http.ResponseWriter, _ *http.Request) { w.(*choice).serve = f }

// Subscribe returns a subscription to the post-* events whose queue holds
// size events, and at most 4 KiB for each of them or 1 MiB in all, whichever is
// more. Without one, events cost nothing.
func (h *Handler) Subscribe(size int) *Subscription { return h.engine.events.subscribe(max(size, 1)) }

// Metrics returns the handler's counters.
func (h *Handler) Metrics() *Metrics { return h.engine.metrics }

// Shutdown ends the handler: bodies that are being received are interrupted
// with ErrServerShutdown, keeping what has arrived, and work in the
// background ends. It waits for the latter until ctx ends and returns its
// cause then. Requests themselves are waited for by http.Server.Shutdown,
// which is to be called beside or after it; an answer that the client does not
// take is cut soon. Idempotent.
func (h *Handler) Shutdown(ctx context.Context) error {
	h.engine.end()
	h.running.hasten(ErrServerShutdown)
	return h.engine.close(ctx)
}

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

// logFor picks how an error is logged: faults of ours as errors, broken
// records as warnings, what clients and networks do as information.
func logFor(e *Error) slog.Level {
	switch {
	case errors.Is(e.Err, ErrBroken):
		return slog.LevelWarn
	case e.Is(ErrInternal), e.Is(ErrNoSpace), e.Is(ErrFinishFailed), e.Is(ErrLockLost):
		return slog.LevelError
	}
	return slog.LevelInfo
}
