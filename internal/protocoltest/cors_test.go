package protocoltest

import (
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

func TestCORS(t *testing.T) {
	runOn(t, memoryStore, protocols, []scenario{
		{"preflight", "a preflight is told methods, headers and how long to remember", corsPreflight},
		{"features", "an OPTIONS of a script's own exposes every header of the answer", corsFeatures},
		{"methods", "only methods that are switched on are allowed", corsMethodsOn},
		{"expose", "other answers expose every header of the protocol", corsExposes},
		{"on_errors", "every error has the CORS headers: a script could not read it without", corsOnErrors},
		{"without_origin", "without Origin there are no CORS headers", corsWithoutOrigin},
		{"restricted", "another origin than the allowed: 403, nothing done", corsRestricted},
		{"credentials", "credentials are allowed only if configured", corsCredentials},
		{"more", "configured methods and headers are added to the lists", corsMore},
		{"disabled", "switched off there are no CORS headers at all", corsDisabled},
	})
}

const (
	fromPage = "Origin: https://page.example"
	page     = "https://page.example"
)

// wantList checks that a comma-separated field has all names.
func (a *answer) wantList(field string, names ...string) *answer {
	a.env.Helper()
	got := strings.Split(strings.ToLower(strings.ReplaceAll(a.Header.Get(field), " ", "")), ",")
	for _, name := range names {
		if !slices.Contains(got, strings.ToLower(name)) {
			a.env.Errorf("%s: %s %q lacks %s", a.request, field, got, name)
		}
	}
	return a
}

func corsPreflight(e *env) {
	u := e.create(100)
	for _, target := range []string{"/files/", u, "/files/unknown"} {
		a := e.options(target, fromPage, "Access-Control-Request-Method: PATCH", "Access-Control-Request-Headers: tus-resumable")
		a.status(200).header("Access-Control-Allow-Origin", page).headerMatches("Access-Control-Max-Age", "^[0-9]+$")
		a.wantList("Vary", "Origin").wantList("Access-Control-Allow-Methods", "POST", "HEAD", "PATCH", "OPTIONS", "GET", "DELETE")
		a.wantList("Access-Control-Allow-Headers", "Authorization", "Origin", "X-Requested-With", "X-Request-ID",
			"X-HTTP-Method-Override", "Content-Type", "Upload-Length", "Upload-Offset", "Tus-Resumable", "Upload-Metadata",
			"Upload-Defer-Length", "Upload-Concat", "Upload-Incomplete", "Upload-Complete", "Upload-Draft-Interop-Version")
		a.without("Access-Control-Allow-Credentials")
	}
}

// wantExposed checks the CORS headers of an answer that is not a preflight.
func (a *answer) wantExposed() {
	a.env.Helper()
	a.header("Access-Control-Allow-Origin", page).wantList("Vary", "Origin")
	a.wantList("Access-Control-Expose-Headers", "Upload-Offset", "Location", "Upload-Length", "Tus-Version", "Tus-Resumable",
		"Tus-Max-Size", "Tus-Extension", "Upload-Metadata", "Upload-Defer-Length", "Upload-Concat", "Upload-Incomplete",
		"Upload-Complete", "Upload-Draft-Interop-Version")
}

func corsExposes(e *env) {
	a := e.post(fromPage, "Upload-Length: 100").status(201)
	a.wantExposed()
	u := a.location()
	e.do(http.MethodHead, u, nil, version, fromPage).status(200).wantExposed()
	e.patch(u, 0, content(100), fromPage).status(204).wantExposed()
	e.get(u, fromPage).status(200).wantExposed()
	e.do(http.MethodDelete, u, nil, version, fromPage).status(204).wantExposed()
}

// corsFeatures sends the OPTIONS of a script that reads what the server can do.
func corsFeatures(e *env) {
	e.config.MaxSize = 1000
	e.config.DisableIETF = false
	for _, target := range []string{"/files/", "/files/unknown"} {
		a := e.options(target, fromPage).status(200)
		a.wantExposed()
		exposed := a.Header.Get("Access-Control-Expose-Headers")
		for name := range a.Header {
			simple := strings.HasPrefix(name, "Access-Control-") || slices.Contains([]string{"Cache-Control", "Content-Length", "Date", "Vary", "X-Content-Type-Options", "Allow"}, name)
			if !simple && !slices.Contains(strings.Split(strings.ToLower(exposed), ", "), strings.ToLower(name)) {
				e.Errorf("%s answers %s, which a script cannot read", target, name)
			}
		}
	}
}

// corsMethodsOn checks that only enabled methods are allowed.
func corsMethodsOn(e *env) {
	e.config.DisableDownload, e.config.DisableTermination = true, true
	e.options("/files/", fromPage).header("Access-Control-Allow-Methods", "POST, HEAD, PATCH, OPTIONS")
	e.stop()
	e.config.StoreComposer = e.compose()
	e.config.DisableIETF, e.config.DisableDownload = false, false
	e.options("/files/", fromPage).header("Access-Control-Allow-Methods", "POST, HEAD, PATCH, OPTIONS, GET, PUT")
	e.stop()
	e.config.StoreComposer = e.compose()
	e.config.DisableCreation = true
	e.options("/files/", fromPage).header("Access-Control-Allow-Methods", "HEAD, PATCH, OPTIONS, GET")
}

func corsOnErrors(e *env) {
	u := e.create(100)
	e.post(fromPage).status(400).wantExposed()
	e.do(http.MethodPost, "/files/", nil, fromPage).status(412).wantExposed()
	e.do(http.MethodHead, "/files/unknown", nil, version, fromPage).status(404).wantExposed()
	e.do(http.MethodHead, "/files/unknown.info", nil, version, fromPage).status(404).wantExposed()
	e.do(http.MethodPut, u, nil, version, fromPage).status(405).wantExposed()
	e.patch(u, 50, content(10), fromPage).status(409).wantExposed()
	e.patch(u, 0, content(101), fromPage).status(413).wantExposed()
	e.patchTyped(u, "text/plain", fromPage).status(415).wantExposed()
	e.get(u, fromPage).status(409).wantExposed()
}

func corsWithoutOrigin(e *env) {
	e.options("/files/").status(200).without("Access-Control-Allow-Origin", "Access-Control-Allow-Methods")
	e.post("Upload-Length: 100").status(201).without("Access-Control-Allow-Origin", "Access-Control-Expose-Headers")
}

func corsRestricted(e *env) {
	e.config.CORS = &tusd.CORSConfig{AllowOrigin: regexp.MustCompile(`^https://page\.example$`)}
	e.post(fromPage, "Upload-Length: 100").status(201).wantExposed()
	before := e.countUploads()
	for _, origin := range []string{"https://evil.example", "https://page.example.evil.example", "null"} {
		e.post("Origin: "+origin, "Upload-Length: 100").status(403).code("ERR_ORIGIN_NOT_ALLOWED").
			without("Access-Control-Allow-Origin", "Location")
		e.options("/files/", "Origin: "+origin).status(403).without("Access-Control-Allow-Origin")
	}
	if after := e.countUploads(); after != before {
		e.Errorf("%d uploads became %d", before, after)
	}
}

func corsCredentials(e *env) {
	e.config.CORS = &tusd.CORSConfig{AllowCredentials: true}
	e.options("/files/", fromPage).header("Access-Control-Allow-Credentials", "true").header("Access-Control-Allow-Origin", page)
}

func corsMore(e *env) {
	e.config.CORS = &tusd.CORSConfig{AllowMethods: "REPORT", AllowHeaders: "X-Token, X-Other", ExposeHeaders: "X-Answer", MaxAge: "7"}
	a := e.options("/files/", fromPage).header("Access-Control-Max-Age", "7")
	a.wantList("Access-Control-Allow-Methods", "PATCH", "REPORT").wantList("Access-Control-Allow-Headers", "Upload-Offset", "X-Token", "X-Other")
	e.post(fromPage, "Upload-Length: 1").wantList("Access-Control-Expose-Headers", "Location", "X-Answer")
}

func corsDisabled(e *env) {
	e.config.CORS = &tusd.CORSConfig{Disable: true}
	e.options("/files/", fromPage).status(200).without("Access-Control-Allow-Origin", "Access-Control-Allow-Methods", "Vary")
	e.post(fromPage, "Upload-Length: 1").status(201).without("Access-Control-Allow-Origin", "Access-Control-Expose-Headers")
}
