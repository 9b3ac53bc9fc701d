package cli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/logtest"
)

// pair is the files of a certificate for 127.0.0.1 and its key.
type pair struct{ cert, key string }

func newPair(t testing.TB, dir, name string) pair {
	t.Helper()
	p := pair{filepath.Join(dir, name+".pem"), filepath.Join(dir, name+".key")}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	writePEM(t, p.cert, "CERTIFICATE", der)
	writePEM(t, p.key, "PRIVATE KEY", keyDER)
	return p
}

func writePEM(t testing.TB, name, kind string, der []byte) {
	t.Helper()
	if err := os.WriteFile(name, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
}

// replace replaces a file atomically by a copy of another.
func replace(t *testing.T, name, with string) {
	t.Helper()
	content, err := os.ReadFile(with)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(name+".new", name); err != nil {
		t.Fatal(err)
	}
}

// overTLS returns a client that accepts any certificate and offers HTTP/2.
func overTLS() *http.Client {
	return &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true,
	}}
}

func TestUploadOverTLS(t *testing.T) {
	t.Parallel()
	p := newPair(t, t.TempDir(), "a")
	for _, mode := range tlsModes() {
		d := start(t, "-tls-certificate", p.cert, "-tls-key", p.key, "-tls-mode", mode)
		if !strings.HasPrefix(d.url, "https://") {
			t.Errorf("%s: start-up line names %s", mode, d.url)
		}
		location := create(t, overTLS(), d.url, "1")
		resp := do(t, overTLS(), http.MethodHead, location)
		if !strings.HasPrefix(location, d.url) || resp.StatusCode != http.StatusOK || resp.ProtoMajor != 2 {
			t.Errorf("%s: HEAD %s: %s over %s", mode, location, resp.Status, resp.Proto)
		}
		http1 := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}}
		if resp := do(t, http1, http.MethodHead, location); resp.ProtoMajor != 1 || resp.StatusCode != http.StatusOK {
			t.Errorf("%s: without ALPN: %s over %s", mode, resp.Status, resp.Proto)
		}
	}
}

func TestTLSModes(t *testing.T) {
	t.Parallel()
	const refused = 0
	p := newPair(t, t.TempDir(), "a")
	aes128 := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256}
	cbc := []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA}
	for _, c := range []struct {
		mode   string
		max    uint16   // of the client
		suites []uint16 // of the client, for TLS 1.2
		want   uint16
	}{
		{"tls12", tls.VersionTLS13, nil, tls.VersionTLS13},
		{"tls12", tls.VersionTLS12, aes128, tls.VersionTLS12},
		{"tls12", tls.VersionTLS12, cbc, refused},
		{"tls12", tls.VersionTLS11, nil, refused},
		{"tls12-strong", tls.VersionTLS13, nil, tls.VersionTLS12},
		{"tls12-strong", tls.VersionTLS12, aes128, refused},
		{"tls13", tls.VersionTLS13, nil, tls.VersionTLS13},
		{"tls13", tls.VersionTLS12, nil, refused},
	} {
		d := start(t, "-tls-certificate", p.cert, "-tls-key", p.key, "-tls-mode", c.mode)
		state, err := handshake(t, d, &tls.Config{
			MinVersion: tls.VersionTLS10, MaxVersion: c.max, CipherSuites: c.suites, InsecureSkipVerify: true,
		})
		if state.Version != c.want || (err != nil) != (c.want == refused) {
			t.Errorf("%s, client up to %x with %x: %x, %v", c.mode, c.max, c.suites, state.Version, err)
		}
		if c.mode == "tls12-strong" && err == nil && state.CipherSuite != tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 {
			t.Errorf("%s: %s", c.mode, tls.CipherSuiteName(state.CipherSuite))
		}
	}
}

// handshake connects once and returns the state of the connection.
func handshake(t *testing.T, d *testDaemon, config *tls.Config) (tls.ConnectionState, error) {
	t.Helper()
	conn, err := tls.DialWithDialer(&net.Dialer{Timeout: testTimeout}, "tcp", d.address(t), config)
	if err != nil {
		return tls.ConnectionState{}, err
	}
	defer conn.Close()
	return conn.ConnectionState(), nil
}

