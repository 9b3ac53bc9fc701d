package tusd

import (
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
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

// near are the networks that nobody reaches from outside but through a proxy,
// or a host next to us.
var near = []netip.Prefix{
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
		return within(near, peer)
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
	hops := r.Header["X-Forwarded-For"]
	if len(hops) > 0 {
		hops = strings.Split(strings.Join(hops, ","), ",")
	} else {
		for _, element := range forwardedElements(r.Header) {
			hops = append(hops, element["for"])
		}
	}
	for i := len(hops) - 1; i >= 0 && within(p.networks, peer); i-- {
		hop := parseHop(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			break
		}
		peer = hop
	}
	return peer
}

// forwarded is what is said of the scheme and the host that the client has
// used; "" is nothing. The first element counts, which is that of the
// outermost proxy: a lie only changes the URLs that the liar gets.
func forwarded(header http.Header) (scheme, host string) {
	scheme = forwardedScheme(firstOf(header.Get("X-Forwarded-Proto")))
	host = forwardedHost(firstOf(header.Get("X-Forwarded-Host")))
	if elements := forwardedElements(header); len(elements) > 0 {
		setIf(&scheme, forwardedScheme(elements[0]["proto"]))
		setIf(&host, forwardedHost(elements[0]["host"]))
	}
	return scheme, host
}

// passedOn tells whether a proxy says that it has passed the request on.
func passedOn(header http.Header) bool {
	return header["X-Forwarded-For"] != nil || header["X-Forwarded-Proto"] != nil ||
		header["X-Forwarded-Host"] != nil || header["Forwarded"] != nil
}

func firstOf(list string) string {
	first, _, _ := strings.Cut(list, ",")
	return strings.TrimSpace(first)
}

func forwardedScheme(s string) string {
	switch s = strings.ToLower(s); s {
	case "http", "https":
		return s
	}
	return ""
}

// forwardedHost returns host, or "" if it is none.
func forwardedHost(host string) string {
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

// forwardedElements reads the Forwarded header: for each proxy, the outermost
// first, what it says, by the name in lower case. nil if it does not parse.
func forwardedElements(header http.Header) (elements []map[string]string) {
	rest := strings.Join(header["Forwarded"], ",")
	for rest != "" {
		var element map[string]string
		var ok bool
		if element, rest, ok = forwardedElement(rest); !ok {
			return nil
		}
		elements = append(elements, element)
	}
	return elements
}

// forwardedElement takes the pairs up to a comma from the front of s.
func forwardedElement(s string) (element map[string]string, rest string, ok bool) {
	element = make(map[string]string)
	for {
		name, behind, found := strings.Cut(s, "=")
		if !found {
			return element, "", strings.TrimSpace(s) == ""
		}
		var value string
		if value, rest, ok = forwardedValue(behind); !ok {
			return nil, "", false
		}
		element[strings.ToLower(strings.TrimSpace(name))] = value
		rest = strings.TrimLeft(rest, " \t")
		switch {
		case rest == "":
			return element, "", true
		case rest[0] == ',':
			return element, rest[1:], true
		case rest[0] != ';':
			return nil, "", false
		}
		s = rest[1:]
	}
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
	var unquoted strings.Builder
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '"':
			return unquoted.String(), s[i+1:], true
		case '\\':
			if i++; i == len(s) {
				return "", "", false
			}
		}
		unquoted.WriteByte(s[i])
	}
	return "", "", false
}

// parseHop reads an address with or without a port; brackets are for IPv6.
func parseHop(s string) netip.Addr {
	if with, err := netip.ParseAddrPort(s); err == nil { // first, as peers are written
		return with.Addr().Unmap().WithZone("")
	}
	addr, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(s, "["), "]"))
	if err != nil {
		return netip.Addr{}
	}
	return addr.Unmap().WithZone("")
}
