package tusd

import (
	"encoding/base64"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// The dialect tus 1.0: headers to operations, results to status and headers.

const (
	tusVersion   = "1.0.0"
	offsetStream = "application/offset+octet-stream"

	partialConcat = "partial" // Upload-Concat of a partial upload
)

// tusDialect is tus 1.0.
type tusDialect struct{}

func (tusDialect) name() Dialect    { return DialectTus }
func (tusDialect) declared() bool   { return true }
func (tusDialect) getsStatus() bool { return false }

// begin sets the version, which is in every answer (Core, Tus-Resumable).
func (tusDialect) begin(x *exchange) { x.Header()["Tus-Resumable"] = tusResumable }

func (tusDialect) checkStatus(*exchange) error      { return nil }
func (tusDialect) checkTermination(*exchange) error { return nil }

// extensions is the value of Tus-Extension, or "" if there is none.
func extensions(config Config) string {
	composer := config.StoreComposer
	var list []string
	add := func(offered bool, names ...string) {
		if offered {
			list = append(list, names...)
		}
	}
	creates := !config.DisableCreation
	add(creates, "creation", "creation-with-upload")
	add(composer.Terminater != nil && !config.DisableTermination, "termination")
	add(creates && composer.Concater != nil && !config.DisableConcatenation, "concatenation", "concatenation-unfinished")
	add(config.canProve(), "checksum", "checksum-trailer")
	add(creates && composer.LengthDeferrer != nil && !config.DisableDeferLength, "creation-defer-length")
	return strings.Join(list, ",")
}

// tusOptions answers what the server can (Core, OPTIONS). 200 rather than 204
// for the preflights of old browsers.
func tusOptions(x *exchange) {
	header := x.Header()
	header.Set("Tus-Version", tusVersion)
	if x.h.extensions != "" {
		header.Set("Tus-Extension", x.h.extensions)
	}
	config := x.h.engine.config
	if config.canProve() {
		header.Set("Tus-Checksum-Algorithm", checksumNames)
	}
	if config.MaxSize > 0 {
		header.Set("Tus-Max-Size", formatInt(config.MaxSize))
	}
}

func (tusDialect) readCreation(x *exchange, c *call) (creation, error) {
	if x.method != http.MethodPost {
		return creation{}, ErrMethodNotAllowed
	}
	switch {
	case !x.hasContent():
	case isMediaType(x.r.Header, offsetStream):
		if err := x.tusContent(c); err != nil {
			return creation{}, err
		}
	default:
		if err := x.nothing(ErrInvalidContentType); err != nil {
			return creation{}, err
		}
	}
	metadata, raw, err := x.metadata()
	if err != nil {
		return creation{}, err
	}
	req := creation{metadata: metadata, raw: raw}
	if req.final, req.partial, err = x.concat(); err != nil {
		return req, err
	}
	if req.final != nil {
		return req, x.finalWithoutContent(c)
	}
	req.digests = namedDigests(x.r.Header["Repr-Digest"], x.r.Header["Want-Repr-Digest"])
	req.length, req.deferred, err = creationLength(x.r.Header)
	return req, err
}

// finalWithoutContent refuses a final upload with content.
func (x *exchange) finalWithoutContent(c *call) error {
	if c.body == nil {
		return nil
	}
	c.body = nil
	return x.nothing(ErrModifyFinal)
}

func (tusDialect) writeCreation(x *exchange, req creation, res result, err error) error {
	if res.exists() {
		x.locate(res.info.ID)
		if req.final == nil && isMediaType(x.r.Header, offsetStream) {
			x.set("Upload-Offset", formatInt(res.info.Offset))
		}
	}
	if err == nil {
		x.respond(http.StatusCreated, res.response)
	}
	return err
}

// nothing refuses content. Many frameworks and proxies send a request without any
// as one whose length is not known, so that only a byte makes it content.
func (x *exchange) nothing(refusal *Error) error {
	content, err := x.body.begins()
	if err == nil && content {
		return refusal
	}
	return err
}

// tusContent prepares the body of a creation or an append.
func (x *exchange) tusContent(c *call) error {
	proof, err := tusProof(x.body.from)
	if err != nil {
		return err
	}
	can := x.h.engine.config.canProve()
	if proof != nil && !can {
		return ErrInvalidChecksum.With(errors.New("the store cannot take checksums"))
	}
	if proof == nil && can {
		proof = digestProof(x.body.from)
	}
	c.body, x.body.proof = &x.body, proof
	x.awaitLateSum()
	return nil
}

// digestProof reads Content-Digest, which belongs to HTTP and not to a dialect. A
// checksum of tus beside it may not come unseen.
func digestProof(r *http.Request) *proof {
	p := contentProof(r)
	if p == nil {
		return nil
	}
	late := p.late
	p.late = func(sums []sum) error {
		err := noTrailer(r)
		if err == nil && late != nil {
			err = late(sums)
		}
		return err
	}
	return p
}

// metadata reads Upload-Metadata. Several lines are one list (RFC 9110,
// section 5.3).
func (x *exchange) metadata() (pairs MetaData, raw string, err error) {
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

// concat reads Upload-Concat: nil and false is an ordinary upload.
func (x *exchange) concat() (final *concatenation, partial bool, err error) {
	raw, present, err := single(x.r.Header, "Upload-Concat", ErrInvalidConcat)
	if err != nil || !present {
		return nil, false, err
	}
	config := x.h.engine.config
	if config.StoreComposer.Concater == nil || config.DisableConcatenation {
		return nil, false, ErrConcatenationUnsupported
	}
	if raw == partialConcat {
		return nil, true, nil
	}
	list, ok := strings.CutPrefix(raw, "final;")
	if !ok {
		return nil, false, ErrInvalidConcat
	}
	if hasValue(x.r.Header, "Upload-Length") || hasValue(x.r.Header, "Upload-Defer-Length") {
		return nil, false, ErrInvalidUploadLength
	}
	origin, path := x.base()
	ids, err := parsePartials(list, origin, path, config.MaxPartials)
	if errors.Is(err, ErrInvalidConcat) { // they may also be named as they are reached past the proxy
		if own, ownErr := parsePartials(list, x.origin(), x.h.basePath, config.MaxPartials); ownErr == nil {
			ids, err = own, nil
		}
	}
	return &concatenation{partials: ids, raw: raw}, false, err
}

// parsePartials reads the list of a final upload: URLs of uploads on this
// server, absolute or relative to the creation URL, separated by spaces. There
// are at most so many.
func parsePartials(list, origin, basePath string, most int) ([]string, error) {
	base, err := url.Parse(origin + basePath)
	if err != nil {
		return nil, ErrInvalidConcat.With(err)
	}
	var ids []string
	for ref := range strings.FieldsFuncSeq(list, func(r rune) bool { return r == ' ' || r == '\t' }) {
		if len(ids) == most {
			return nil, ErrTooManyPartials
		}
		id, err := parsePartial(ref, base, origin)
		if err != nil {
			return nil, err
		}
		ids = append(ids, id)
	}
	if len(ids) == 0 {
		return nil, ErrInvalidConcat.With(errors.New("no partial uploads"))
	}
	return ids, nil
}

// longestReference is how long a reference can be that names an upload: an id
// with every byte escaped behind a host and a base path.
const longestReference = 8 << 10

func parsePartial(ref string, base *url.URL, origin string) (string, error) {
	if len(ref) > longestReference {
		return "", ErrInvalidConcat.With(errors.New("a reference is longer than any URL of an upload"))
	}
	if id, ok := plainPartial(ref, origin, base.Path); ok && origin != "" {
		return id, nil
	}
	u, err := base.Parse(ref)
	if err != nil {
		return "", ErrInvalidConcat.With(errors.New("a reference is no URL"))
	}
	if !sameHost(u, base) || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		(u.Scheme != "http" && u.Scheme != "https") {
		return "", ErrInvalidConcat.With(errors.New("not a URL of this server"))
	}
	escaped, ok := belowPath(u.EscapedPath(), base.Path)
	if !ok {
		return "", ErrInvalidConcat.With(errors.New("not below the base path"))
	}
	id, err := parseID(escaped)
	if err != nil {
		return "", ErrInvalidConcat.With(err)
	}
	return id, nil
}

// sameHost reports whether two URLs name one host, in whatever spelling (RFC 3986,
// section 6.2). They may differ in http and https: proxies end TLS.
func sameHost(a, b *url.URL) bool {
	return plainHost(a) == plainHost(b)
}

// plainHost is the host of a URL in lower case, with its port if that is not one of
// those that http and https mean.
func plainHost(u *url.URL) string {
	host, port := strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), u.Port()
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.String()
	}
	if port == "80" || port == "443" {
		port = ""
	}
	return host + ":" + port
}

