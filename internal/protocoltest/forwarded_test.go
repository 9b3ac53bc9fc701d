package protocoltest

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
)

func TestProxy(t *testing.T) {
	runOn(t, memoryStore, protocols, []scenario{
		{"case058_believed", "host and scheme of a trusted proxy go into Location", proxyBelieved},
		{"case058_far", "host and scheme of a peer that is not trusted do not go into Location", proxyFar},
		{"case058_behind_proxy", "if all peers are trusted, every address is", proxyAll},
		{"case058_junk", "a value that is no host or no scheme is ignored", proxyJunk},
		{"port_and_prefix", "port and path prefix of a trusted proxy go into Location, and finals know them", proxyPortPrefix},
		{"port_and_prefix_far", "port and path prefix of a peer that is not trusted do not go into Location", proxyPortPrefixFar},
		{"public_url", "a public URL replaces everything that requests say", proxyPublicURL},
		{"configured", "a configured host beats a proxy's", proxyConfigured},
		{"concatenation", "a final names its partials by the URLs that the proxy made", proxyConcatenation},
		{"https_warning", "a proxy that says https and is not trusted is logged once", proxyHTTPSWarning},
		{"client_address", "events and the log have the client's address from a named proxy", proxyClientAddress},
	})
}

// from makes requests come from another address.
func (e *env) from(address string) {
	e.outermost = func(h http.Handler) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			r.RemoteAddr = address
			h.ServeHTTP(w, r)
		})
	}
}

const (
	proxyProto = "X-Forwarded-Proto: https"
	proxyHost  = "X-Forwarded-Host: up.example:443"
	stranger   = "198.51.100.7:4711"
)

// wantOrigin checks the origin in the Location of a new upload.
func (e *env) wantOrigin(want string, header ...string) {
	e.Helper()
	location := e.post(append(header, "Upload-Length: 1")...).status(201).Header.Get("Location")
	if !strings.HasPrefix(location, want+"/files/") {
		e.Errorf("with %q Location is %q, want it to begin with %s", header, location, want)
	}
}

// direct is the origin in the Location without fields of a proxy.
func (e *env) direct() string {
	location := e.post("Upload-Length: 1").status(201).Header.Get("Location")
	before, _, _ := strings.Cut(location, "/files/")
	return before
}

func proxyBelieved(e *env) {
	e.wantOrigin("https://up.example", proxyProto, proxyHost)
	e.wantOrigin("http://up.example:8080", "X-Forwarded-Proto: http", "X-Forwarded-Host: up.example:8080")
	e.wantOrigin("https://up.example", "Forwarded: for=192.0.2.1;proto=https;host=up.example")
}

func proxyFar(e *env) {
	e.from(stranger)
	e.wantOrigin(e.direct(), proxyProto, proxyHost)
}

func proxyAll(e *env) {
	e.from(stranger)
	e.config.TrustForwarded = true
	e.wantOrigin("https://up.example", proxyProto, proxyHost)
}

func proxyJunk(e *env) {
	for _, junk := range []string{
		"X-Forwarded-Host: up.example/elsewhere", "X-Forwarded-Host: a b", "X-Forwarded-Proto: gopher",
		`Forwarded: host="up.example`, "Forwarded: proto=javascript", "X-Forwarded-Host: user@up.example",
	} {
		e.wantOrigin(e.direct(), junk)
	}
}

// wantLocation checks the Location of a new upload without its id, and that a final can name
// the upload by it.
func (e *env) wantLocation(want string, header ...string) {
	e.Helper()
	location := e.postWith(content(5), append(header, "Upload-Length: 5", "Upload-Concat: partial")...).status(201).Header.Get("Location")
	if got := location[:strings.LastIndexByte(location, '/')+1]; got != want {
		e.Errorf("with %q Location begins with %q, want %s", header, got, want)
	}
	final := e.post(append(header, "Upload-Concat: final;"+location)...).status(201).Header.Get("Location")
	if !strings.HasPrefix(final, want) {
		e.Errorf("with %q the final has Location %q, want %s", header, final, want)
	}
}

