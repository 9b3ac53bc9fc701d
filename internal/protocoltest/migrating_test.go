package protocoltest

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

// Differences from tusd v2.10 in docs/migrating.md that no other test shows.

// statusesOfV2 are the codes of tusd v2.10 with their statuses. They are compared with the
// statuses in tus 1.0.
var statusesOfV2 = map[*tusd.Error]int{
	tusd.ErrUnsupportedVersion:       412,
	tusd.ErrInvalidUploadLength:      400,
	tusd.ErrAmbiguousUploadLength:    400,
	tusd.ErrInvalidUploadLengthDefer: 400,
	tusd.ErrMaxSizeExceeded:          413,
	tusd.ErrUploadSizeExceeded:       413,
	tusd.ErrInvalidContentType:       400,
	tusd.ErrInvalidOffset:            400,
	tusd.ErrMismatchedOffset:         409,
	tusd.ErrNotFound:                 404,
	tusd.ErrUploadLocked:             423,
	tusd.ErrLockTimeout:              500,
	tusd.ErrNotImplemented:           501,
	tusd.ErrInvalidConcat:            400,
	tusd.ErrConcatenationUnsupported: 400,
	tusd.ErrModifyFinal:              403,
	tusd.ErrUploadRejected:           400,
	tusd.ErrTerminationRejected:      400,
	tusd.ErrUploadInterrupted:        400,
	tusd.ErrServerShutdown:           503,
	tusd.ErrUnexpectedEOF:            400,
	tusd.ErrReadTimeout:              500,
	tusd.ErrConnectionReset:          500,
	tusd.ErrOriginNotAllowed:         403,
	tusd.ErrIncompleteUpload:         400,
	tusd.ErrInternal:                 500,
}

// otherStatuses are the statuses of this server that differ.
var otherStatuses = map[*tusd.Error]int{
	tusd.ErrInvalidContentType: 415,
	tusd.ErrIncompleteUpload:   409,
	tusd.ErrLockTimeout:        423,
	tusd.ErrUploadInterrupted:  423,
	tusd.ErrUnexpectedEOF:      500,
}

func TestStatusesOfV2(t *testing.T) {
	for e, want := range statusesOfV2 {
		if other, differs := otherStatuses[e]; differs {
			want = other
		}
		if e.Status.Tus != want {
			t.Errorf("%s is %d, want %d", e.Code, e.Status.Tus, want)
		}
	}
}

func TestMigrating(t *testing.T) {
	runOn(t, fileStore, protocols, []scenario{
		{"request_id", "every answer has an X-Request-ID: the client's, or a new one if that is too long or strange", migratingRequestID},
		{"content_length_of_head", "HEAD of tus describes no content: its Content-Length is 0", migratingHead},
		{"slash_at_the_end", "a slash behind an upload's URL is part of the id, which is invalid then", migratingSlash},
		{"extensions", "the extensions are those of tusd v2 in its order, with others between", migratingExtensions},
		{"options_tells_both", "OPTIONS tells of tus and of the IETF draft, whatever its headers", migratingOptions},
		{"cors_lists", "the lists of CORS are those of tusd v2 with others behind", migratingCORS},
		{"vary", "every answer says that it varies with Origin, also without one", migratingVary},
		{"finished_takes_no_more", "content for a finished upload is refused with 413, not discarded", migratingFinished},
		{"disposition", "a file name is given in a form that every browser reads", migratingDisposition},
		{"metadata_is_sorted", "Upload-Metadata of a record without its raw form is sorted", migratingMetadata},
		{"impossible_length", "a length that would overflow in sums is refused with 413", migratingImpossible},
		{"override_of_any_case", "the overriding method may be written in lower case", migratingOverride},
	})
}

func migratingRequestID(e *env) {
	for given, kept := range map[string]bool{
		"req-1_2.3": true, strings.Repeat("x", 36): true, strings.Repeat("x", 37): false, "with space": false,
	} {
		a := e.post("Upload-Length: 1", "X-Request-ID: "+given).status(201)
		if got := a.Header.Get("X-Request-Id"); got == "" || (got == given) != kept {
			e.Errorf("X-Request-ID %q is answered with %q; kept: %t", given, got, kept)
		}
	}
	e.options("/files/").headerMatches("X-Request-Id", "^[0-9a-f]{16}$")
}

func migratingHead(e *env) {
	u := e.create(100)
	e.head(u).status(200).header("Content-Length", "0").header("Upload-Length", "100")
	e.patch(u, 0, content(100)).status(204)
	e.head(u).status(200).header("Content-Length", "0")
	e.raw(http.MethodHead, u, nil).status(200).header("Content-Length", "100") // as a download's
}

