package cli

import (
	"crypto/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
)

// redisOptions returns the options of the client that flags choose.
func redisOptions(t *testing.T, args ...string) (*redis.UniversalOptions, error) {
	t.Helper()
	cfg, err := parse(append([]string{"-s3-bucket", "b", "-locker", "redis"}, args...)...)
	if err != nil {
		return nil, err
	}
	_, settings := cfg.chosenLocker()
	return settings.(*redisLockerSettings).options()
}

// secretFile makes a file with text.
func secretFile(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestRedisOptions(t *testing.T) {
	for name, c := range map[string]struct {
		args []string
		want func(*redis.UniversalOptions) bool
	}{
		"default": {nil, func(o *redis.UniversalOptions) bool {
			return o.Addrs[0] == "localhost:6379" && o.TLSConfig == nil && o.ContextTimeoutEnabled
		}},
		"user, password and database": {[]string{"-redis-url", "redis://u:secret@h:1/3"}, func(o *redis.UniversalOptions) bool {
			return o.Addrs[0] == "h:1" && o.Username == "u" && o.Password == "secret" && o.DB == 3
		}},
		"TLS": {[]string{"-redis-url", "rediss://h:1"}, func(o *redis.UniversalOptions) bool { return o.TLSConfig != nil && !o.TLSConfig.InsecureSkipVerify }},
		"socket": {[]string{"-redis-url", "unix:///run/redis.sock"}, func(o *redis.UniversalOptions) bool {
			return o.Addrs[0] == "/run/redis.sock"
		}},
		"cluster": {[]string{"-redis-cluster", "-redis-url", "redis://a:1, redis://b:2"}, func(o *redis.UniversalOptions) bool {
			return o.IsClusterMode && len(o.Addrs) == 2 && o.Addrs[1] == "b:2"
		}},
		"Sentinel": {[]string{"-redis-sentinel-master", "m", "-redis-url", "redis://a:1,redis://b:2", "-redis-sentinel-password-file", secretFile(t, "s\n")},
			func(o *redis.UniversalOptions) bool {
				return o.MasterName == "m" && len(o.Addrs) == 2 && o.SentinelPassword == "s"
			}},
		"password file": {[]string{"-redis-url", "redis://u@a:1", "-redis-password-file", secretFile(t, "new\r\nmore")},
			func(o *redis.UniversalOptions) bool { return o.Username == "u" && o.Password == "new" }},
		"the same user in each URL": {[]string{"-redis-cluster", "-redis-url", "redis://u:p@a:1,redis://u:p@b:2"},
			func(o *redis.UniversalOptions) bool { return o.Password == "p" && len(o.Addrs) == 2 }},
		"database of a socket": {[]string{"-redis-url", "unix:///run/redis.sock?db=2"}, func(o *redis.UniversalOptions) bool { return o.DB == 2 }},
	} {
		if o, err := redisOptions(t, c.args...); err != nil || !c.want(o) {
			t.Errorf("%s: %+v, %v", name, o, err)
		}
	}
}

func TestRedisOptionsRefused(t *testing.T) {
	for want, args := range map[string][]string{
		"exclude each other":             {"-redis-cluster", "-redis-sentinel-master", "m"},
		"says what they are":             {"-redis-url", "redis://a:1,redis://b:2"},
		"a Redis Cluster has none":       {"-redis-cluster", "-redis-url", "redis://a:1/2"},
		"needs -redis-sentinel-master":   {"-redis-sentinel-password-file", "f"},
		"-redis-tls-key needs a rediss:": {"-redis-tls-key", "k.pem"},
		"remove one":                     {"-redis-url", "redis://:hunter2@a:1", "-redis-password-file", secretFile(t, "s")},
		"redis:// in all URLs":           {"-redis-cluster", "-redis-url", "redis://a:1,rediss://b:2"},
		"one user and password":          {"-redis-cluster", "-redis-url", "redis://:p@a:1,redis://:hunter2@b:2"},
		"first URL: they hold":           {"-redis-cluster", "-redis-url", "redis://a:1,redis://hunter2@b:2"},
		"one database":                   {"-redis-sentinel-master", "m", "-redis-url", "redis://a:1/1,redis://b:2/2"},
		"no parameters":                  {"-redis-url", "redis://a:1?hunter2=1"},
		"like redis://host:port":         {"-redis-url", "redis://a:1?db=1;hunter2"},
		"need each other":                {"-redis-url", "rediss://a:1", "-redis-tls-key", "k.pem"},
		"has no certificate in PEM":      {"-redis-url", "rediss://a:1", "-redis-tls-ca", secretFile(t, "no PEM")},
		"-redis-password-file: ":         {"-redis-password-file", "/does/not/exist"},
		"is empty":                       {"-redis-password-file", secretFile(t, "\n")},
		"-redis-tls-certificate: ":       {"-redis-url", "rediss://a:1", "-redis-tls-certificate", "/no", "-redis-tls-key", "/no"},
	} {
		wantLockerUsage(t, "redis", args, want)
	}
}

// wantLockerUsage fails unless flags of a locker end the start and a command that needs no
// lock with a usage error.
func wantLockerUsage(t *testing.T, locker string, args []string, want string) {
	t.Helper()
	args = append([]string{"-s3-bucket", "b", "-locker", locker}, args...)
	for _, args := range [][]string{args, append([]string{"ls"}, args...)} {
		code, _, stderr := run(args...)
		if code != exitUsage || !strings.Contains(stderr, want) || strings.Contains(stderr, "hunter2") {
			t.Errorf("%q: exit code %d, %q, want %q", args, code, stderr, want)
		}
	}
}

// A URL that is refused is not repeated: it may have a password.
func TestRedisURLRefused(t *testing.T) {
	for _, url := range []string{"redis://u:hunter2@h:port", "http://u:hunter2@h", "hunter2", ""} {
		code, _, stderr := run("-s3-bucket", "b", "-locker", "redis", "-redis-url", url)
		if code != exitUsage || strings.Contains(stderr, "hunter2") || !strings.Contains(stderr, "-redis-url") {
			t.Errorf("%q: exit code %d, %s", url, code, stderr)
		}
	}
	if code, _, stderr := run("-redis-url", "redis://h:1"); code != exitUsage || !strings.Contains(stderr, "redis-url") {
		t.Errorf("-redis-url with a directory: exit code %d, %s", code, stderr)
	}
}

// A server that has never reached its lock service starts, is not ready, answers what clients
// retry, and logs one line about the outage and one that it is not ready.
func TestUnreachableLockService(t *testing.T) {
	require.Long(t) // requests try for some seconds
	d := startInBucket(t, s3server.Start(t, s3server.Options{}), "-locker", "redis", "-redis-url", "redis://"+unusedAddress(t))
	var requests sync.WaitGroup
	for range 5 {
		requests.Go(func() {
			a := tus(t, "POST", d.url, "", "Upload-Length: 5")
			if a.want(t, 503); a.header.Get("Retry-After") == "" || !strings.HasPrefix(a.body, "ERR_LOCK_SERVICE_UNAVAILABLE") {
				t.Errorf("a creation gets %q with %v", a.body, a.header)
			}
		})
		requests.Go(func() { tus(t, "HEAD", d.url+rand.Text(), "").want(t, 423) })
	}
	requests.Wait()
	server := "http://" + d.address(t)
	if status, text := fetch(t, server+"/readyz"); status != 503 || !strings.HasSuffix(text, "\nlock: no lock can be acquired\n") {
		t.Errorf("ready: %d %q", status, text)
	}
	if _, text := fetch(t, server+"/metrics"); !strings.Contains(text, "\n"+`tusd_probe_up{probe="lock"} 0`) || !strings.Contains(text, `tusd_errors_total{code="ERR_LOCK_SERVICE_UNAVAILABLE",status="503"} 5`) {
		t.Error("the metrics do not show the outage")
	}
	log := d.stdout.String()
	if faults := strings.Count(log, "level=ERROR") + strings.Count(log, "level=WARN"); faults != 2 || strings.Count(log, `level=WARN msg="not ready" err="lock: `) != 1 || strings.Contains(log, "level=INFO msg=request") {
		t.Errorf("the outage has %d lines:\n%s", faults, log)
	}
}
