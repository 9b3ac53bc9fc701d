package tusd

import (
	"net/http"
	"net/url"

	"github.com/bmizerany/pat"
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
	h.usual = make(map[routed]exchangeFunc)
	for _, method := range []string{http.MethodPost, http.MethodHead, http.MethodPatch, http.MethodGet, http.MethodDelete} {
		for _, path := range []string{creationPath, uploadPath} {
			to := routed{method, path}
			h.usual[to] = h.choose(to)
		}
	}
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
