package protocoltest

import (
	"context"
	"net/http"
	"testing"

	"github.com/tus/tusd"
)

func TestMethodOverride(t *testing.T) {
	run(t, []scenario{
		{"case050_post_as_patch", "POST of an upload with override PATCH is a PATCH", overridePostAsPatch},
		{"case051_post_as_head", "POST with override HEAD answers as HEAD, the connection stays open", overridePostAsHead},
		{"case051_post_as_delete", "POST with override DELETE removes the upload", overridePostAsDelete},
		{"case052_patch_as_head", "PATCH with override HEAD answers as HEAD and writes nothing", overridePatchAsHead},
		{"case053_unknown", "an override with an unknown method: 405", overrideUnknown},
		{"case054_get_and_put", "GET of an unfinished upload: 409; PUT: 405", getAndPut},
		{"any_real_method", "the override counts whatever the real method is", overrideAnyMethod},
		{"override_twice", "two lines of the override are refused, whatever they say", overrideTwice},
		{"override_on_options", "OPTIONS stays OPTIONS, whatever the override says", overrideOnOptions},
		{"override_options", "override OPTIONS answers as OPTIONS, without a version", overrideOptions},
		{"override_not_stored", "no cache may keep an answer whose method was overridden, errors included", overrideNotStored},
		{"vary_by_override", "answers to GET and HEAD vary by the override", varyByOverride},
		{"errors_not_stored", "no cache may keep an error", errorsNotStored},
		{"guarded_not_shared", "a download that a callback guards is for no shared cache", guardedNotShared},
		{"vary_without_cors", "answers to GET vary by the override without CORS, too", varyWithoutCORS},
		{"download_switched_off", "GET without downloads: 405, and Allow does not name it", downloadSwitchedOff},
		{"termination_switched_off", "DELETE without termination: 405, and Allow does not name it", terminationSwitchedOff},
		{"creation_switched_off", "POST without creation: 405", creationSwitchedOff},
	})
}

func overriding(method string) string { return "X-HTTP-Method-Override: " + method }

func overrideTwice(e *env) {
	u := e.create(100)
	for _, second := range []string{"DELETE", "PATCH", "HEAD"} {
		e.do(http.MethodPost, u, content(40), version, octets, "Upload-Offset: 0", "X-HTTP-Method-Override: PATCH", "x-http-method-override: "+second).
			status(400).code("ERR_UNEXPECTED_HEADER")
	}
	e.wantOffset(u, 0)
}

func overridePostAsPatch(e *env) {
	u := e.create(100)
	e.do(http.MethodPost, u, content(40), version, octets, "Upload-Offset: 0", overriding("PATCH")).
		status(204).header("Upload-Offset", "40")
	e.wantOffset(u, 40)
	e.wantStored(u, content(40))
}

func overridePostAsHead(e *env) {
	u := e.create(100)
	e.do(http.MethodPost, u, nil, version, overriding("HEAD")).status(200, 204).
		header("Upload-Offset", "0").header("Upload-Length", "100")
	e.wantOffset(u, 0)
	full := e.createFull(content(100))
	e.raw(http.MethodPost, full, nil, version, overriding("HEAD")).status(200, 204).header("Upload-Offset", "100")
	e.do(http.MethodPost, "/files/unknown", nil, version, overriding("HEAD")).status(404)
	e.wantOffset(u, 0)
}

func overridePostAsDelete(e *env) {
	u := e.create(100)
	e.do(http.MethodPost, u, nil, version, overriding("DELETE")).status(204)
	e.head(u).status(404)
}

func overridePatchAsHead(e *env) {
	u := e.create(100)
	e.do(http.MethodPatch, u, content(40), version, octets, "Upload-Offset: 0", overriding("HEAD")).
		status(200, 204).header("Upload-Offset", "0")
	e.wantOffset(u, 0)
}

func overrideUnknown(e *env) {
	u := e.create(100)
	for _, method := range []string{"FOO", "FOO BAR", "CONNECT", "TRACE", "PATCH,HEAD"} {
		e.do(http.MethodPost, u, content(10), version, octets, "Upload-Offset: 0", overriding(method)).status(405)
		e.do(http.MethodPost, "/files/", nil, version, "Upload-Length: 1", overriding(method)).status(405)
	}
	e.wantOffset(u, 0)
}

func getAndPut(e *env) {
	u := e.create(100)
	e.get(u, version).status(409).code("ERR_INCOMPLETE_UPLOAD")
	e.do(http.MethodPut, u, content(100), version, octets).status(405)
	e.wantOffset(u, 0)
}

