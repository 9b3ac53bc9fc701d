package tusd

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// The dialect tus 1.0: it translates headers to operations, and results to status and
// headers.

const (
	tusVersion   = "1.0.0"
	offsetStream = "application/offset+octet-stream"

	partialConcat = "partial" // Upload-Concat of a partial upload
)

// tusDialect is tus 1.0.
type tusDialect struct{}

func (tusDialect) name() Dialect          { return DialectTus }
func (tusDialect) declared() bool         { return true }
func (tusDialect) getReturnsStatus() bool { return false }

// begin sets the version, which every answer has (Core, Tus-Resumable).
func (tusDialect) begin(x *exchange) { x.Header()["Tus-Resumable"] = tusResumable }

func (tusDialect) checkStatus(*exchange) error      { return nil }
func (tusDialect) checkTermination(*exchange) error { return nil }

// extensions returns the value of Tus-Extension, or "" if there is none.
func extensions(config Config) string {
	var list []string
	add := func(offered bool, names ...string) {
		if offered {
			list = append(list, names...)
		}
	}
	creates := !config.DisableCreation
	add(creates, "creation", "creation-with-upload")
	add(config.offersTermination(), "termination")
	add(creates && config.offersConcatenation(), "concatenation", "concatenation-unfinished")
	add(config.offersChecksums(), "checksum", "checksum-trailer")
	add(creates && config.offersDeferredLength(), "creation-defer-length")
	add(config.offersExpiration(), "expiration")
	return strings.Join(list, ",")
}

// tusOptions sets the fields that describe the server (Core, OPTIONS).
func tusOptions(x *exchange) {
	header := x.Header()
	header.Set("Tus-Version", tusVersion)
	if x.h.extensions != "" {
		header.Set("Tus-Extension", x.h.extensions)
	}
	config := x.h.engine.config
	if config.offersChecksums() {
		header.Set("Tus-Checksum-Algorithm", checksumNames)
	}
	if config.MaxSize > 0 {
		header.Set("Tus-Max-Size", formatInt(config.MaxSize))
	}
}

func (tusDialect) readCreation(x *exchange, op *operation) (creationRequest, error) {
	if x.method != http.MethodPost {
		return creationRequest{}, ErrMethodNotAllowed
	}
	switch {
	case !x.hasContent():
	case isMediaType(x.r.Header, offsetStream):
		if err := x.prepareTusBody(op); err != nil {
			return creationRequest{}, err
		}
	default:
		if err := x.refuseContent(ErrInvalidContentType); err != nil {
			return creationRequest{}, err
		}
	}
	metadata, raw, err := x.readMetaData()
	if err != nil {
		return creationRequest{}, err
	}
	req := creationRequest{metadata: metadata, rawMetaData: raw}
	if req.final, req.partial, err = x.readConcat(); err != nil {
		return req, err
	}
	if req.final != nil {
		return req, x.finalWithoutContent(op)
	}
	req.digests = readReprDigest(x.r.Header["Repr-Digest"], x.r.Header["Want-Repr-Digest"])
	req.length, req.deferred, err = creationLength(x.r.Header)
	return req, err
}

func (tusDialect) writeCreation(x *exchange, req *creationRequest, res operationResult, err error) error {
	if res.exists() {
		x.setLocation(res.info.ID)
		if req.final == nil && isMediaType(x.r.Header, offsetStream) {
			x.set("Upload-Offset", formatInt(res.info.Offset))
		}
		x.setExpires(res.info)
	}
	if err == nil {
		x.respond(http.StatusCreated, res.response)
	}
	return err
}

// refuseContent returns refusal if the request has content. Many frameworks and proxies
// send a request without content as one of unknown length, so only a byte counts as
// content.
func (x *exchange) refuseContent(refusal *Error) error {
	content, err := x.body.hasBytes()
	if err == nil && content {
		return refusal
	}
	return err
}

// readMetaData reads Upload-Metadata. Several lines are one list (RFC 9110,
// section 5.3).
func (x *exchange) readMetaData() (pairs MetaData, raw string, err error) {
	values := x.r.Header["Upload-Metadata"]
	size := max(0, len(values)-1)
	for _, value := range values {
		size += len(value)
	}
	if size > x.h.engine.config.MaxMetaData {
		return nil, "", ErrMetaDataTooLarge
	}
	raw = metaDataList(values)
	pairs, err = ParseMetaData(raw)
	return pairs, raw, err
}

// creationLength reads Upload-Length and Upload-Defer-Length of a creation.
func creationLength(header http.Header) (length int64, deferred bool, err error) {
	mark, deferred, err := singleField(header, "Upload-Defer-Length", ErrInvalidUploadLengthDefer)
	if err != nil {
		return 0, false, err
	}
	if deferred && hasValue(header, "Upload-Length") {
		return 0, false, ErrAmbiguousUploadLength
	}
	if deferred {
		if mark != "1" {
			return 0, false, ErrInvalidUploadLengthDefer
		}
		return 0, true, nil
	}
	length, present, err := integerField(header, "Upload-Length", ErrInvalidUploadLength)
	if err == nil && !present {
		err = ErrInvalidUploadLength
	}
	return length, false, err
}