// belowPath cuts base off an escaped path, in which letters of base may be escaped.
func belowPath(escaped, base string) (rest string, ok bool) {
	end := 0
	for range strings.Count(base, "/") {
		slash := strings.IndexByte(escaped[end:], '/')
		if slash < 0 {
			return "", false
		}
		end += slash + 1
	}
	path, err := url.PathUnescape(escaped[:end])
	return escaped[end:], err == nil && path == base
}

// plainPartial takes the id from a reference as nearly all clients write it:
// this server's origin or none, the base path, and an id of letters, digits,
// "-" and "_", which means itself.
func plainPartial(ref, origin, basePath string) (id string, ok bool) {
	path := strings.TrimPrefix(ref, origin)
	if id, ok = strings.CutPrefix(path, basePath); !ok || id == "" || len(id) > maxIDSegment {
		return "", false
	}
	for i := range len(id) {
		if c := id[i]; !lowerAlpha(c|0x20) && !decimal(c) && c != '-' && c != '_' {
			return "", false
		}
	}
	return strings.Clone(id), true // an id does not keep its request
}

// creationLength reads Upload-Length and Upload-Defer-Length of a creation.
func creationLength(header http.Header) (length int64, deferred bool, err error) {
	mark, deferred, err := single(header, "Upload-Defer-Length", ErrInvalidUploadLengthDefer)
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
	length, present, err := integer(header, "Upload-Length", ErrInvalidUploadLength)
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
	x.tellDigest(info)
	x.respond(http.StatusOK, HTTPResponse{})
	return nil
}