func proxyPortPrefix(e *env) {
	const host = "X-Forwarded-Host: up.example"
	e.wantLocation("https://up.example:8443/files/", proxyProto, host, "X-Forwarded-Port: 8443")
	e.wantLocation("http://up.example:8080/files/", "Host: up.example", "X-Forwarded-Proto: http", "X-Forwarded-Port: 8080")
	e.wantLocation("https://up.example:8443/files/", proxyProto, host, "X-Forwarded-Port: 8443, 80")
	e.wantLocation("https://up.example/files/", proxyProto, host, "X-Forwarded-Port: 443")
	e.wantLocation("https://up.example/files/", proxyProto, host, "X-Forwarded-Port: 80")
	e.wantLocation("https://up.example:9000/files/", proxyProto, host+":9000", "X-Forwarded-Port: 8443")
	e.wantLocation("https://[2001:db8::1]:8443/files/", proxyProto, "X-Forwarded-Host: [2001:db8::1]", "X-Forwarded-Port: 8443")
	e.wantLocation("https://up.example:8443/files/", proxyProto, host, "X-Forwarded-Port: 08443")
	for _, junk := range []string{"0", "0443", "65536", "-1", "x", "80/evil", "1e3", " ", "8443@evil"} {
		e.wantLocation("https://up.example/files/", proxyProto, host, "X-Forwarded-Port: "+junk)
	}
	e.wantLocation("https://up.example/media/files/", proxyProto, host, "X-Forwarded-Prefix: /media")
	e.wantLocation("https://up.example/media/files/", proxyProto, host, "X-Forwarded-Prefix: /media/")
	e.wantLocation("https://up.example/a/b/files/", proxyProto, host, "X-Forwarded-Prefix: /a, /b")
	e.wantLocation("https://up.example/a%20b/files/", proxyProto, host, "X-Forwarded-Prefix: /a%20b")
	for _, none := range []string{"", "/", "media", "//evil.example", "/../x", "/a b", "https://evil.example/", "/a?b", "/a#b", "/a/%2e%2e/b", "/%2e/a", "/a%2f%2fb", "/" + strings.Repeat("a", 2000), "/%zz"} {
		e.wantLocation("https://up.example/files/", proxyProto, host, "X-Forwarded-Prefix: "+none)
	}
	e.wantLocation("https://up.example/files/", proxyProto, host, "X-Forwarded-Prefix: /files") // as a proxy says that cuts nothing off
}

func proxyPortPrefixFar(e *env) {
	e.from(stranger)
	e.wantOrigin(e.direct(), "X-Forwarded-Port: 8443", "X-Forwarded-Prefix: /media")
}

func proxyPublicURL(e *env) {
	e.config.PublicURL = "https://fixed.example:8443/up"
	for _, header := range [][]string{nil, {proxyProto, proxyHost, "X-Forwarded-Port: 1", "X-Forwarded-Prefix: /media"}} {
		e.wantLocation("https://fixed.example:8443/up/", header...)
	}
	part := e.postWith(content(5), "Upload-Length: 5", "Upload-Concat: partial").status(201).Header.Get("Location")
	id := part[strings.LastIndexByte(part, '/')+1:]
	// Without the proxy it has another URL.
	for _, ref := range []string{"/files/" + id, "http://in.example/files/" + id, "https://fixed.example:8443/up/" + id, id} {
		e.post("Host: in.example", "Upload-Concat: final;"+ref).status(201)
	}
	e.post("Host: in.example", "Upload-Concat: final;http://other.example/files/"+id).status(400)
	for _, bad := range []string{"/up/", "up", "ftp://a/", "https://", "https://a/?x", "https://a/#x"} {
		if _, err := tusd.NewHandler(tusd.Config{StoreComposer: e.compose(), PublicURL: bad}); err == nil {
			e.Errorf("PublicURL %q is accepted", bad)
		}
	}
}

func proxyConfigured(e *env) {
	e.config.BasePath = "https://fixed.example/files/"
	e.wantOrigin("https://fixed.example", proxyProto, proxyHost)
}

func proxyConcatenation(e *env) {
	partial := func() string {
		a := e.postWith(content(5), proxyProto, proxyHost, "Upload-Length: 5", "Upload-Concat: partial").status(201)
		return a.Header.Get("Location")
	}
	e.post(proxyProto, proxyHost, "Upload-Concat: final;"+partial()+" "+partial()).status(201)
	e.post("Upload-Concat: final;" + partial()).status(400).code("ERR_INVALID_CONCAT") // not a URL of this host
}

func proxyHTTPSWarning(e *env) {
	e.from(stranger)
	e.post("Upload-Length: 1").status(201)
	e.post(proxyProto, "Upload-Length: 1").status(201)
	e.post(proxyProto, "Upload-Length: 1").status(201)
	e.waitIdle()
	want := 1
	if e.protocol.name == "http2" { // over TLS Location is https anyway
		want = 0
	}
	if told := e.warnings.count("says https"); told != want {
		e.Errorf("told %d times, want %d: %q", told, want, e.warnings.all())
	}
}

func proxyClientAddress(e *env) {
	e.from(stranger)
	e.config.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("198.51.100.0/24")}
	e.start()
	events := e.handler.Subscribe(10)
	e.post("X-Forwarded-For: 203.0.113.5, 192.0.2.77", "Upload-Length: 1").status(201)
	e.post("Upload-Length: 1").status(201)
	for _, want := range []string{"192.0.2.77:0", stranger} {
		select {
		case event := <-events.C:
			if event.Type != tusd.EventPostCreate || event.HTTPRequest.RemoteAddr != want {
				e.Errorf("event %s from %q, want %q", event.Type, event.HTTPRequest.RemoteAddr, want)
			}
		case <-time.After(10 * time.Second):
			e.Fatal("no event")
		}
	}
}
