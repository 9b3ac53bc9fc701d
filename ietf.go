package tusd

import (
	"errors"
	"net/http"
	"strings"

	"github.com/tus/tusd/internal/structured"
)

// The dialect of the IETF draft "Resumable Uploads for HTTP", interop versions 3 to 9:
// it translates headers to operations, and results to status and headers. One table has
// the differences between versions.

const (
	partialUpload  = "application/partial-upload"
	interopField   = "Upload-Draft-Interop-Version"
	problemTypes   = "https://iana.org/assignments/http-problem-types#"
	newestInterop  = 9
	statusProgress = 104 // Upload Resumption Supported
)

// ietfDialect is one version of the draft. An answer may have more fields than its
// version requires, so the table has only the rules that contradict each other.
type ietfDialect struct {
	interop         int64
	noVersion       bool // the request does not name the version: it gets no informational responses
	inverted        bool // Upload-Incomplete in place of Upload-Complete
	defaultComplete bool // a PATCH without Upload-Complete completes the upload
	anyMediaType    bool // PATCH accepts any Content-Type
	appendedStatus  int  // status of a successful PATCH
	strictHead      bool // HEAD and DELETE with fields of an append are refused
	noProgress      bool // no 104 but the one with the upload's Location
	completedTwice  bool // a PATCH on a complete upload has its own problem type
	failsIfTooLong  bool // an upload fails if it gets too much content
	tooLongStatus   int  // status of content beyond the length of the upload; 0: that of the error
	agesAsExpires   bool // Upload-Limit has expires in place of max-age
	tusJS           bool // tus-js-client 4 speaks this version; HEAD works around its reading
}

// ietfVersions are the supported versions, the newest last.
var ietfVersions = [...]ietfDialect{
	{interop: 3, inverted: true, defaultComplete: true, anyMediaType: true, appendedStatus: 201, strictHead: true, noProgress: true},
	{interop: 4, defaultComplete: true, anyMediaType: true, appendedStatus: 201, strictHead: true, noProgress: true},
	{interop: 5, defaultComplete: true, anyMediaType: true, appendedStatus: 201, strictHead: true, tusJS: true},
	{interop: 6, defaultComplete: true, appendedStatus: 201, strictHead: true, completedTwice: true, tooLongStatus: 400, agesAsExpires: true, tusJS: true},
	{interop: 7, appendedStatus: 204, completedTwice: true},
	{interop: 8, appendedStatus: 204, completedTwice: true, failsIfTooLong: true},
	{interop: newestInterop, appendedStatus: 204, failsIfTooLong: true},
}

// unnamedVersion is for requests that name no version, or an unknown one.
var unnamedVersion = ietfDialect{interop: newestInterop, noVersion: true, appendedStatus: 204, failsIfTooLong: true}

// hasIETFMark reports whether a request has a mark of the draft. A field that does not
// parse is no mark.
func hasIETFMark(r *http.Request) bool {
	if _, ok := structured.Integer(r.Header, interopField); ok {
		return true
	}
	for _, name := range []string{"Upload-Complete", "Upload-Incomplete"} {
		if _, ok := structured.Bool(r.Header, name); ok {
			return true
		}
	}
	return isMediaType(r.Header, partialUpload)
}

// ietfDialectOf returns the version of the draft that a request names.
func ietfDialectOf(r *http.Request) *ietfDialect {
	if named, ok := structured.Integer(r.Header, interopField); ok {
		for i := range ietfVersions {
			if ietfVersions[i].interop == named {
				return &ietfVersions[i]
			}
		}
	}
	return &unnamedVersion
}

func (*ietfDialect) name() Dialect  { return DialectIETF }
func (*ietfDialect) declared() bool { return true }

func (d *ietfDialect) begin(x *exchange) {
	x.Header().Del("Tus-Resumable")
	if !d.noVersion {
		x.Header().Set(interopField, formatInt(d.interop))
	}
	x.Header().Set("Upload-Limit", x.h.uploadLimit())
	if x.method == http.MethodPost || x.method == http.MethodPut || x.method == http.MethodPatch {
		d.setComplete(x, false) // the default, also with errors
	}
}

// completeness reads whether the request's content completes the upload. ok is false if
// the request does not say.
func (d *ietfDialect) completeness(x *exchange) (complete, ok bool) {
	if d.inverted {
		more, ok := structured.Bool(x.r.Header, "Upload-Incomplete")
		return !more, ok
	}
	return structured.Bool(x.r.Header, "Upload-Complete")
}

// setComplete sets the field that reports whether the upload is complete.
func (d *ietfDialect) setComplete(x *exchange, complete bool) {
	name := "Upload-Complete"
	if d.inverted {
		name, complete = "Upload-Incomplete", !complete
	}
	x.Header().Set(name, map[bool]string{true: "?1", false: "?0"}[complete])
}