func overrideAnyMethod(e *env) {
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, "FOO"} {
		u := e.create(100)
		e.do(method, u, content(40), version, octets, "Upload-Offset: 0", overriding("PATCH")).status(204).header("Upload-Offset", "40")
		e.wantOffset(u, 40)
	}
	u := e.create(100)
	e.do(http.MethodPost, u, nil, version, overriding("head")).status(200, 204).header("Upload-Offset", "0")
}

// overrideOnOptions: a server in front may let OPTIONS pass without credentials.
func overrideOnOptions(e *env) {
	u := e.create(100)
	e.do(http.MethodOptions, u, content(40), version, octets, "Upload-Offset: 0", overriding("PATCH")).status(200).header("Tus-Version", "1.0.0")
	e.do(http.MethodOptions, u, nil, version, overriding("DELETE")).status(200)
	e.do(http.MethodOptions, "/files/", nil, version, "Upload-Length: 1", overriding("POST")).status(200)
	e.wantOffset(u, 0)
	if n := e.countUploads(); n != 1 {
		e.Errorf("%d uploads, want 1", n)
	}
}

func overrideOptions(e *env) {
	e.do(http.MethodPost, "/files/", nil, overriding("OPTIONS")).status(200).header("Tus-Version", "1.0.0")
}

func downloadSwitchedOff(e *env) {
	e.config.DisableDownload = true
	u := e.createFull(content(100))
	e.get(u, version).status(405).header("Allow", "HEAD, PATCH, DELETE, OPTIONS")
}

func terminationSwitchedOff(e *env) {
	e.config.DisableTermination = true
	u := e.create(100)
	e.terminate(u).status(405).header("Allow", "HEAD, PATCH, GET, OPTIONS")
	e.wantOffset(u, 0)
}

func creationSwitchedOff(e *env) {
	e.config.DisableCreation = true
	e.post("Upload-Length: 100").status(405)
	e.wantNoUploads()
}

// A cache knows a request by the method that was sent.
func overrideNotStored(e *env) {
	full := e.createFull(content(100))
	for _, sent := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
		for _, effective := range []string{"HEAD", "OPTIONS", "GET", "PATCH", "DELETE", "FOO"} {
			for _, target := range []string{full, "/files/unknown", "/files/"} {
				if sent != effective && (target != full || effective != "DELETE") {
					e.raw(sent, target, nil, version, overriding(effective)).header("Cache-Control", "no-store")
				}
			}
		}
	}
	e.raw(http.MethodGet, full, nil, overriding("HEAD")).status(200).header("Cache-Control", "no-store")
	e.raw(http.MethodGet, full, nil, overriding("DELETE")).status(412).header("Cache-Control", "no-store")
	e.raw(http.MethodGet, full, nil, version, overriding("DELETE")).status(204).header("Cache-Control", "no-store")
}

func varyByOverride(e *env) {
	full := e.createFull(content(100))
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		for _, target := range []string{full, "/files/unknown", "/files/"} {
			for _, header := range [][]string{nil, {fromPage}, {overriding("HEAD")}, {overriding("OPTIONS")}, {overriding("PATCH")}} {
				e.raw(method, target, nil, header...).wantList("Vary", "X-HTTP-Method-Override", "Origin")
			}
		}
	}
	e.get(full).status(200).without("Cache-Control")
}

func errorsNotStored(e *env) {
	full := e.createFull(content(100))
	e.get("/files/unknown").status(404).header("Cache-Control", "no-store")
	e.get("/files/unknown.info").status(404).header("Cache-Control", "no-store")
	e.get("/files/").status(405).header("Cache-Control", "no-store")
	e.do(http.MethodPut, full, nil, version).status(405).header("Cache-Control", "no-store")
	e.do(http.MethodHead, "/files/unknown", nil, version).status(404).header("Cache-Control", "no-store")
	e.raw(http.MethodGet, full, nil, `If-Match: "other"`).status(412).header("Cache-Control", "no-store")
	e.raw(http.MethodGet, full, nil, "Range: bytes=100-").status(416).header("Cache-Control", "no-store")
}

// Only the callback knows which clients may download it.
func guardedNotShared(e *env) {
	e.config.Callbacks.PreAccess = func(context.Context, tusd.Event) error { return nil }
	full := e.createFull(content(100))
	e.get(full).status(200).header("Cache-Control", "private")
	e.get(full, "Range: bytes=0-9").status(206).header("Cache-Control", "private")
	e.head(full).status(200).header("Cache-Control", "no-store")
}

func varyWithoutCORS(e *env) {
	e.config.CORS = &tusd.CORSConfig{Disable: true}
	full := e.createFull(content(100))
	for _, target := range []string{full, "/files/unknown", "/files/"} {
		e.get(target).header("Vary", "X-HTTP-Method-Override")
	}
}