// rawMetaData is what the client sent, byte for byte, or an equivalent for
// records that do not have that.
func rawMetaData(info FileInfo) string {
	if info.RawMetaData != "" {
		return info.RawMetaData
	}
	return SerializeMetaData(info.MetaData)
}

// rawConcat is the same for Upload-Concat.
func (x *exchange) rawConcat(info FileInfo) string {
	switch {
	case info.IsPartial:
		return partialConcat
	case !info.IsFinal:
		return ""
	case info.RawConcat != "":
		return info.RawConcat
	}
	urls := make([]string, len(info.PartialUploads))
	for i, id := range info.PartialUploads {
		urls[i] = x.location(id)
	}
	return "final;" + strings.Join(urls, " ")
}

// readAppend reads PATCH (Core, PATCH).
func (tusDialect) readAppend(x *exchange, c *call) (appending, error) {
	req := appending{id: x.id, length: -1}
	if !isMediaType(x.r.Header, offsetStream) {
		return req, ErrInvalidContentType
	}
	offset, present, err := integer(x.r.Header, "Upload-Offset", ErrInvalidOffset)
	if err == nil && !present {
		err = ErrInvalidOffset
	}
	if err != nil {
		return req, err
	}
	req.offset = offset
	length, present, err := integer(x.r.Header, "Upload-Length", ErrInvalidUploadLength)
	if err != nil {
		return req, err
	}
	if present {
		req.length = length
	}
	return req, x.tusContent(c)
}

func (tusDialect) writeAppend(x *exchange, _ appending, res result, err error) error {
	if res.exists() && (err == nil || errors.Is(err, ErrMismatchedOffset)) {
		x.set("Upload-Offset", formatInt(res.info.Offset))
	}
	if err == nil {
		x.respond(http.StatusNoContent, res.response)
	}
	return err
}

// setContentFields says in both dialects that the upload is complete.
func (tusDialect) setContentFields(x *exchange, info FileInfo) {
	header := x.Header()
	header.Set("Upload-Offset", formatInt(info.Offset))
	header.Set("Upload-Length", formatInt(info.Size))
	header.Set("Upload-Complete", "?1")
	x.tellDigest(info)
	if info.Dialect == DialectIETF && !x.h.engine.config.DisableIETF {
		header.Set("Upload-Limit", x.h.uploadLimit())
	}
}

