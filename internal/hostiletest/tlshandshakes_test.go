//go:build linux

package hostiletest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestHandshakes begins TLS handshakes and does not complete them.
func TestHandshakes(t *testing.T) {
	certificate, key := selfSigned(t)
	runAttacks(t, func(tb testing.TB) *target {
		return onFiles(tb, "-tls-certificate", certificate, "-tls-key", key)
	}, []attack{
		{name: "half a handshake", run: openConnections(1000, stall{open: halfHandshake})},
		{name: "no handshake", run: openConnections(1000,
			stall{open: sendingText("GET / HTTP/1.1\r\nHost: a\r\n\r\n")},
			stall{open: sendingText("\x16\x03\x01\x40\x00\x01" + strings.Repeat("x", 8000))},
			stall{open: sendingText("")},
		)},
	})
}

// selfSigned writes a self-signed certificate and its key to files.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"localhost"}}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, private.Public(), private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, kind string, content []byte) string {
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: content}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", signed), write("key.pem", "PRIVATE KEY", encoded)
}
