package grpchook_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/status"

	"github.com/tus/tusd/hooks/grpchook"
)

// identity is a certificate with its key, in files and in memory.
type identity struct {
	certificate, key string
	pair             tls.Certificate
	parsed           *x509.Certificate
}

// newIdentity makes a certificate that by signs, or nil: itself.
func newIdentity(t *testing.T, name string, by *identity) *identity {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, BasicConstraintsValid: true, IsCA: by == nil,
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.parsed, by.pair.PrivateKey.(*ecdsa.PrivateKey)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	i := &identity{certificate: filepath.Join(t.TempDir(), name+".pem"), key: filepath.Join(t.TempDir(), name+".key")}
	for path, block := range map[string]*pem.Block{i.certificate: {Type: "CERTIFICATE", Bytes: der}, i.key: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(path, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if i.parsed, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	if i.pair, err = tls.LoadX509KeyPair(i.certificate, i.key); err != nil {
		t.Fatal(err)
	}
	return i
}

func TestTLS(t *testing.T) {
	authority, other := newIdentity(t, "authority", nil), newIdentity(t, "other", nil)
	server, client, stranger := newIdentity(t, "server", authority), newIdentity(t, "client", authority), newIdentity(t, "stranger", other)
	selfSigned := newIdentity(t, "self-signed", nil)
	clients := x509.NewCertPool()
	clients.AddCert(authority.parsed)
	plain := &tls.Config{Certificates: []tls.Certificate{server.pair}}
	mutual := &tls.Config{Certificates: []tls.Certificate{server.pair}, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: clients}
	for name, c := range map[string]struct {
		service             *tls.Config
		server, client, key string // of the hook
		fails               bool
	}{
		"signed by an authority":            {service: plain, server: authority.certificate},
		"self-signed":                       {service: &tls.Config{Certificates: []tls.Certificate{selfSigned.pair}}, server: selfSigned.certificate},
		"signed by another":                 {service: plain, server: other.certificate, fails: true},
		"mutual":                            {service: mutual, server: authority.certificate, client: client.certificate, key: client.key},
		"mutual, the hook shows nothing":    {service: mutual, server: authority.certificate, fails: true},
		"mutual, the hook shows a stranger": {service: mutual, server: authority.certificate, client: stranger.certificate, key: stranger.key, fails: true},
		"without TLS":                       {service: plain, fails: true},
	} {
		t.Run(name, func(t *testing.T) {
			h := &grpchook.Hook{Target: serve(t, nothing, grpc.Creds(credentials.NewTLS(c.service))), Attempts: 1}
			if c.server != "" {
				var err error
				if h.Credentials, err = grpchook.LoadCredentials(c.server, c.client, c.key); err != nil {
					t.Fatal(err)
				}
			}
			setUp(t, h)
			if _, err := h.InvokeHook(t.Context(), request); (err != nil) != c.fails || c.fails && status.Code(err) != codes.Unavailable {
				t.Error(err)
			}
		})
	}
	for name, files := range map[string][3]string{
		"no server certificate": {"", "", ""},
		"a key as certificate":  {server.key, "", ""},
		"no key":                {authority.certificate, client.certificate, ""},
		"no client certificate": {authority.certificate, "", client.key},
		"another's key":         {authority.certificate, client.certificate, server.key},
	} {
		if _, err := grpchook.LoadCredentials(files[0], files[1], files[2]); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
