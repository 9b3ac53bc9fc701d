package tusd

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"

	"github.com/bmizerany/pat"
)

// The routes. For each kind of request the dialect reads it, the engine carries it out,
// and the dialect writes the answer.

// The router chooses by the method and one of these paths. The id of the upload is
// parsed before.
const (
	creationPath = "/"
	uploadPath   = "/upload"
)

// routes fills the router with what the configuration and the store allow.
func (h *Handler) routes(config Config) {
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
	if config.offersDownload() {
		add(&h.uploadVerbs, http.MethodGet, uploadPath, serveDownload)
	}
	if config.offersTermination() {
		add(&h.uploadVerbs, http.MethodDelete, uploadPath, serveTermination)
	}
	h.corsMethods = corsMethods(h.creationVerb, h.uploadVerbs, !config.DisableCreation && !config.DisableIETF)
	h.creationVerb += http.MethodOptions
	h.uploadVerbs += http.MethodOptions
	h.extensions = extensions(config)
	h.routeCache = make(map[routeKey]exchangeFunc)
	for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodPatch, http.MethodGet, http.MethodDelete} {
		for _, path := range []string{creationPath, uploadPath} {
			to := routeKey{method, path}
			h.routeCache[to] = h.findRoute(to)
		}
	}
}

// routeKey is what the router sees of a request.
type routeKey struct{ method, path string }

// findRoute asks the router.
func (h *Handler) findRoute(to routeKey) exchangeFunc {
	var c foundRoute
	h.router.ServeHTTP(&c, &http.Request{Method: to.method, URL: &url.URL{Path: to.path}})
	return c.serve
}

// foundRoute is given to the router in place of a ResponseWriter: whoever is chosen
// enters it. Nothing else is done with it, since something always is chosen.
type foundRoute struct {
	http.ResponseWriter // nil
	serve               exchangeFunc
}

// exchangeFunc serves a kind of request. The error has still to be answered. As
// an http.Handler, behind the router, it is what was chosen.
type exchangeFunc func(*exchange) error

func (f exchangeFunc) ServeHTTP(w http.ResponseWriter, _ *http.Request) { w.(*foundRoute).serve = f }

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
	if err := h.limits.admit(x); err != nil {
		return err
	}
	if idErr != nil {
		return idErr
	}
	if x.method != x.r.Method {
		x.r = x.r.WithContext(x.r.Context()) // a copy, for all who ask the request
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
	return serve(x)
}

// serveOptions tells what the server can, in both dialects.
func serveOptions(x *exchange) {
	tusOptions(x)
	if !x.h.engine.config.DisableIETF {
		ietfOptions(x)
	}
	x.respond(http.StatusOK, HTTPResponse{})
}

// serveCreation serves requests on the creation URL.
func serveCreation(x *exchange) error {
	c := x.operation()
	req, err := x.dialect.readCreation(x, c)
	if err != nil {
		return err
	}
	res, err := x.h.engine.create(c, req)
	return x.dialect.writeCreation(x, req, res, err)
}

// serveAppend serves PATCH on an upload.
func serveAppend(x *exchange) error {
	c := x.operation()
	req, err := x.dialect.readAppend(x, c)
	if err != nil {
		return cmp.Or(x.h.engine.checkKnown(c, x.id), err) // an upload that does not exist is the first thing to be told
	}
	res, err := x.h.engine.append(c, &req)
	return x.dialect.writeAppend(x, req, res, err)
}

// serveStatus serves HEAD on an upload. In an undeclared dialect it tells of a
// complete upload what a download would, and of another one what the dialect that
// made it has to say.
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

// useCreatorDialect makes the exchange, whose dialect is undeclared, speak the one
// that has made the upload, if that is the IETF draft's. For all other uploads it
// returns otherwise.
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
