package tusd

import (
	"errors"
	"net/netip"
	"net/url"
	"strings"
)

// readConcat reads Upload-Concat. It returns nil and false for an ordinary upload.
func (x *exchange) readConcat() (final *finalRequest, partial bool, err error) {
	raw, present, err := singleField(x.r.Header, "Upload-Concat", ErrInvalidConcat)
	if err != nil || !present {
		return nil, false, err
	}
	config := x.h.engine.config
	if !config.offersConcatenation() {
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
	if errors.Is(err, ErrInvalidConcat) { // URLs that bypass the proxy are allowed, too
		if own, ownErr := parsePartials(list, x.origin(), x.h.basePath, config.MaxPartials); ownErr == nil {
			ids, err = own, nil
		}
	}
	return &finalRequest{partials: ids, raw: raw}, false, err
}

// parsePartials reads the list of a final upload: URLs of uploads on this server,
// absolute or relative to the creation URL, separated by spaces. most limits their
// number.
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

// longestReference is the length of the longest reference to an upload: an id with
// every byte escaped, behind a host and a base path.
const longestReference = 8 << 10

func parsePartial(ref string, base *url.URL, origin string) (string, error) {
	if len(ref) > longestReference {
		return "", ErrInvalidConcat.With(errors.New("a reference is longer than any URL of an upload"))
	}
	if id, ok := parsePlainPartial(ref, origin, base.Path); ok && origin != "" {
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

// sameHost reports whether two URLs name the same host, after normalization (RFC 3986,
// section 6.2). One may have http and the other https: proxies end TLS.
func sameHost(a, b *url.URL) bool {
	return normalizedHost(a) == normalizedHost(b)
}

// normalizedHost returns the host of a URL in lower case, with its port unless that is
// a default port of http or https.
func normalizedHost(u *url.URL) string {
	host, port := strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")), u.Port()
	if addr, err := netip.ParseAddr(host); err == nil {
		host = addr.String()
	}
	if port == "80" || port == "443" {
		port = ""
	}
	return host + ":" + port
}

// belowPath removes base from the front of an escaped path, in which letters of base
// may be escaped.
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

// parsePlainPartial reads a reference as nearly all clients write it: this server's
// origin or none, the base path, and an id of letters, digits, "-" and "_", which needs
// no decoding.
func parsePlainPartial(ref, origin, basePath string) (id string, ok bool) {
	path := strings.TrimPrefix(ref, origin)
	if id, ok = strings.CutPrefix(path, basePath); !ok || id == "" || len(id) > maxIDSegment {
		return "", false
	}
	for i := range len(id) {
		if c := id[i]; !isPlainIDByte(c) {
			return "", false
		}
	}
	return strings.Clone(id), true // a copy, which does not keep the request in memory
}

// rawConcat returns Upload-Concat as the client has sent it, or an equivalent for
// records without it.
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

// finalWithoutContent refuses a final upload with content.
func (x *exchange) finalWithoutContent(op *operation) error {
	if op.body == nil {
		return nil
	}
	op.body = nil
	return x.refuseContent(ErrModifyFinal)
}

func isPlainIDByte(c byte) bool {
	return 'a' <= c|0x20 && c|0x20 <= 'z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}
