package tusd

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
)

// The dialect of the IETF draft "Resumable Uploads for HTTP", interop versions
// 3 to 9: headers to operations, results to status and headers. What depends
// on the version stands in one table.

const (
	partialUpload  = "application/partial-upload"
	interopField   = "Upload-Draft-Interop-Version"
	problemTypes   = "https://iana.org/assignments/http-problem-types#"
	newestInterop  = 9
	statusProgress = 104 // Upload Resumption Supported
)

// rufhVersion is one version of the draft. Sending more than a version asks
// for is legal in all of them, so only what contradicts is here.
type rufhVersion struct {
	interop        int64
	inverted       bool // Upload-Incomplete in place of Upload-Complete
	presumed       bool // a PATCH that says nothing of completeness completes
	anyMedia       bool // PATCH takes any Content-Type
	appended       int  // status of a PATCH that went well
	pureHead       bool // HEAD and DELETE with fields of an append are refused
	quiet          bool // no 104 but the one that tells of the upload
	completedTwice bool // a PATCH on a complete upload has a problem type of its own
	spoils         bool // an upload that was sent too much for is done for
	tooLong        int  // status of content beyond the length of the upload; 0: that of the error
	tusJS          bool // tus-js-client 4 speaks it, so HEAD minds how that reads it
}

// rufhVersions are the versions that are spoken, the newest last.
var rufhVersions = []rufhVersion{
	{interop: 3, inverted: true, presumed: true, anyMedia: true, appended: 201, pureHead: true, quiet: true},
	{interop: 4, presumed: true, anyMedia: true, appended: 201, pureHead: true, quiet: true},
	{interop: 5, presumed: true, anyMedia: true, appended: 201, pureHead: true, tusJS: true},
	{interop: 6, presumed: true, appended: 201, pureHead: true, completedTwice: true, tooLong: 400, tusJS: true},
	{interop: 7, appended: 204, completedTwice: true},
	{interop: 8, appended: 204, completedTwice: true, spoils: true},
	{interop: newestInterop, appended: 204, spoils: true},
}

// rufhMarked tells whether a request speaks the draft, as far as its fields
// parse.
func rufhMarked(r *http.Request) bool {
	if _, ok := fieldInteger(r.Header, interopField); ok {
		return true
	}
	for _, name := range []string{"Upload-Complete", "Upload-Incomplete"} {
		if _, ok := fieldBool(r.Header, name); ok {
			return true
		}
	}
	return isMediaType(r.Header, partialUpload)
}

// speakRufh makes the exchange one of the draft, in the version that the
// request names, or the newest. Only a version that was named is answered
// with informational responses.
func (x *exchange) speakRufh() {
	x.dialect = DialectIETF
	x.Header().Del("Tus-Resumable")
	x.rufh = &rufhVersions[len(rufhVersions)-1]
	named, ok := fieldInteger(x.r.Header, interopField)
	for i := range rufhVersions {
		if ok && rufhVersions[i].interop == named {
			x.rufh, x.named = &rufhVersions[i], true
			x.Header().Set(interopField, formatInt(named))
		}
	}
	x.Header().Set("Upload-Limit", x.h.uploadLimit())
	if x.method == http.MethodPost || x.method == http.MethodPut || x.method == http.MethodPatch {
		x.sayComplete(false) // until it is known better, on errors, too
	}
}

// completeness reads whether the request's content ends the upload.
func (x *exchange) completeness() (complete, ok bool) {
	if x.rufh.inverted {
		more, ok := fieldBool(x.r.Header, "Upload-Incomplete")
		return !more, ok
	}
	return fieldBool(x.r.Header, "Upload-Complete")
}

// sayComplete answers whether the upload is complete.
func (x *exchange) sayComplete(complete bool) {
	name := "Upload-Complete"
	if x.rufh.inverted {
		name, complete = "Upload-Incomplete", !complete
	}
	x.Header().Set(name, map[bool]string{true: "?1", false: "?0"}[complete])
}

// uploadLimit is the value of Upload-Limit.
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

// rufhOptions adds to the answer of OPTIONS what the draft asks for.
func rufhOptions(x *exchange) {
	x.Header().Set("Upload-Limit", x.h.uploadLimit())
	x.Header().Set("Accept-Patch", offsetStream+", "+partialUpload)
}

