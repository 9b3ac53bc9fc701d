//go:build linux

package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"maps"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// chain is a daemon behind a proxy, with a relay before and behind the proxy:
//
//	client - front - proxy - service.relay - daemon
type chain struct {
	*service
	front     *relay
	httpRelay *relay // the relay that sees plain HTTP/1.1; nil: none does
	proxy     *proxy
	scheme    string
	client    *http.Client // trusts the certificate, uses HTTP/2 if the proxy does
}

// startChain starts a chain until the test ends. scheme is the client's.
func startChain(t *testing.T, kind proxyKind, scheme string, flags ...string) *chain {
	t.Helper()
	kind.need(t) // before anything is built
	s := startService(t, t.TempDir(), append(flags, kind.flags()...)...)
	c := newChain(t, s, startProxy(t, kind, s.listener.Addr().String(), nil), scheme)
	if !kind.speaksH2C() {
		c.httpRelay = s.relay
	}
	return c
}

// newChain makes a chain of s and a proxy in front of it.
func newChain(t *testing.T, s *service, p *proxy, scheme string) *chain {
	t.Helper()
	address := p.plain
	if scheme == "https" {
		address = p.secure
	}
	return &chain{
		service: s, front: startRelay(t, address), proxy: p, scheme: scheme,
		client: newHTTPClient(t, p.certificate),
	}
}

// url returns the URL of the front relay, which clients use.
func (c *chain) url() string { return c.scheme + "://" + c.front.listener.Addr().String() }

// upload runs tus-js-client through the chain. It checks the upload's URL, its content,
// and that it is the only upload.
func (c *chain) upload(t *testing.T, size int64) {
	t.Helper()
	c.uploadWith(t, size, nil)
}

// uploadWith is upload with further options of the client.
func (c *chain) uploadWith(t *testing.T, size int64, options map[string]any) {
	t.Helper()
	all := map[string]any{"endpoint": c.url() + "/files/"}
	maps.Copy(all, options)
	file, sum := writeContent(t, size)
	url := job{
		Client: newClient, File: file, env: []string{"NODE_EXTRA_CA_CERTS=" + c.proxy.certificate},
		Options: all,
	}.run(t)
	if !strings.HasPrefix(url, c.url()+"/files/") {
		t.Errorf("Location: %s, want a URL below %s/files/", url, c.url())
	}
	c.wantContent(t, url, sum)
	c.wantCreated(t, 1)
}

// wantContent downloads url and compares the SHA-256 of the content.
func (c *chain) wantContent(t *testing.T, url, sum string) {
	t.Helper()
	response, err := c.client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if got := sumOf(t, response.Body); response.StatusCode != http.StatusOK || got != sum {
		t.Errorf("GET %s: %s, SHA-256 %s, want 200 and %s", url, response.Status, got, sum)
	}
}

// wantCreated checks the number of uploads: a client that starts again creates another
// one. It also checks the number of POSTs if a relay can read them.
func (c *chain) wantCreated(t *testing.T, want int) {
	t.Helper()
	records, err := filepath.Glob(filepath.Join(c.launch.Dir, "*.info"))
	if err != nil || len(records) != want {
		t.Errorf("%d uploads were created (%v), want %d", len(records), err, want)
	}
	if c.httpRelay != nil {
		wantPosts(t, c.httpRelay, want)
	}
}

// newHTTPClient returns a client that trusts the certificate in file.
func newHTTPClient(t *testing.T, file string) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	content, err := os.ReadFile(file)
	if err != nil || !roots.AppendCertsFromPEM(content) {
		t.Fatalf("no certificate in %s: %v", file, err)
	}
	transport := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2: true,
	}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: clientLimit}
}

// writeCertificate writes a self-signed certificate for hosts and its key to one file,
// and returns its name.
func writeCertificate(t *testing.T, folder string, hosts ...string) (name string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "tests of tusd"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	for _, host := range hosts {
		template.IPAddresses = append(template.IPAddresses, net.ParseIP(host))
	}
	certificate, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	content := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate})
	content = append(content, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})...)
	name = filepath.Join(folder, "uploads.pem")
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}