// uploadLimit returns the value of Upload-Limit.
func (h *Handler) uploadLimit() string {
	config := h.engine.config
	limit := "min-size=0"
	for _, l := range []struct {
		name  string
		bytes int64
	}{{"max-size", config.MaxSize}, {"max-append-size", config.MaxAppendSize}, {"min-append-size", config.MinAppendSize}} {
		if l.bytes > 0 {
			limit += ", " + l.name + "=" + formatInt(l.bytes)
		}
	}
	return limit
}

// limitOf returns the value of Upload-Limit of an upload.
func (d *ietfDialect) limitOf(x *exchange, info *FileInfo) string {
	limit := x.h.uploadLimit()
	if seconds, ok := x.h.engine.maxAge(info); ok {
		name := ", max-age="
		if d.agesAsExpires {
			name = ", expires="
		}
		limit += name + formatInt(seconds)
	}
	return limit
}

// ietfOptions adds the fields of the draft to the answer to OPTIONS.
func ietfOptions(x *exchange) {
	x.Header().Set("Upload-Limit", x.h.uploadLimit())
	x.Header().Set("Accept-Patch", offsetStream+", "+partialUpload)
}

func (d *ietfDialect) readCreation(x *exchange, op *operation) (creationRequest, error) {
	complete, ok := d.completeness(x)
	if !ok {
		return creationRequest{}, ErrInvalidComplete
	}
	req := creationRequest{announcesLength: true, complete: complete, failsIfTooLong: d.failsIfTooLong, length: -1}
	if representationSize(x.r.Header) > x.h.engine.config.MaxMetaData {
		return req, ErrMetaDataTooLarge
	}
	req.metadata = ietfMetaData(x.r.Header)
	if len(SerializeMetaData(req.metadata)) > x.h.engine.config.MaxMetaData {
		return req, ErrMetaDataTooLarge
	}
	req.digests = readReprDigest(x.r.Header["Repr-Digest"], x.r.Header["Want-Repr-Digest"])
	if length, ok := structured.Integer(x.r.Header, "Upload-Length"); ok {
		req.length = length
	}
	if size := x.r.ContentLength; complete && size >= 0 {
		if req.length >= 0 && req.length != size {
			return req, ErrInconsistentLength
		}
		req.length = size
	}
	if !x.hasContent() {
		return req, x.verifyEmpty()
	}
	if d.sendsInterim(x) {
		op.onCreated = func(info FileInfo) { d.announceUpload(x, info) }
	}
	return req, d.prepareBody(x, op, complete)
}

func (d *ietfDialect) writeCreation(x *exchange, _ *creationRequest, res operationResult, err error) error {
	if res.exists() {
		x.setLocation(res.info.ID)
		d.setStatus(x, *res.info)
	}
	if err == nil {
		x.respond(http.StatusCreated, res.response)
	}
	return err
}

// prepareBody prepares the body of a creation or an append.
func (d *ietfDialect) prepareBody(x *exchange, op *operation, complete bool) error {
	config, size := x.h.engine.config, x.r.ContentLength
	op.body, op.maxContent = &x.body, config.MaxAppendSize
	switch {
	case config.MaxAppendSize > 0 && size > config.MaxAppendSize:
		return ErrAppendTooLarge
	case !complete && size >= 0 && size < config.MinAppendSize:
		return ErrAppendTooSmall
	}
	x.body.verifier = readContentDigest(x.body.request)
	if x.body.verifier != nil && !config.offersChecksums() {
		x.body.verifier = nil // RFC 9530 lets a recipient ignore it
	}
	if d.sendsInterim(x) && !d.noProgress && x.body.verifier == nil {
		op.onStored = func(offset int64) { d.reportProgress(x, offset) }
	} else {
		x.expectTrailingChecksum()
	}
	return nil
}

// verifyEmpty verifies the Content-Digest of a request without content.
func (x *exchange) verifyEmpty() error {
	if v := readContentDigest(x.body.request); v != nil {
		return v.verify()
	}
	return nil
}

// setStatus sets the fields that describe the state of an upload.
func (d *ietfDialect) setStatus(x *exchange, info FileInfo) {
	header := x.Header()
	header.Set("Upload-Offset", formatInt(info.Offset))
	if length := info.length(); length >= 0 {
		header.Set("Upload-Length", formatInt(length))
	}
	header.Set("Upload-Limit", d.limitOf(x, &info))
	d.setComplete(x, info.Complete() || info.State == StateFailed) // either way there is nothing to resume
	x.setReprDigest(info)
}

// setReprDigest sets Repr-Digest if a digest of the complete upload is known.
func (x *exchange) setReprDigest(info FileInfo) {
	if digest := reprDigest(info); digest != "" {
		x.Header().Set("Repr-Digest", digest)
	}
}

func (*ietfDialect) getReturnsStatus() bool { return true }