// rufhCreate serves POST, PUT and PATCH on the creation URL.
func rufhCreate(x *exchange) error {
	c := x.call()
	req, err := x.rufhCreation(c)
	if err != nil {
		return err
	}
	res, err := x.h.engine.create(c, req)
	if res.exists() {
		x.locate(res.info.ID)
		x.tellRufh(*res.info)
	}
	if err != nil {
		return err
	}
	x.respond(http.StatusCreated, res.response)
	return nil
}

// rufhCreation reads the headers of a creation.
func (x *exchange) rufhCreation(c *call) (creation, error) {
	complete, ok := x.completeness()
	if !ok {
		return creation{}, ErrInvalidComplete
	}
	req := creation{open: true, complete: complete, spoils: x.rufh.spoils, length: -1}
	if representationSize(x.r.Header) > x.h.engine.config.MaxMetaData {
		return req, ErrMetaDataTooLarge
	}
	req.metadata = rufhMetaData(x.r.Header)
	if len(SerializeMetaData(req.metadata)) > x.h.engine.config.MaxMetaData {
		return req, ErrMetaDataTooLarge
	}
	req.digests = namedDigests(x.r.Header["Repr-Digest"], x.r.Header["Want-Repr-Digest"])
	if length, ok := fieldInteger(x.r.Header, "Upload-Length"); ok {
		req.length = length
	}
	if size := x.r.ContentLength; complete && size >= 0 {
		if req.length >= 0 && req.length != size {
			return req, ErrInconsistentLength
		}
		req.length = size
	}
	if !x.hasContent() {
		return req, x.proveNothing()
	}
	c.created = x.announce
	return req, x.rufhContent(c, complete)
}

// rufhContent prepares the body of a creation or an append.
func (x *exchange) rufhContent(c *call, complete bool) error {
	config, size := x.h.engine.config, x.r.ContentLength
	c.body, c.maxContent = &x.body, config.MaxAppendSize
	switch {
	case config.MaxAppendSize > 0 && size > config.MaxAppendSize:
		return ErrAppendTooLarge
	case !complete && size >= 0 && size < config.MinAppendSize:
		return ErrAppendTooSmall
	}
	x.body.proof = contentProof(x.body.from)
	if x.body.proof != nil && !config.canProve() {
		x.body.proof = nil // RFC 9530 lets a recipient pass over it
	}
	if x.informs() && !x.rufh.quiet && x.body.proof == nil {
		c.stored = x.reportProgress
	} else {
		x.awaitLateSum()
	}
	return nil
}

// proveNothing verifies the Content-Digest of a request without content.
func (x *exchange) proveNothing() error {
	if p := contentProof(x.body.from); p != nil {
		return p.verify()
	}
	return nil
}

// informs tells whether the client takes 104 responses.
func (x *exchange) informs() bool { return x.named && x.r.ProtoAtLeast(1, 1) }

// announce sends the 104 that tells a client where its upload is, before it
// has sent it.
func (x *exchange) announce(info FileInfo) {
	if x.informs() {
		x.inform(statusProgress, interopField, formatInt(x.rufh.interop), "Location", x.location(info.ID), "Upload-Limit", x.h.uploadLimit())
		if x.r.ProtoMajor == 2 {
			// After any other interim answer net/http's HTTP/2 forgets the 100
			// that a client may wait for, and does not tell whether one does.
			x.inform(http.StatusContinue)
		}
	}
}

// reportProgress sends a 104 with what is stored. It is called about once a
// second.
func (x *exchange) reportProgress(offset int64) {
	x.inform(statusProgress, interopField, formatInt(x.rufh.interop), "Upload-Offset", formatInt(offset))
}

// inform sends an interim answer with these fields and no others: net/http
// would send everything that is set for the final answer, too.
func (x *exchange) inform(status int, fields ...string) {
	header := x.Header()
	final := header.Clone()
	clear(header)
	for i := 0; i+1 < len(fields); i += 2 {
		header.Set(fields[i], fields[i+1])
	}
	x.deadlines.BeforeWrite()
	x.ResponseWriter.WriteHeader(status)
	x.deadlines.AfterWrite()
	clear(header)
	for name, values := range final {
		header[name] = values
	}
}

