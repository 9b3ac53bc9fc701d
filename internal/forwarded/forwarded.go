// Package forwarded reads the fields in which proxies describe the requests that they
// forward: Forwarded (RFC 7239), X-Forwarded-Host, X-Forwarded-Proto, X-Forwarded-Port,
// X-Forwarded-Prefix and X-Forwarded-For. The operator decides which proxies are
// trusted. A field that does not parse counts as absent.
package forwarded

import (
	"cmp"
	"iter"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/tus/tusd/internal/ascii"
)

// Trust is the set of peers that are trusted. The zero value trusts peers in private
// networks about host and scheme, and no peer about the client's address.
type Trust struct {
	All      bool           // every peer is trusted about host and scheme
	Networks []netip.Prefix // of the operator's proxies; nil: the private networks, for host and scheme only
}

// privateNetworks are reached from outside only through a proxy, or from a host in
// the same network.
var privateNetworks = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"), // loopback
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"), // link-local
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), // private
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
}

// IsPrivate reports whether addr is in a private network. An invalid addr stands for a
// Unix socket, which counts as private.
func IsPrivate(addr netip.Addr) bool { return contains(privateNetworks, addr) }

// Names reports whether addr is in one of the operator's networks. An invalid addr
// stands for a Unix socket, which counts if the operator has named any network.
func (t Trust) Names(addr netip.Addr) bool { return contains(t.Networks, addr) }

func contains(networks []netip.Prefix, addr netip.Addr) bool {
	if !addr.IsValid() {
		return len(networks) > 0
	}
	for _, n := range networks {
		if n.Contains(addr) {
			return true
		}
	}
	return false
}

// Trusts reports whether a peer is trusted about host and scheme.
func (t Trust) Trusts(peer netip.Addr) bool {
	switch {
	case t.All:
		return true
	case t.Networks == nil:
		return contains(privateNetworks, peer)
	}
	return contains(t.Networks, peer)
}

// Client returns the address of the client that made the request. That is the peer, or,
// if the peer is one of the operator's proxies, the nearest address before it that is
// not. The address is invalid if it is unknown. X-Forwarded-For comes before Forwarded
// because nearly all proxies write it; a proxy that writes only Forwarded has to remove
// X-Forwarded-For.
func (t Trust) Client(r *http.Request, peer netip.Addr) netip.Addr {
	if t.Networks == nil || !contains(t.Networks, peer) {
		return peer
	}
	return t.nearest(r, peer)
}

// nearest is Client for a peer that is one of the operator's proxies. It is a function
// of its own because variables that a loop over hops changes are allocated.
func (t Trust) nearest(r *http.Request, peer netip.Addr) netip.Addr {
	hops := forwardedHops(r.Header)
	if lists := r.Header["X-Forwarded-For"]; len(lists) > 0 {
		hops = listedHops(lists)
	}
	for hop := range hops {
		addr := ParseAddr(hop)
		if !addr.IsValid() {
			break
		}
		if peer = addr; !contains(t.Networks, peer) {
			break
		}
	}
	return peer
}

// listedHops yields the elements of X-Forwarded-For, the nearest proxy's first.
func listedHops(lists []string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for _, list := range slices.Backward(lists) {
			for more := true; more; {
				hop := list
				comma := strings.LastIndexByte(list, ',')
				if more = comma >= 0; more {
					list, hop = list[:comma], list[comma+1:]
				}
				if !yield(strings.TrimSpace(hop)) {
					return
				}
			}
		}
	}
}

// maxHops limits the number of proxies in Forwarded that are read. The field can only be
// read from its beginning.
const maxHops = 64

// forwardedHops yields the clients in the elements of Forwarded, the nearest proxy's
// first. It yields none if the field does not parse.
func forwardedHops(header http.Header) iter.Seq[string] {
	return func(yield func(string) bool) {
		var ring [maxHops]string
		n := 0
		ok := eachElement(header, func(e element) {
			ring[n%maxHops] = e.client
			n++
		})
		for i := n - 1; ok && i >= max(0, n-maxHops); i-- {
			if !yield(unquoted(ring[i%maxHops])) {
				return
			}
		}
	}
}

// Origin returns the scheme and the host that the client has used, "" if the proxies do
// not say. The first element counts, which is the outermost proxy's: a client that
// forges it changes only the URLs that it gets itself.
func Origin(header http.Header) (scheme, host string) {
	scheme = parseScheme(firstOf(header.Get("X-Forwarded-Proto")))
	host = parseHost(firstOf(header.Get("X-Forwarded-Host")))
	var first element
	n := 0
	ok := eachElement(header, func(e element) {
		if n++; n == 1 {
			first = e
		}
	})
	if ok {
		scheme = cmp.Or(parseScheme(unquoted(first.proto)), scheme)
		host = cmp.Or(parseHost(unquoted(first.host)), host)
	}
	return scheme, host
}

// IsForwarded reports whether a proxy says that it has forwarded the request.
func IsForwarded(header http.Header) bool {
	return header["X-Forwarded-For"] != nil || header["X-Forwarded-Proto"] != nil ||
		header["X-Forwarded-Host"] != nil || header["Forwarded"] != nil ||
		header["X-Forwarded-Port"] != nil || header["X-Forwarded-Prefix"] != nil
}

