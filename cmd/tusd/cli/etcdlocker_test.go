package cli

import (
	"slices"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// etcdClient returns the settings of the client that flags choose.
func etcdClient(t *testing.T, args ...string) (clientv3.Config, error) {
	t.Helper()
	cfg, err := parse(append([]string{"-s3-bucket", "b", "-locker", "etcd"}, args...)...)
	if err != nil {
		return clientv3.Config{}, err
	}
	_, settings := cfg.chosenLocker()
	return settings.(*etcdLockerSettings).client()
}

func TestEtcdClient(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want func(clientv3.Config) bool
	}{
		"default": {nil, func(c clientv3.Config) bool {
			return slices.Equal(c.Endpoints, []string{"http://localhost:2379"}) && c.TLS == nil && c.Username == "" && c.Logger != nil
		}},
		"servers": {[]string{"-etcd-url", "http://u:secret@a:1/, http://b:2"}, func(c clientv3.Config) bool {
			return slices.Equal(c.Endpoints, []string{"http://a:1", "http://b:2"}) && c.Username == "u" && c.Password == "secret"
		}},
		"TLS": {[]string{"-etcd-url", "https://a:1"}, func(c clientv3.Config) bool {
			return c.TLS != nil && !c.TLS.InsecureSkipVerify
		}},
		"password file": {[]string{"-etcd-url", "http://u@a:1", "-etcd-password-file", secretFile(t, "new\nmore")},
			func(c clientv3.Config) bool { return c.Username == "u" && c.Password == "new" }},
	} {
		if client, err := etcdClient(t, c.args...); err != nil || !c.want(client) {
			t.Errorf("%s: %+v, %v", name, client, err)
		}
	}
}

func TestEtcdClientRefused(t *testing.T) {
	for want, args := range map[string][]string{
		"-etcd-tls-ca needs https://":    {"-etcd-tls-ca", "ca.pem"},
		"remove one":                     {"-etcd-url", "http://u:hunter2@a:1", "-etcd-password-file", secretFile(t, "s")},
		"need each other":                {"-etcd-url", "https://a:1", "-etcd-tls-key", "k.pem"},
		"a user in -etcd-url and":        {"-etcd-url", "http://u@a:1"},
		"there or in -etcd-password-fi":  {"-etcd-password-file", secretFile(t, "secret")},
		"-etcd-password-file: ":          {"-etcd-password-file", "/does/not/exist"},
		"-etcd-tls-ca: open /no/ca.pem:": {"-etcd-url", "https://a:1", "-etcd-tls-ca", "/no/ca.pem"},
	} {
		wantLockerUsage(t, "etcd", args, want)
	}
}

// A URL that is refused is not repeated: it may have a password.
func TestEtcdURLRefused(t *testing.T) {
	for _, url := range []string{
		"http://u:hunter2@h:port", "redis://u:hunter2@h", "hunter2", "http://u:hunter2@h/path", "http://u:hunter2@h,https://h",
		"http://h,http://u:hunter2@h", "h:2379", "http://h?hunter2", ",",
	} {
		code, _, stderr := run("-s3-bucket", "b", "-locker", "etcd", "-etcd-url", url)
		if code != exitUsage || strings.Contains(stderr, "hunter2") || !strings.Contains(stderr, "-etcd-url") {
			t.Errorf("%q: exit code %d, %s", url, code, stderr)
		}
	}
}
