package tusd

import (
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

// What proxies in front of the server say about the request that they pass
// on: Forwarded (RFC 7239), X-Forwarded-Host, X-Forwarded-Proto and
// X-Forwarded-For. Whom to believe is the operator's decision; what does not
// parse is as if it were absent.

// proxies are those who are believed.
type proxies struct {
	all      bool           // about host and scheme
	networks []netip.Prefix // nil: near
}

// privateNetworks are the networks that nobody reaches from outside but through a proxy,
// or a host next to us.
var privateNetworks = []netip.Prefix{
	netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128"), // loopback
	netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fe80::/10"), // link-local
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), // private
	netip.MustParsePrefix("192.168.0.0/16"), netip.MustParsePrefix("fc00::/7"),
}

// within tells whether addr, which is not valid for a Unix socket, is in one
// of the networks. A Unix socket is in all that are not empty.
func within(networks []netip.Prefix, addr netip.Addr) bool {
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

// believed tells whether a peer is believed about host and scheme.
func (p proxies) believed(peer netip.Addr) bool {
	switch {
	case p.all:
		return true
	case p.networks == nil:
		return within(privateNetworks, peer)
	}
	return within(p.networks, peer)
}

// client finds the address of the client that made the request: that of the
// peer, or, if it is a proxy that the operator named, the nearest one before
// it that is none. It is not valid if nobody knows it. X-Forwarded-For comes
// first because nearly all proxies write it; one that writes the other has to
// remove this.
func (p proxies) client(r *http.Request, peer netip.Addr) netip.Addr {
	if p.networks == nil || !within(p.networks, peer) {
		return peer
	}
	return p.nearest(r, peer)
}

// nearest is client for a peer that is a known proxy. Apart from it, since what
// a loop over hops changes is allocated.
func (p proxies) nearest(r *http.Request, peer netip.Addr) netip.Addr {
	hops := forwardedHops(r.Header)
	if lists := r.Header["X-Forwarded-For"]; len(lists) > 0 {
		hops = listedHops(lists)
	}
	for hop := range hops {
		addr := parseHop(hop)
		if !addr.IsValid() {
			break
		}
		if peer = addr; !within(p.networks, peer) {
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

// maxHops is how many proxies are gone back through in Forwarded, which can be
// read from its beginning only.
const maxHops = 64

// forwardedHops yields what the elements of Forwarded say of the client, the
// nearest proxy's first; nothing if it does not parse.
func forwardedHops(header http.Header) iter.Seq[string] {
	return func(yield func(string) bool) {
		var ring [maxHops]string
		n := 0
		ok := eachForwarded(header, func(e forwardedElement) {
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

// forwarded is what is said of the scheme and the host that the client has
// used; "" is nothing. The first element counts, which is that of the
// outermost proxy: a lie only changes the URLs that the liar gets.
func forwarded(header http.Header) (scheme, host string) {
	scheme = forwardedScheme(firstOf(header.Get("X-Forwarded-Proto")))
	host = forwardedHost(firstOf(header.Get("X-Forwarded-Host")))
	var first forwardedElement
	n := 0
	ok := eachForwarded(header, func(e forwardedElement) {
		if n++; n == 1 {
			first = e
		}
	})
	if ok {
		setIf(&scheme, forwardedScheme(unquoted(first.proto)))
		setIf(&host, forwardedHost(unquoted(first.host)))
	}
	return scheme, host
}

// passedOn tells whether a proxy says that it has passed the request on.
func passedOn(header http.Header) bool {
	return header["X-Forwarded-For"] != nil || header["X-Forwarded-Proto"] != nil ||
		header["X-Forwarded-Host"] != nil || header["Forwarded"] != nil ||
		header["X-Forwarded-Port"] != nil || header["X-Forwarded-Prefix"] != nil
}

// withForwardedPort adds to a host without a port the one that the client has
// connected to. That a proxy mixes up the ports of http and https is likelier than
// that it uses them in this way.
func withForwardedPort(header http.Header, scheme, host string) string {
	port, err := strconv.ParseUint(firstOf(header.Get("X-Forwarded-Port")), 10, 16)
	if err != nil || port == 0 || port == 80 || port == 443 || host == "" {
		return host
	}
	if u, err := url.Parse("http://" + host); err != nil || u.Port() != "" {
		return host
	}
	return host + ":" + formatInt(int64(port))
}

// longestPrefix is more than the paths take that proxies cut off.
const longestPrefix = 1 << 10

// forwardedPrefix is the path, without a slash at its end, that proxies have cut
// off the URL; "" if they do not say, or something that is no path.
func forwardedPrefix(header http.Header) string {
	var prefix strings.Builder
	for _, list := range header["X-Forwarded-Prefix"] {
		if len(list) > longestPrefix || prefix.Len() > longestPrefix {
			return ""
		}
		for part := range strings.SplitSeq(list, ",") {
			part = strings.TrimRight(strings.TrimSpace(part), "/")
			if part != "" && !plainPath(part) {
				return ""
			}
			prefix.WriteString(part)
		}
	}
	return prefix.String()
}

// plainPath reports whether s is a path that can be put before another one.
func plainPath(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.EscapedPath() == s && path.Clean(s) == s && path.Clean(u.Path) == u.Path && s[0] == '/'
}

func firstOf(list string) string {
	first, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(first)
}

func forwardedScheme(s string) string {
	for _, scheme := range []string{"http", "https"} {
		if strings.EqualFold(s, scheme) {
			return scheme
		}
	}
	return ""
}

// longestHost is more than the name of a host and a port take.
const longestHost = 300

// forwardedHost returns host, or "" if it is none.
func forwardedHost(host string) string {
	if host == "" || len(host) > longestHost {
		return ""
	}
	u, err := url.Parse("http://" + host)
	if err != nil || u.Host != host || strings.ContainsFunc(host, notHostRune) || strings.HasSuffix(host, ":") {
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

func notHostRune(r rune) bool {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z', '0' <= r && r <= '9':
		return false
	}
	return !strings.ContainsRune(".-_:[]", r)
}

// withoutDefaultPort takes the port off that the scheme means anyway.
func withoutDefaultPort(scheme, host string) string {
	if scheme == "https" {
		return strings.TrimSuffix(host, ":443")
	}
	return strings.TrimSuffix(host, ":80")
}

// forwardedElement is what one proxy says in Forwarded, as far as it counts
// here. Values are as they stand there: quoted or not.
type forwardedElement struct{ client, proto, host string }

// eachForwarded reads the Forwarded header and visits its elements, the
// outermost proxy's first. It reports whether all of it parses: if not, what
// was visited does not count. Nothing is copied.
func eachForwarded(header http.Header, visit func(forwardedElement)) bool {
	for _, rest := range header["Forwarded"] {
		for rest != "" {
			var e forwardedElement
			var ok bool
			if rest, ok = e.read(rest); !ok {
				return false
			}
			visit(e)
		}
	}
	return true
}

// read takes the pairs up to a comma from the front of s.
func (e *forwardedElement) read(s string) (rest string, ok bool) {
	for {
		s = strings.TrimLeft(s, " \t")
		if s != "" && s[0] != ';' && s[0] != ',' {
			name, behind, found := strings.Cut(s, "=")
			if name = strings.TrimRight(name, " \t"); !found || !isToken(name) {
				return "", false
			}
			var value string
			if value, s, ok = forwardedValue(behind); !ok {
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

// set keeps a value if it counts.
func (e *forwardedElement) set(name, value string) {
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

// forwardedValue takes a token or a quoted string from the front of s.
func forwardedValue(s string) (value, rest string, ok bool) {
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

// unquoted is the content of a quoted string; another value is as it is.
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

// parseHop reads an address with or without a port; brackets are for IPv6.
func parseHop(s string) netip.Addr {
	const longest = 100 // with zone, brackets and port
	if len(s) > longest {
		return netip.Addr{}
	}
	if with, err := netip.ParseAddrPort(s); err == nil { // first, as peers are written
		return with.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}