// WithPort adds the port of X-Forwarded-Port to a host without one. Ports 80 and 443
// are ignored: a proxy that mixes them up is more likely than one that serves http on
// 443.
func WithPort(header http.Header, host string) string {
	port, err := strconv.ParseUint(firstOf(header.Get("X-Forwarded-Port")), 10, 16)
	if err != nil || port == 0 || port == 80 || port == 443 || host == "" {
		return host
	}
	if u, err := url.Parse("http://" + host); err != nil || u.Port() != "" {
		return host
	}
	return host + ":" + strconv.FormatUint(port, 10)
}

// longestPrefix limits X-Forwarded-Prefix, in bytes: real ones are far shorter.
const longestPrefix = 1 << 10

// Prefix returns the path that proxies have removed from the URL, without a slash at
// its end. It is "" if they do not say, or if it is not a path.
func Prefix(header http.Header) string {
	var prefix strings.Builder
	for _, list := range header["X-Forwarded-Prefix"] {
		if len(list) > longestPrefix || prefix.Len() > longestPrefix {
			return ""
		}
		for part := range strings.SplitSeq(list, ",") {
			part = strings.TrimRight(strings.TrimSpace(part), "/")
			if part != "" && !isPlainPath(part) {
				return ""
			}
			prefix.WriteString(part)
		}
	}
	return prefix.String()
}

// isPlainPath reports whether s is a path that can be put before another one.
func isPlainPath(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.EscapedPath() == s && path.Clean(s) == s && path.Clean(u.Path) == u.Path && s[0] == '/'
}

func firstOf(list string) string {
	first, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(first)
}

func parseScheme(s string) string {
	for _, scheme := range []string{"http", "https"} {
		if strings.EqualFold(s, scheme) {
			return scheme
		}
	}
	return ""
}

// longestHost limits the name of a host with its port, in bytes: DNS allows 253.
const longestHost = 300

// parseHost returns host, or "" if it is not a valid host.
func parseHost(host string) string {
	if host == "" || len(host) > longestHost {
		return ""
	}
	u, err := url.Parse("http://" + host)
	if err != nil || u.Host != host || strings.ContainsFunc(host, isNotHostRune) || strings.HasSuffix(host, ":") {
		return ""
	}
	if port := u.Port(); port != "" {
		if _, err := strconv.ParseUint(port, 10, 16); err != nil {
			return ""
		}
	}
	if name := u.Hostname(); name == "" || strings.HasPrefix(name, ".") || strings.Contains(name, "..") {
		return ""
	}
	return host
}

func isNotHostRune(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune(".-_:[]", r)
}

// WithoutDefaultPort cuts off the port that is the scheme's default.
func WithoutDefaultPort(scheme, host string) string {
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// element is one element of Forwarded, with the parameters that are used here. Values
// are as they stand in the field, quoted or not.
type element struct{ client, proto, host string }

// eachElement reads the Forwarded header and visits its elements, the outermost proxy's
// first. It reports whether the whole field parses; if not, the visited elements do not
// count. Nothing is copied.
func eachElement(header http.Header, visit func(element)) bool {
	for _, rest := range header["Forwarded"] {
		for rest != "" {
			var e element
			var ok bool
			if rest, ok = e.read(rest); !ok {
				return false
			}
			visit(e)
		}
	}
	return true
}

// read reads the pairs up to a comma from the front of s.
func (e *element) read(s string) (rest string, ok bool) {
	for {
		s = strings.TrimLeft(s, " \t")
		if s != "" && s[0] != ';' && s[0] != ',' {
			name, behind, found := strings.Cut(s, "=")
			if name = strings.TrimRight(name, " \t"); !found || !isToken(name) {
				return "", false
			}
			var value string
			if value, s, ok = readValue(behind); !ok {
				return "", false
			}
			e.set(name, value)
			s = strings.TrimLeft(s, " \t")
		}
		switch {
		case s == "":
			return "", true
		case s[0] == ',':
			return s[1:], true
		case s[0] != ';':
			return "", false
		}
		s = s[1:]
	}
}

// set stores the value of a parameter that is used.
func (e *element) set(name, value string) {
	switch {
	case strings.EqualFold(name, "for"):
		e.client = value
	case strings.EqualFold(name, "proto"):
		e.proto = value
	case strings.EqualFold(name, "host"):
		e.host = value
	}
}

// isToken reports whether s is a token (RFC 9110, section 5.6.2).
func isToken(s string) bool {
	for i := range len(s) {
		if !ascii.IsTokenByte(s[i]) {
			return false
		}
	}
	return s != ""
}

// readValue reads a token or a quoted string from the front of s.
func readValue(s string) (value, rest string, ok bool) {
	if !strings.HasPrefix(s, `"`) {
		end := strings.IndexAny(s, ",; \t")
		if end < 0 {
			end = len(s)
		}
		return s[:end], s[end:], true
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return s[:i+1], s[i+1:], true
		case '\\':
			i++
		}
	}
	return "", "", false
}

// unquoted returns the content of a quoted string. It returns any other value
// unchanged.
func unquoted(value string) string {
	if !strings.HasPrefix(value, `"`) {
		return value
	}
	value = value[1 : len(value)-1]
	if strings.IndexByte(value, '\\') < 0 {
		return value
	}
	var b strings.Builder
	for i := 0; i < len(value); i++ {
		if value[i] == '\\' {
			i++
		}
		b.WriteByte(value[i])
	}
	return b.String()
}

// ParseAddr reads an address with or without a port, IPv6 also in brackets. The result
// is invalid if s is not an address.
func ParseAddr(s string) netip.Addr {
	const longest = 100 // with zone, brackets and port
	if len(s) > longest {
		return netip.Addr{}
	}
	if with, err := netip.ParseAddrPort(s); err == nil { // first, because the address of a peer has a port
		return with.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}