// tellRufh sets the headers that tell the state of an upload.
func (x *exchange) tellRufh(info FileInfo) {
	header := x.Header()
	header.Set("Upload-Offset", formatInt(info.Offset))
	if length := info.length(); length >= 0 {
		header.Set("Upload-Length", formatInt(length))
	}
	x.sayComplete(info.Complete() || info.State == StateFailed) // either way there is nothing to resume
	x.tellDigest(info)
}

// tellDigest sets Repr-Digest if a digest of the complete upload is known.
func (x *exchange) tellDigest(info FileInfo) {
	if digest := reprDigest(info); digest != "" {
		x.Header().Set("Repr-Digest", digest)
	}
}

// rufhStatus serves HEAD on an upload, and GET while it is not complete.
func rufhStatus(x *exchange) error {
	if err := x.refuseAppendFields(); err != nil {
		return err
	}
	info, err := x.h.engine.status(x.call(), x.id)
	if err != nil {
		return err
	}
	if info.IsFinal && !info.Complete() {
		return ErrUploadFinishing // it has no offset yet
	}
	x.Header()["Cache-Control"] = noStore
	x.tellRufh(info)
	if x.rufh.tusJS && !info.Complete() && info.Offset == info.length() {
		x.Header().Del("Upload-Length") // or tus-js-client takes the upload for complete and does not complete it
	}
	x.respond(http.StatusNoContent, HTTPResponse{})
	return nil
}

// refuseAppendFields holds older versions' rule that HEAD and DELETE carry no
// fields of an append.
func (x *exchange) refuseAppendFields() error {
	for _, name := range []string{"Upload-Offset", "Upload-Complete", "Upload-Incomplete"} {
		if x.rufh.pureHead && hasValue(x.r.Header, name) {
			return ErrUnexpectedHeader
		}
	}
	return nil
}

// rufhAppend serves PATCH on an upload.
func rufhAppend(x *exchange) error {
	c := x.call()
	req, err := x.rufhAppending(c)
	if err != nil {
		return cmp.Or(x.h.engine.known(c, x.id), err)
	}
	res, err := x.h.engine.append(c, &req)
	switch {
	case err != nil && !res.exists():
		return err
	case errors.Is(err, ErrMismatchedOffset):
		x.offsets = &offsets{Expected: res.info.Offset, Provided: req.offset}
		x.tellRufh(*res.info)
		x.sayComplete(false) // demanded, and true: this request completes nothing
		return err
	case errors.Is(err, ErrUploadSizeExceeded) && res.info.Complete():
		x.tellRufh(*res.info)
		return ErrUploadCompleted
	case err != nil:
		x.tellRufh(*res.info)
		return err
	}
	x.tellRufh(*res.info)
	x.respond(x.rufh.appended, res.response)
	return nil
}

// rufhAppending reads the headers of an append.
func (x *exchange) rufhAppending(c *call) (appending, error) {
	req := appending{id: x.id, length: -1, announces: true, spoils: x.rufh.spoils}
	if !x.rufh.anyMedia && !isMediaType(x.r.Header, partialUpload) {
		return req, ErrInvalidContentType
	}
	offset, ok := fieldInteger(x.r.Header, "Upload-Offset")
	if !ok {
		return req, ErrInvalidOffset
	}
	complete, ok := x.completeness()
	if !ok && !x.rufh.presumed {
		return req, ErrInvalidComplete
	}
	req.offset, req.complete = offset, complete || !ok
	if length, ok := fieldInteger(x.r.Header, "Upload-Length"); ok {
		req.length = length
	}
	if req.complete { // only then it is about what the upload will be
		req.digests = namedDigests(x.r.Header["Repr-Digest"], nil)
	}
	return req, x.rufhContent(c, req.complete)
}

// rufhTerminate serves DELETE on an upload.
func rufhTerminate(x *exchange) error {
	if err := x.refuseAppendFields(); err != nil {
		return err
	}
	return x.terminate()
}

// transientStatus prepares the answer to trouble that passes, and returns its status:
// whatever the upload is, the client has to come back.
func (x *exchange) transientStatus(status int) int {
	switch {
	case x.method == http.MethodPost || x.method == http.MethodPut || x.method == http.MethodPatch:
		x.sayComplete(false)
	case x.method == http.MethodHead && x.rufh.tusJS && !appleClient(x.r):
		return http.StatusLocked // after any other tus-js-client begins a second upload
	}
	return status
}