// writeStatus answers HEAD (Core, HEAD).
func (tusDialect) writeStatus(x *exchange, info FileInfo) error {
	header := x.Header()
	header["Cache-Control"] = noStore
	if !info.IsFinal || info.Complete() {
		x.set("Upload-Offset", formatInt(info.Offset))
	}
	switch {
	case !info.SizeIsDeferred:
		x.set("Upload-Length", formatInt(info.Size))
	case !info.IsFinal:
		header.Set("Upload-Defer-Length", "1")
	}
	if raw := rawMetaData(info); raw != "" {
		x.set("Upload-Metadata", raw)
	}
	if concat := x.rawConcat(info); concat != "" {
		header.Set("Upload-Concat", concat)
	}
	x.setExpires(&info)
	x.setReprDigest(info)
	x.respond(http.StatusOK, HTTPResponse{})
	return nil
}

// rawMetaData returns the bytes that the client has sent, or an equivalent for records
// without them.
func rawMetaData(info FileInfo) string {
	if info.RawMetaData != "" {
		return info.RawMetaData
	}
	return SerializeMetaData(info.MetaData)
}

// readAppend reads PATCH (Core, PATCH).
func (tusDialect) readAppend(x *exchange, op *operation) (appendRequest, error) {
	req := appendRequest{id: x.id, length: -1}
	if !isMediaType(x.r.Header, offsetStream) {
		return req, ErrInvalidContentType
	}
	offset, present, err := integerField(x.r.Header, "Upload-Offset", ErrInvalidOffset)
	if err == nil && !present {
		err = ErrInvalidOffset
	}
	if err != nil {
		return req, err
	}
	req.offset = offset
	length, present, err := integerField(x.r.Header, "Upload-Length", ErrInvalidUploadLength)
	if err != nil {
		return req, err
	}
	if present {
		req.length = length
	}
	return req, x.prepareTusBody(op)
}

func (tusDialect) writeAppend(x *exchange, _ appendRequest, res operationResult, err error) error {
	if res.exists() && (err == nil || errors.Is(err, ErrMismatchedOffset)) {
		x.set("Upload-Offset", formatInt(res.info.Offset))
	}
	if res.exists() && !errors.Is(err, ErrUploadExpired) {
		x.setExpires(res.info)
	}
	if err == nil {
		x.respond(http.StatusNoContent, res.response)
	}
	return err
}

// setContentFields sets fields that report, in both dialects, that the upload is
// complete.
func (tusDialect) setContentFields(x *exchange, info FileInfo) {
	header := x.Header()
	header.Set("Upload-Offset", formatInt(info.Offset))
	header.Set("Upload-Length", formatInt(info.Size))
	header.Set("Upload-Complete", "?1")
	x.setReprDigest(info)
	if info.Dialect == DialectIETF && !x.h.engine.config.DisableIETF {
		header.Set("Upload-Limit", x.h.uploadLimit())
	}
}

func (tusDialect) writeError(x *exchange, e *Error) (status int, contentType, content string) {
	return statusFor(e, DialectTus, x.method), plainText, e.Code + ": " + e.Message + "\n"
}

// The fields of tus 1.0 have simple values. A field that does not parse is an error.

// isMediaType reports whether Content-Type is want, parameters aside.
func isMediaType(header http.Header, want string) bool {
	value, _, err := singleField(header, "Content-Type", ErrInvalidContentType)
	media, _, _ := strings.Cut(value, ";")
	return err == nil && strings.EqualFold(strings.TrimSpace(media), want)
}

// singleField reads a field that may appear in a request only once.
func singleField(header http.Header, name string, bad *Error) (value string, present bool, err error) {
	values := header[name]
	if len(values) > 1 {
		return "", false, bad.With(errors.New(name + " appears twice"))
	}
	if len(values) == 0 {
		return "", false, nil
	}
	return values[0], true, nil
}

func hasValue(header http.Header, name string) bool { return len(header[name]) > 0 }

// integerField reads a field whose value is 1 to 19 digits, at most 2^63-1.
func integerField(header http.Header, name string, bad *Error) (n int64, present bool, err error) {
	value, present, err := singleField(header, name, bad)
	if err != nil || !present {
		return 0, false, err
	}
	if n, err = parseInteger(value); err != nil {
		return 0, false, bad.With(err)
	}
	return n, true, nil
}

func parseInteger(s string) (int64, error) {
	const mostDigits = 19
	if s == "" || len(s) > mostDigits || strings.Trim(s, "0123456789") != "" {
		return 0, errors.New("not an integer")
	}
	return strconv.ParseInt(s, 10, 64)
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }

// setExpires sets Upload-Expires if the upload expires.
func (x *exchange) setExpires(info *FileInfo) {
	if at := x.h.engine.expiresAt(info); !at.IsZero() {
		x.set("Upload-Expires", at.UTC().Format(http.TimeFormat))
	}
}