func (d *ietfDialect) writeStatus(x *exchange, info FileInfo) error {
	if info.IsFinal && !info.Complete() {
		return ErrUploadFinishing // it has no offset yet
	}
	x.Header()["Cache-Control"] = noStore
	d.setStatus(x, info)
	if d.tusJS && !info.Complete() && info.Offset == info.length() {
		x.Header().Del("Upload-Length") // otherwise tus-js-client assumes that the upload is complete, and does not complete it
	}
	x.respond(http.StatusNoContent, HTTPResponse{})
	return nil
}

func (d *ietfDialect) setContentFields(x *exchange, info FileInfo) { d.setStatus(x, info) }

func (d *ietfDialect) checkStatus(x *exchange) error      { return d.refuseAppendFields(x) }
func (d *ietfDialect) checkTermination(x *exchange) error { return d.refuseAppendFields(x) }

// refuseAppendFields applies the rule of older versions that HEAD and DELETE have no
// fields of an append.
func (d *ietfDialect) refuseAppendFields(x *exchange) error {
	for _, name := range []string{"Upload-Offset", "Upload-Complete", "Upload-Incomplete"} {
		if d.strictHead && hasValue(x.r.Header, name) {
			return ErrUnexpectedHeader
		}
	}
	return nil
}

func (d *ietfDialect) readAppend(x *exchange, op *operation) (appendRequest, error) {
	req := appendRequest{id: x.id, length: -1, announcesLength: true, failsIfTooLong: d.failsIfTooLong}
	if !d.anyMediaType && !isMediaType(x.r.Header, partialUpload) {
		return req, ErrInvalidContentType
	}
	offset, ok := structured.Integer(x.r.Header, "Upload-Offset")
	if !ok {
		return req, ErrInvalidOffset
	}
	complete, ok := d.completeness(x)
	if !ok && !d.defaultComplete {
		return req, ErrInvalidComplete
	}
	req.offset, req.complete = offset, complete || !ok
	if length, ok := structured.Integer(x.r.Header, "Upload-Length"); ok {
		req.length = length
	}
	if req.complete { // only then it is the digest of the whole upload
		req.digests = readReprDigest(x.r.Header["Repr-Digest"], nil)
	}
	return req, d.prepareBody(x, op, req.complete)
}

func (d *ietfDialect) writeAppend(x *exchange, req appendRequest, res operationResult, err error) error {
	if !res.exists() || errors.Is(err, ErrUploadExpired) {
		return err
	}
	d.setStatus(x, *res.info)
	switch {
	case err == nil:
		x.respond(d.appendedStatus, res.response)
	case errors.Is(err, ErrMismatchedOffset):
		x.offsets = &offsetMembers{Expected: res.info.Offset, Provided: req.offset}
		d.setComplete(x, false) // required, and true: this request completes nothing
	case errors.Is(err, ErrUploadSizeExceeded) && res.info.Complete():
		return ErrUploadCompleted
	}
	return err
}

func (d *ietfDialect) writeError(x *exchange, e *Error) (status int, contentType, content string) {
	status = statusFor(e, DialectIETF, x.method)
	switch {
	case e.Transient:
		status = d.answerTransient(x, status)
	case d.tooLongStatus != 0 && e.Is(ErrUploadSizeExceeded):
		status = d.tooLongStatus
	}
	return status, "application/problem+json", d.problem(x, e, status)
}

// answerTransient prepares the answer to a transient error and returns its status. The
// client has to retry, whatever the state of the upload.
func (d *ietfDialect) answerTransient(x *exchange, status int) int {
	switch {
	case x.method == http.MethodPost || x.method == http.MethodPut || x.method == http.MethodPatch:
		d.setComplete(x, false)
	case x.method == http.MethodHead && d.tusJS && !appleClient(x.r):
		return http.StatusLocked // after any other status tus-js-client creates a second upload
	}
	return status
}

// appleClient reports whether the client is URLSession, by the name in all its
// requests. It speaks the same versions as tus-js-client, but gives up after a 4xx.
func appleClient(r *http.Request) bool {
	return strings.Contains(r.UserAgent(), "CFNetwork/")
}

// ietfMetaData returns the creation's headers about the representation as metadata,
// under the names that tus clients use.
func ietfMetaData(header http.Header) MetaData {
	metadata := make(MetaData)
	if _, _, err := parseMediaType(header.Get("Content-Type")); err == nil && !isMediaType(header, partialUpload) {
		metadata["filetype"] = header.Get("Content-Type")
	}
	if _, params, err := parseMediaType(header.Get("Content-Disposition")); err == nil && params["filename"] != "" {
		metadata["filename"] = params["filename"]
	}
	if coding := strings.TrimSpace(header.Get("Content-Encoding")); isCodingList(coding) {
		metadata["contentencoding"] = coding
	}
	if len(metadata) == 0 {
		return nil
	}
	return metadata
}

// representationSize returns how many bytes of the header ietfMetaData reads.
func representationSize(header http.Header) int {
	return len(header.Get("Content-Type")) + len(header.Get("Content-Disposition")) + len(header.Get("Content-Encoding"))
}

// isCodingList reports whether s is a list of content codings.
func isCodingList(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_., ") == ""
}
