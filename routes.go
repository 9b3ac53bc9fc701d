package tusd

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"

	"github.com/bmizerany/pat"
)

// The routes. For each kind of request, the dialect reads the request, the engine
// carries it out, and the dialect writes the answer.

// The router chooses by the method and one of these paths. The id of the upload is
// parsed before that.
const (
	creationPath = "/"
	uploadPath   = "/upload"
)

// routes adds the routes that the configuration and the store allow.
func (h *Handler) routes(config Config) {
	h.router = pat.New()
	h.router.NotFound = exchangeFunc(func(*exchange) error { return ErrMethodNotAllowed })
	add := func(allow *string, method, pattern string, serve func(*exchange) error) {
		h.router.Add(method, pattern, exchangeFunc(serve))
		*allow += method + ", "
	}
	if !config.DisableCreation {
		add(&h.creationAllow, http.MethodPost, creationPath, serveCreation)
		if !config.DisableIETF {
			h.router.Add(http.MethodPut, creationPath, exchangeFunc(serveCreation))   // not in Allow: these two
			h.router.Add(http.MethodPatch, creationPath, exchangeFunc(serveCreation)) // need a mark of the draft
		}
	}
	add(&h.uploadAllow, http.MethodHead, uploadPath, serveStatus)
	add(&h.uploadAllow, http.MethodPatch, uploadPath, serveAppend)
	if config.offersDownload() {
		add(&h.uploadAllow, http.MethodGet, uploadPath, serveDownload)
	}
	if config.offersTermination() {
		add(&h.uploadAllow, http.MethodDelete, uploadPath, serveTermination)
	}
	h.corsAllowed = corsMethods(h.creationAllow, h.uploadAllow, !config.DisableCreation && !config.DisableIETF)
	h.creationAllow += http.MethodOptions
	h.uploadAllow += http.MethodOptions
	h.extensions = extensions(config)
	h.routeCache = make(map[routeKey]exchangeFunc)
	for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodPatch, http.MethodGet, http.MethodDelete} {
		for _, path := range []string{creationPath, uploadPath} {
			to := routeKey{method, path}
			h.routeCache[to] = h.findRoute(to)
		}
	}
}

// routeKey is the part of a request that the router uses.
type routeKey struct{ method, path string }

// findRoute returns the router's choice.
func (h *Handler) findRoute(to routeKey) exchangeFunc {
	var c foundRoute
	h.router.ServeHTTP(&c, &http.Request{Method: to.method, URL: &url.URL{Path: to.path}})
	return c.serve
}

// foundRoute is passed to the router in place of a ResponseWriter. The chosen
// exchangeFunc stores itself in it. The router always finds one, so no method is
// called.
type foundRoute struct {
	http.ResponseWriter // nil
	serve               exchangeFunc
}

// exchangeFunc serves a kind of request. Its caller answers the error. As an
// http.Handler behind the router, it stores itself in the foundRoute.
type exchangeFunc func(*exchange) error

func (f exchangeFunc) ServeHTTP(w http.ResponseWriter, _ *http.Request) { w.(*foundRoute).serve = f }

// serve serves one request. idErr is the error of the id in the path. It is answered
// after the checks that come first.
func (h *Handler) serve(w http.ResponseWriter, r *http.Request, id string, idErr error) {
	x := newExchange(h, w, r, id)
	defer x.end()
	if err := h.route(x, idErr); err != nil {
		x.fail(err)
	}
	x.returned = true
}

// route does what is common to all requests, then calls the function that the router
// chooses. Its caller answers the error.
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
	if err := h.limits.admit(x); err != nil {
		return err
	}
	if idErr != nil {
		return idErr
	}
	if x.method != x.r.Method {
		x.r = x.r.WithContext(x.r.Context()) // a copy with the method that counts
		x.r.Method = x.method
	}
	to := routeKey{x.method, uploadPath}
	if x.id == "" {
		to.path = creationPath
	}
	serve := h.routeCache[to]
	if serve == nil {
		serve = h.findRoute(to)
	}
	if x.method == http.MethodHead || x.method == http.MethodGet {
		return serve(x)
	}
	if !h.engine.changing.Enter() {
		return ErrServerShutdown
	}
	defer h.engine.changing.Leave()
	return serve(x)
}

// serveOptions answers with the capabilities of the server, in both dialects. The
// status is 200 rather than 204 for the preflights of old browsers.
func serveOptions(x *exchange) {
	tusOptions(x)
	if !x.h.engine.config.DisableIETF {
		ietfOptions(x)
	}
	x.respond(http.StatusOK, HTTPResponse{})
}

// serveCreation serves requests on the creation URL.
func serveCreation(x *exchange) error {
	op := x.operation()
	req, err := x.dialect.readCreation(x, op)
	if err != nil {
		return err
	}
	res, err := x.h.engine.create(op, &req)
	return x.dialect.writeCreation(x, &req, res, err)
}

// serveAppend serves PATCH on an upload.
func serveAppend(x *exchange) error {
	op := x.operation()
	req, err := x.dialect.readAppend(x, op)
	if err != nil {
		return cmp.Or(x.h.engine.checkKnown(op, x.id), err) // a missing upload comes before a malformed request
	}
	res, err := x.h.engine.append(op, &req)
	return x.dialect.writeAppend(x, req, res, err)
}

// serveStatus serves HEAD on an upload. If the dialect is undeclared, the answer about
// a complete upload is that of a download, and the answer about any other upload is in
// the dialect that created it.
func serveStatus(x *exchange) error {
	if x.dialect.declared() {
		return x.sendStatus()
	}
	err := x.sendComplete()
	if !errors.Is(err, ErrIncompleteUpload) {
		return err
	}
	if err := x.useCreatorDialect(ErrUnsupportedVersion); err != nil {
		return err
	}
	return x.sendStatus()
}

// serveDownload serves GET on an upload.
func serveDownload(x *exchange) error {
	err := x.sendComplete()
	if !errors.Is(err, ErrIncompleteUpload) {
		return err
	}
	if !x.dialect.declared() {
		if err := x.useCreatorDialect(err); err != nil {
			return err
		}
	}
	if !x.dialect.getReturnsStatus() {
		return err
	}
	return x.sendStatus()
}

// serveTermination serves DELETE on an upload (tus: Termination; draft: Upload
// Cancellation).
func serveTermination(x *exchange) error {
	if !x.dialect.declared() {
		if err := x.useCreatorDialect(ErrUnsupportedVersion); err != nil {
			return err
		}
	}
	if err := x.dialect.checkTermination(x); err != nil {
		return err
	}
	res, err := x.h.engine.terminate(x.operation(), x.id)
	if err == nil {
		x.respond(http.StatusNoContent, res.response)
	}
	return err
}

// useCreatorDialect switches an exchange with an undeclared dialect to the IETF draft,
// if the draft created the upload. For all other uploads it returns otherwise.
func (x *exchange) useCreatorDialect(otherwise error) error {
	info, err := x.h.engine.authorizedInfo(x.operation(), x.id)
	if err != nil {
		return err
	}
	if info.Dialect != DialectIETF || x.h.engine.config.DisableIETF {
		return otherwise
	}
	x.setDialect(ietfDialectOf(x.r))
	return nil
}

// sendStatus answers with the state of the upload.
func (x *exchange) sendStatus() error {
	if err := x.dialect.checkStatus(x); err != nil {
		return err
	}
	info, err := x.h.engine.status(x.operation(), x.id)
	if err != nil {
		return err
	}
	return x.dialect.writeStatus(x, info)
}
