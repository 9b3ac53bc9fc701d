package protocoltest

import (
	"net/http"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/tusclient"
)

func TestCreationWithUpload(t *testing.T) {
	run(t, []scenario{
		{"case087_whole", "POST with the whole content: 201 with Upload-Offset, complete", cwuWhole},
		{"case088_part", "POST with a part, PATCH of the rest", cwuPart},
		{"case089_type", "POST with content of another type: 415, nothing created", cwuType},
		{"case090_too_long", "POST with more content than Upload-Length: 413, no upload that is too long", cwuTooLong},
		{"case091_deferred", "POST with content and Upload-Defer-Length: 201, Upload-Offset, HEAD still deferred", cwuDeferred},
		{"case092_empty", "POST of the right type without content: 201 with Upload-Offset 0", cwuEmpty},
		{"case093_cut", "POST that is cut: what arrived is kept under a name that its answer would have told", cwuCut},
		{"case095_final", "POST of a final with content: 403, nothing created", cwuFinal},
		{"chunked", "POST with content of unknown length: 201 with Upload-Offset", cwuChunked},
		{"failed_creation_tells_location", "a creation that stored something before failing carries its Location", cwuFailedTellsLocation},
	})
}

func cwuWhole(e *env) {
	data := content(12)
	u := e.postWith(data, "Upload-Length: 12").status(201).header("Upload-Offset", "12").location()
	e.wantOffset(u, 12)
	e.wantStored(u, data)
	e.get(u).status(200)
}

func cwuPart(e *env) {
	data := content(100)
	u := e.postWith(data[:40], "Upload-Length: 100").status(201).header("Upload-Offset", "40").location()
	e.wantOffset(u, 40)
	e.patch(u, 40, data[40:]).status(204).header("Upload-Offset", "100")
	e.wantStored(u, data)
}

func cwuType(e *env) {
	for _, header := range [][]string{nil, {"Content-Type: text/plain"}, {"Content-Type: text/plain", chunked}} {
		e.do(http.MethodPost, "/files/", content(12), append(header, version, "Upload-Length: 12")...).status(415).without("Location")
	}
	e.wantNoUploads()
	// Without content the type does not matter.
	e.post("Upload-Length: 12", "Content-Type: text/plain").status(201)
}

func cwuTooLong(e *env) {
	e.postWith(content(13), "Upload-Length: 12").status(413)
	e.wantNoUploads()
	a := e.postWith(content(13), "Upload-Length: 12", chunked).status(413)
	if a.Header.Get("Location") == "" {
		e.wantNoUploads()
		return
	}
	if n := e.offset(a.location()); n >= 12 {
		e.Errorf("offset %d: the body that was too long completed the upload", n)
	}
}

func cwuDeferred(e *env) {
	u := e.postWith(content(40), "Upload-Defer-Length: 1").status(201).header("Upload-Offset", "40").location()
	e.wantDeferredAt40(u)
}

func cwuEmpty(e *env) {
	u := e.postWith(nil, "Upload-Length: 12").status(201).header("Upload-Offset", "0").location()
	e.wantOffset(u, 0)
	u = e.postWith(nil, "Upload-Length: 0").status(201).header("Upload-Offset", "0").location()
	e.get(u).status(200, 204)
}

func cwuChunked(e *env) {
	u := e.postWith(content(40), "Upload-Length: 100", chunked).status(201).header("Upload-Offset", "40").location()
	e.wantOffset(u, 40)
}

func cwuFinal(e *env) {
	a, b := e.createPartial(content(10)), e.createPartial(content(10))
	before := e.countUploads()
	e.postWith(content(10), "Upload-Concat: final;"+a+" "+b).status(403).code("ERR_MODIFY_FINAL").without("Location")
	if after := e.countUploads(); after != before {
		e.Errorf("%d uploads became %d", before, after)
	}
}

func cwuFailedTellsLocation(e *env) {
	e.config.StoreComposer.Core = &smallStore{DataStore: e.config.StoreComposer.Core, space: 40}
	a := e.postWith(content(100), "Upload-Length: 100").status(507).headerMatches("Location", ".")
	e.wantOffset(a.location(), 40)
}

// createBody opens a creation with content and waits until the server asks for the body.
func (c *client) createBody(length int64) *openRequest {
	c.env.Helper()
	s := c.openMethod(http.MethodPost, "/files/", length, version, octets, "Expect: 100-continue", tusclient.LengthOf(length))
	s.wantContinue()
	return s
}

func cwuCut(e *env) {
	s := e.another().createBody(100)
	s.send(content(30))
	if err := s.Abort(); err != nil {
		e.Error(err)
	}
	e.waitIdle()
	uploads, _, err := e.config.StoreComposer.Lister.List(e.Context(), "", tusd.ListFilter{}, 10)
	if err != nil || len(uploads) > 1 {
		e.Fatalf("the store has %v, %v", uploads, err)
	}
	for _, listed := range uploads {
		e.wantOffset("/files/"+listed.ID, 30)
	}
}