// appleClient tells URLSession, which speaks the same versions as tus-js-client
// and would take a 4xx for the end, by the name that all its requests carry.
func appleClient(r *http.Request) bool {
	return strings.Contains(r.UserAgent(), "CFNetwork/")
}

// offsets are the members of the problem "mismatching upload offset".
type offsets struct {
	Expected int64 `json:"expected-offset"`
	Provided int64 `json:"provided-offset"`
}

// problem is the content of an error answer (RFC 9457).
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Code   string `json:"code"`
	*offsets
}

// problemFor describes an error in the draft's way.
func (x *exchange) problemFor(e *Error, status int) string {
	p := problem{Type: "about:blank", Title: e.Message, Status: status, Code: e.Code, offsets: x.offsets}
	switch {
	case e.Is(ErrMismatchedOffset):
		p.Type = problemTypes + "mismatching-upload-offset"
	case e.Is(ErrInconsistentLength):
		p.Type = problemTypes + "inconsistent-upload-length"
	case e.Is(ErrUploadCompleted) && x.rufh.completedTwice:
		p.Type = problemTypes + "completed-upload"
	}
	body, err := json.Marshal(p)
	if err != nil {
		return fmt.Sprintf(`{"type":"about:blank","status":%d}`, status)
	}
	return string(body) + "\n"
}

// rufhMetaData keeps what the creation says of the representation, under the
// names that tus clients use.
func rufhMetaData(header http.Header) MetaData {
	metadata := make(MetaData)
	if _, _, err := parseMediaType(header.Get("Content-Type")); err == nil && !isMediaType(header, partialUpload) {
		metadata["filetype"] = header.Get("Content-Type")
	}
	if _, params, err := parseMediaType(header.Get("Content-Disposition")); err == nil && params["filename"] != "" {
		metadata["filename"] = params["filename"]
	}
	if coding := strings.TrimSpace(header.Get("Content-Encoding")); codingList(coding) {
		metadata["contentencoding"] = coding
	}
	if len(metadata) == 0 {
		return nil
	}
	return metadata
}

// representationSize is how many bytes of the header rufhMetaData reads.
func representationSize(header http.Header) int {
	return len(header.Get("Content-Type")) + len(header.Get("Content-Disposition")) + len(header.Get("Content-Encoding"))
}

// codingList tells whether s is a list of content codings.
func codingList(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_., ") == ""
}

// contentProof reads Content-Digest, or prepares for it as an announced trailer.
// It is nil if there is neither, or no algorithm that is known here, which RFC 9530
// allows to be passed over.
func contentProof(r *http.Request) *proof {
	if sums := digestSums(r.Header[contentDigestField]); len(sums) > 0 {
		return &proof{sums: sums}
	}
	if _, announced := r.Trailer[contentDigestField]; !announced {
		return nil
	}
	return &proof{sums: allSums(), late: func(sums []sum) error {
		for _, s := range digestSums(r.Trailer[contentDigestField]) {
			sums[slices.IndexFunc(sums, func(t sum) bool { return t.algorithm == s.algorithm })].want = s.want
		}
		return nil
	}}
}

// digestSums reads the digests of a Content-Digest that are known here.
func digestSums(values []string) (sums []sum) {
	if len(values) == 0 {
		return nil
	}
	for i, item := range fieldAlgorithms(values) {
		if item.kind == bytesValue {
			sums = append(sums, sum{&algorithms[i], algorithms[i].hash(), item.digest()})
		}
	}
	return sums
}

// namedDigests reads Repr-Digest: every algorithm that is known here is kept
// and compared. If there is none, it is the one of Want-Repr-Digest that the
// client prefers.
func namedDigests(values, wishes []string) []Digest {
	if len(values) == 0 && len(wishes) == 0 {
		return nil
	}
	var digests []Digest
	for i, item := range fieldAlgorithms(values) {
		if item.kind == bytesValue && item.encoded != "" {
			digests = append(digests, Digest{Algorithm: algorithms[i].field, Want: item.digest()})
		}
	}
	if len(digests) > 0 {
		return digests
	}
	var favourite string
	var most int64
	for i, item := range fieldAlgorithms(wishes) {
		if item.kind == integerValue && item.integer > most {
			favourite, most = algorithms[i].field, item.integer
		}
	}
	if favourite == "" {
		return nil
	}
	return []Digest{{Algorithm: favourite}}
}
