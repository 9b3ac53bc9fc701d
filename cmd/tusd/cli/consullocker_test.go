package cli

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// consulFlags returns the settings that flags choose.
func consulFlags(t *testing.T, args ...string) *consulLockerSettings {
	t.Helper()
	cfg, err := parse(append([]string{"-s3-bucket", "b", "-locker", "consul"}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	_, settings := cfg.chosenLocker()
	return settings.(*consulLockerSettings)
}

// The flags choose where requests go, and with which token.
func TestConsulClient(t *testing.T) {
	var query, token string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		query, token = r.URL.RawQuery, r.Header.Get("X-Consul-Token")
	}))
	defer server.Close()
	ask := func(args ...string) {
		t.Helper()
		client, transport, err := consulFlags(t, append([]string{"-consul-url", server.URL}, args...)...).client()
		if err != nil {
			t.Fatal(err)
		}
		defer transport.CloseIdleConnections()
		transport.TLSClientConfig.RootCAs = server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
		if _, err := client.KV().Delete("k", nil); err != nil && !strings.Contains(err.Error(), "EOF") {
			t.Fatal(err)
		}
	}
	t.Setenv("CONSUL_HTTP_TOKEN", "of the environment")
	ask("-consul-datacenter", "dc")
	if token != "of the environment" || !strings.Contains(query, "dc=dc") {
		t.Errorf("token %q, query %q", token, query)
	}
	ask("-consul-token-file", secretFile(t, "of a file\n"))
	if token != "of a file" {
		t.Errorf("token %q, want that of the file", token)
	}
}

func TestConsulFlagsRefused(t *testing.T) {
	for want, args := range map[string][]string{
		"-consul-tls-ca needs an h": {"-consul-tls-ca", "ca.pem"},
		"need each other":           {"-consul-url", "https://a:1", "-consul-tls-key", "k.pem"},
		"has no certificate in PEM": {"-consul-url", "https://a:1", "-consul-tls-ca", secretFile(t, "no PEM")},
		"-consul-token-file: ":      {"-consul-token-file", "/does/not/exist"},
		"is empty":                  {"-consul-token-file", secretFile(t, "\n")},
	} {
		wantLockerUsage(t, "consul", args, want)
	}
	for _, url := range []string{"hunter2", "consul:8500", "http://u:hunter2@h:1", "unix:///consul", ""} {
		code, _, stderr := run("-s3-bucket", "b", "-locker", "consul", "-consul-url", url)
		if code != exitUsage || strings.Contains(stderr, "hunter2") || !strings.Contains(stderr, "-consul-url") {
			t.Errorf("%q: exit code %d, %s", url, code, stderr)
		}
	}
}