func migratingSlash(e *env) {
	u := e.create(100)
	e.head(u + "/").status(404)
	e.get(u + "/").status(404).code("ERR_INVALID_UPLOAD_ID")
	e.get("/files/a%2F%2Fb").status(404).code("ERR_INVALID_UPLOAD_ID")
}

func migratingExtensions(e *env) {
	e.options("/files/").header("Tus-Extension", "creation,creation-with-upload,termination,concatenation,"+
		"concatenation-unfinished,checksum,checksum-trailer,creation-defer-length")
}

func migratingOptions(e *env) {
	e.config.DisableIETF = false
	e.config.MaxSize = 1000
	for _, header := range [][]string{nil, {"Upload-Draft-Interop-Version: 6"}} {
		a := e.options("/files/", header...).status(200).header("Tus-Version", "1.0.0").header("Tus-Max-Size", "1000")
		a.header("Upload-Limit", "min-size=0, max-size=1000").headerMatches("Accept-Patch", "application/partial-upload")
	}
}

const (
	methodsOfV2 = "POST, HEAD, PATCH, OPTIONS, GET, DELETE"
	headersOfV2 = "Authorization, Origin, X-Requested-With, X-Request-ID, X-HTTP-Method-Override, Content-Type, Upload-Length, " +
		"Upload-Offset, Tus-Resumable, Upload-Metadata, Upload-Defer-Length, Upload-Concat, Upload-Incomplete, Upload-Complete, " +
		"Upload-Draft-Interop-Version"
	exposedByV2 = "Upload-Offset, Location, Upload-Length, Tus-Version, Tus-Resumable, Tus-Max-Size, Tus-Extension, Upload-Metadata, " +
		"Upload-Defer-Length, Upload-Concat, Upload-Incomplete, Upload-Complete, Upload-Draft-Interop-Version"
)

func migratingCORS(e *env) {
	e.config.DisableIETF = false
	e.options("/files/", fromPage).
		header("Access-Control-Allow-Methods", methodsOfV2+", PUT").
		header("Access-Control-Allow-Headers", headersOfV2+", Upload-Checksum, Content-Disposition, Content-Encoding, Content-Digest, Repr-Digest, Want-Repr-Digest")
	e.post("Upload-Length: 1", fromPage).
		header("Access-Control-Expose-Headers", exposedByV2+", Upload-Limit, Upload-Expires, Accept-Patch, Tus-Checksum-Algorithm, Repr-Digest, Retry-After, X-Request-ID, "+
			"Accept-Ranges, Content-Disposition, Content-Range, ETag")
}

func migratingVary(e *env) {
	u := e.post("Upload-Length: 1").status(201).header("Vary", "Origin").location()
	e.head(u).wantList("Vary", "Origin")
	e.get("/files/unknown").status(404).wantList("Vary", "Origin")
}

func migratingFinished(e *env) {
	data := content(100)
	u := e.createFull(data)
	e.patch(u, 100, []byte("x")).status(413).code("ERR_UPLOAD_SIZE_EXCEEDED")
	e.patch(u, 100, nil).status(204).header("Upload-Offset", "100")
	e.wantStored(u, data)
}

func migratingDisposition(e *env) {
	u := e.createFull([]byte("x"), encoded("filename", "a\"b\\ä/c.txt"))
	e.get(u).status(200).header("Content-Disposition", `attachment; filename="a_b___c.txt"; filename*=UTF-8''a%22b_%C3%A4_c.txt`)
}

func migratingMetadata(e *env) {
	u := e.create(1, "Upload-Metadata: z eg==,a ,m")
	e.head(u).header("Upload-Metadata", "z eg==,a ,m")
	if got := tusd.SerializeMetaData(tusd.MetaData{"z": "z", "a": "", "m": ""}); got != "a,m,z eg==" {
		e.Errorf("the metadata is %q", got)
	}
}

func migratingImpossible(e *env) {
	e.post("Upload-Length: 9223372036854775807").status(413).code("ERR_MAX_SIZE_EXCEEDED").without("Location")
}

func migratingOverride(e *env) {
	u := e.create(1)
	for _, method := range []string{http.MethodPost, http.MethodGet} {
		e.raw(method, u, []byte(nil), version, "X-HTTP-Method-Override: head").status(200).header("Upload-Offset", "0")
	}
	e.raw(http.MethodPost, u, nil, version, "X-HTTP-Method-Override: Delete").status(204)
	e.head(u).status(404)
}
