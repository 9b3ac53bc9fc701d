package protocoltest

import (
	"net/http"
	"testing"
)

func TestVersion(t *testing.T) {
	run(t, []scenario{
		{"case009_post_without", "POST without Tus-Resumable: 412 with Tus-Version, nothing created", postWithoutVersion},
		{"case010_post_other", "POST with another version: 412 with Tus-Version, nothing created", postOtherVersion},
		{"case011_head", "HEAD of an unfinished upload without a version or with another: 412 with Tus-Version", headOtherVersion},
		{"case012_patch", "PATCH with another version: 412, unchanged", patchOtherVersion},
		{"case013_delete", "DELETE without version: 412, the upload is still there", deleteWithoutVersion},
		{"case014_errors_carry_it", "every error carries Tus-Resumable", errorsCarryVersion},
		{"version_must_be_exact", "Tus-Resumable must be exactly 1.0.0, once", versionMustBeExact},
		{"version_before_route", "the version is checked before the target and the method", versionBeforeRoute},
	})
	run(t, []scenario{
		{"unmarked_unknown", "HEAD, GET and DELETE without a mark on an unknown id: 404", unmarkedUnknown},
		{"unmarked_complete", "HEAD and GET without a mark on a complete upload: a download's headers and where it stands", unmarkedComplete},
		{"unmarked_unfinished", "without a mark an unfinished upload of tus answers HEAD 412, GET 409", unmarkedUnfinished},
		{"unmarked_else", "every other request without a mark: 412 without touching the store", unmarkedElse},
		{"creation_url_methods", "the creation URL takes POST and OPTIONS; else 405 with Allow", creationURLMethods},
		{"upload_url_methods", "an upload takes HEAD, PATCH, GET, DELETE and OPTIONS; else 405 with Allow", uploadURLMethods},
	})
}

func postWithoutVersion(e *env) {
	e.do(http.MethodPost, "/files/", nil, "Upload-Length: 100").status(412).code("ERR_UNSUPPORTED_VERSION").without("Location")
	e.wantNoUploads()
}

func postOtherVersion(e *env) {
	for _, v := range []string{"0.2.2", "1.0.1", "2.0.0"} {
		e.do(http.MethodPost, "/files/", nil, "Tus-Resumable: "+v, "Upload-Length: 100").status(412).without("Location")
	}
	e.wantNoUploads()
}

// wantNoUploads checks that the store is empty.
func (e *env) wantNoUploads() {
	e.Helper()
	if n := e.countUploads(); n > 0 {
		e.Errorf("the store has %d uploads, want none", n)
	}
}

func headOtherVersion(e *env) {
	u := e.create(100)
	e.do(http.MethodHead, u, nil).status(412)
	e.do(http.MethodHead, u, nil, "Tus-Resumable: 99.0.0").status(412)
}

func patchOtherVersion(e *env) {
	u := e.create(100)
	e.do(http.MethodPatch, u, content(10), "Tus-Resumable: 0.0.1", octets, "Upload-Offset: 0").status(412)
	e.do(http.MethodPatch, u, content(10), octets, "Upload-Offset: 0").status(412)
	e.wantOffset(u, 0)
}

func deleteWithoutVersion(e *env) {
	u := e.create(100)
	e.do(http.MethodDelete, u, nil).status(412)
	e.wantOffset(u, 0)
}

// errorsCarryVersion relies on do, which checks every answer.
func errorsCarryVersion(e *env) {
	u := e.create(100)
	e.post().status(400)
	e.do(http.MethodPost, "/files/", nil).status(412)
	e.head("/files/unknown").status(404)
	e.patch(u, 50, content(10)).status(409)
	e.do(http.MethodPatch, u, content(10), version, "Upload-Offset: 0").status(415)
	e.patch(u, 0, content(101)).status(413)
	e.do(http.MethodPut, u, nil, version).status(405)
}

func versionMustBeExact(e *env) {
	u := e.create(100)
	for _, v := range []string{"", "1", "1.0", "1.0.0.0", "v1.0.0", "1.0.0,1.0.0", "1.0.0 x"} {
		e.do(http.MethodPatch, u, content(10), "Tus-Resumable: "+v, octets, "Upload-Offset: 0").status(412)
	}
	e.do(http.MethodPatch, u, content(10), version, "Tus-Resumable: 9.9.9", octets, "Upload-Offset: 0").status(412)
	e.wantOffset(u, 0)
}

func versionBeforeRoute(e *env) {
	for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodPatch, http.MethodDelete, "FOO"} {
		e.do(method, "/files/unknown", nil, "Tus-Resumable: 9.9.9").status(412)
	}
	e.do("FOO", "/files/", nil).status(412)
}

func unmarkedUnknown(e *env) {
	for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodDelete} {
		e.do(method, "/files/unknown", nil).status(404).without("Upload-Offset")
	}
}

func unmarkedComplete(e *env) {
	data := content(100)
	u := e.createFull(data, "Upload-Metadata: filetype aW1hZ2UvcG5n")
	for _, method := range []string{http.MethodHead, http.MethodGet} {
		e.raw(method, u, nil).status(200).
			header("Upload-Offset", "100").header("Upload-Length", "100").header("Upload-Complete", "?1").
			header("Tus-Resumable", "1.0.0").header("X-Content-Type-Options", "nosniff").
			header("Content-Type", "image/png").header("Content-Length", "100").header("Accept-Ranges", "bytes").
			headerMatches("Content-Disposition", "^inline").headerMatches("ETag", `^"`)
	}
}

func unmarkedUnfinished(e *env) {
	u := e.create(100)
	e.do(http.MethodHead, u, nil).status(412)
	e.do(http.MethodGet, u, nil).status(409).code("ERR_INCOMPLETE_UPLOAD")
	d := e.createDeferred()
	e.do(http.MethodHead, d, nil).status(412)
	e.do(http.MethodGet, d, nil).status(409).code("ERR_INCOMPLETE_UPLOAD")
}

func unmarkedElse(e *env) {
	e.config.DisableIETF = true
	e.do(http.MethodPatch, "/files/unknown", content(10), octets, "Upload-Offset: 0").status(412)
	e.do(http.MethodPost, "/files/unknown", nil).status(412)
	e.do(http.MethodPut, "/files/unknown", content(10)).status(412)
	// Where the IETF draft is disabled its marks have no meaning.
	e.do(http.MethodPost, "/files/", content(10), "Upload-Draft-Interop-Version: 8", "Upload-Complete: ?0").status(412)
	e.wantNoUploads()
}

func creationURLMethods(e *env) {
	for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete, "FOO"} {
		e.do(method, "/files/", nil, version).status(405).header("Allow", "POST, OPTIONS")
	}
}

func uploadURLMethods(e *env) {
	u := e.create(100)
	for _, method := range []string{http.MethodPost, http.MethodPut, "FOO"} {
		e.do(method, u, nil, version).status(405).header("Allow", "HEAD, PATCH, GET, DELETE, OPTIONS")
	}
	e.wantOffset(u, 0)
}