// served returns the name in the certificate of a new connection.
func served(t *testing.T, d *testDaemon) string {
	t.Helper()
	state, err := handshake(t, d, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	return state.PeerCertificates[0].Subject.CommonName
}

func TestCertificateIsReadAgain(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	used, next := newPair(t, dir, "old"), newPair(t, dir, "next")
	d := start(t, "-tls-certificate", used.cert, "-tls-key", used.key)
	if name := served(t, d); name != "old" {
		t.Fatalf("served: %s", name)
	}
	replace(t, used.cert, next.cert) // the key follows later
	await(t, "the mismatch to be logged", func() bool {
		if name := served(t, d); name != "old" {
			t.Fatalf("served without its key: %s", name)
		}
		return strings.Contains(d.stdout.String(), "the old one stays")
	})
	replace(t, used.key, next.key)
	await(t, "the new certificate", func() bool { return served(t, d) == "next" })
	if n := strings.Count(d.stdout.String(), "the old one stays"); n != 1 {
		t.Errorf("the mismatch was logged %d times", n)
	}
}

func TestRemovedCertificate(t *testing.T) {
	p := newPair(t, t.TempDir(), "a")
	d := start(t, "-tls-certificate", p.cert, "-tls-key", p.key)
	if err := os.Remove(p.cert); err != nil {
		t.Fatal(err)
	}
	await(t, "the loss to be logged", func() bool {
		if served(t, d) != "a" {
			t.Fatal("not served any more")
		}
		return strings.Contains(d.stdout.String(), "the old one stays")
	})
}

func TestBadCertificate(t *testing.T) {
	dir := t.TempDir()
	a, b := newPair(t, dir, "a"), newPair(t, dir, "b")
	for _, p := range []pair{{a.cert, b.key}, {a.cert, filepath.Join(dir, "none")}, {a.key, a.key}} {
		code, stdout, stderr := run("-host", "127.0.0.1", "-port", "0", "-upload-dir", t.TempDir(), "-tls-certificate", p.cert, "-tls-key", p.key)
		if code != exitFailed || !strings.Contains(stderr, p.key) || strings.Contains(stdout, "You can now") {
			t.Errorf("%v: exit code %d, %s", p, code, stderr)
		}
	}
}

// checkNow checks the files of the certificate at once.
func (c *certificates) checkNow() {
	c.checked = time.Time{}
	c.get(nil)
}

// Unchanged files are not logged, and invalid ones once.
func TestInvalidCertificateIsLoggedOnce(t *testing.T) {
	p := newPair(t, t.TempDir(), "a")
	var log logtest.Buffer
	c, err := newCertificates(p.cert, p.key, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	checkThrice := func() {
		for range 3 {
			c.checkNow()
		}
	}
	checkThrice()
	if log.String() != "" {
		t.Errorf("without a change: %s", log.String())
	}
	if err := os.Remove(p.key); err != nil {
		t.Fatal(err)
	}
	checkThrice()
	if n := strings.Count(log.String(), "\n"); n != 1 {
		t.Errorf("the loss of the key was logged %d times: %s", n, log.String())
	}
}

// A pair that could not be read is read again, even if the sizes and times of its files
// have not changed since.
func TestCertificateIsReadAfterFailure(t *testing.T) {
	dir := t.TempDir()
	p, next := newPair(t, dir, "old"), newPair(t, dir, "next")
	c, err := newCertificates(p.cert, p.key, quiet)
	if err != nil {
		t.Fatal(err)
	}
	good, err := os.ReadFile(next.cert)
	if err != nil {
		t.Fatal(err)
	}
	replace(t, p.key, next.key)
	changed := time.Now().Add(time.Minute)
	for _, content := range []string{strings.Repeat("x", len(good)), string(good)} {
		if err := errors.Join(os.WriteFile(p.cert, []byte(content), 0o600), os.Chtimes(p.cert, changed, changed)); err != nil {
			t.Fatal(err)
		}
		c.checkNow()
	}
	if name := c.current.Leaf.Subject.CommonName; name != "next" {
		t.Errorf("served: %s, want next", name)
	}
}