func (tusDialect) writeError(x *exchange, e *Error) (status int, contentType, content string) {
	return statusFor(e, DialectTus, x.method), plainText, e.Code + ": " + e.Message + "\n"
}

// checksumField is the name of the header and of the trailer.
const checksumField = "Upload-Checksum"

// tusProof reads Upload-Checksum, or prepares for it as a trailer; nil if
// there is neither.
func tusProof(r *http.Request) (*proof, error) {
	value, inHeader, err := single(r.Header, checksumField, ErrInvalidChecksum)
	if err != nil {
		return nil, err
	}
	_, announced := r.Trailer[checksumField]
	announced = announced || slices.ContainsFunc(r.Header["Trailer"], namesChecksum) // net/http leaves it there if the request's framing has no trailers
	switch {
	case inHeader && announced:
		return nil, ErrInvalidChecksum.With(errors.New("both as header and as trailer"))
	case inHeader:
		a, want, err := parseChecksum(value)
		if err != nil {
			return nil, err
		}
		late := func([]sum) error { return noTrailer(r) }
		return &proof{sums: []sum{{a, a.hash(), want}}, late: late}, nil
	case announced:
		return trailerProof(r), nil
	}
	return nil, nil
}

// namesChecksum reports whether a list of field names has that of the checksum.
func namesChecksum(list string) bool {
	for name := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.TrimSpace(name), checksumField) {
			return true
		}
	}
	return false
}

// noTrailer refuses a checksum trailer behind a checksum in the header.
func noTrailer(r *http.Request) error {
	if hasValue(r.Trailer, checksumField) {
		return ErrInvalidChecksum.With(errors.New("a trailer, and a checksum in the header"))
	}
	return nil
}

// trailerProof hashes with everything that is offered: which it is comes last.
func trailerProof(r *http.Request) *proof {
	p := &proof{}
	for i := range algorithms {
		if algorithms[i].tus != "" {
			p.sums = append(p.sums, sum{algorithm: &algorithms[i], hash: algorithms[i].hash()})
		}
	}
	p.late = func(sums []sum) error {
		value, present, err := single(r.Trailer, checksumField, ErrInvalidChecksum)
		if err == nil && !present {
			err = ErrInvalidChecksum.With(errors.New("the announced trailer is missing"))
		}
		if err != nil {
			return err
		}
		a, want, err := parseChecksum(value)
		for i := range sums {
			if err == nil && sums[i].algorithm == a {
				sums[i].want = want
			}
		}
		return err
	}
	return p
}

// parseChecksum reads the name of an algorithm, one space, and base64. A
// value of the wrong length is no syntax error but a mismatch.
func parseChecksum(s string) (*algorithm, []byte, error) {
	name, encoded, ok := strings.Cut(s, " ")
	a := tusAlgorithm(name)
	if !ok || a == nil {
		return nil, nil, ErrInvalidChecksum.With(errors.New("unknown algorithm or no value"))
	}
	want, err := decodeDigest(encoded)
	if err != nil || encoded == "" || strings.ContainsAny(encoded, "\r\n") {
		return nil, nil, ErrInvalidChecksum.With(errors.New("the value is no base64"))
	}
	return a, want, nil
}

var strictBase64 = base64.StdEncoding.Strict()

// decodeDigest decodes base64 that is to be compared with a digest. What is too
// long for any is cut, once it is known to decode: it is as different.
func decodeDigest(encoded string) (decoded []byte, err error) {
	const step = longestDigest / 3 * 4
	var in [step]byte
	var out [longestDigest]byte
	for rest := encoded; rest != "" && err == nil; {
		n := copy(in[:], rest)
		rest = rest[n:]
		if rest != "" && in[n-1] == '=' {
			return nil, errors.New("padding before the end")
		}
		n, err = strictBase64.Decode(out[:], in[:n])
		if decoded == nil {
			decoded = slices.Clone(out[:n])
		}
	}
	return decoded, err
}
