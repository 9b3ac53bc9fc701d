package cli

import (
	"bytes"
	"flag"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/s3store"
)

// parse calls readConfig with flags only, and clears the sources.
func parse(args ...string) (config, error) {
	cfg, err := readConfig(args, nil)
	cfg.sources = nil
	return cfg, err
}

func TestDefaults(t *testing.T) {
	got, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	want := config{
		listening: listenSettings{host: "0.0.0.0", port: 8080, basePath: "/files/"},
		tls:       tlsSettings{mode: "tls12"},
		cors:      corsSettings{allowOrigin: regexp.MustCompile(".*"), maxAge: "86400"},
		storages: []storageSettings{
			&fileSettings{uploadDir: "./data", durability: filestore.Ack, dirPerms: 0o775, filePerms: 0o664},
			&s3Settings{
				profile: s3store.Profile{Name: "aws"}, partSize: 50 << 20, minPartSize: 5 << 20, bufferMemory: 256 << 20,
				bufferedParts: 20, concurrentParts: 10, startTimeout: 30 * time.Second, redirectLifetime: time.Hour,
			},
		},
		lockers: []lockerSettings{
			&fileLockerSettings{holderPoll: 40 * time.Millisecond, acquirerPoll: 40 * time.Millisecond},
			memoryLockerSettings{},
			&redisLockerSettings{servers: redisServers{addresses: []string{"localhost:6379"}, scheme: "redis"}, prefix: "tusd"},
			&consulLockerSettings{url: "http://localhost:8500", prefix: "tusd"},
			&etcdLockerSettings{servers: etcdServers{endpoints: []string{"http://localhost:2379"}}, prefix: "tusd"},
		},
		hooks: hookSettings{
			file:   fileHookSettings{timeout: 10 * time.Minute},
			http:   httpHookSettings{attempts: 3, backoff: time.Second, timeout: 15 * time.Second, sizeLimit: 5120},
			grpc:   grpcHookSettings{attempts: 3, backoff: time.Second, timeout: 15 * time.Second},
			plugin: pluginHookSettings{timeout: 10 * time.Minute},
			events: []tusd.EventType{
				tusd.EventPreCreate, tusd.EventPostCreate, tusd.EventPostReceive, tusd.EventPostTerminate, tusd.EventPostFinish,
			},
			interval: time.Second, delivery: "at-least-once", giveUpAfter: 24 * time.Hour,
		},
		monitoring: monitoringSettings{exposeMetrics: true, metricsPath: "/metrics", pprofPath: "/debug/pprof/", showGreeting: true},
		limits: limitSettings{
			maxHeaderSize: 256 << 10, maxMetadataSize: 14 << 10, maxPartials: 150,
			maxRequests: 10000, maxUploadsPerClient: 1000, maxConnectionsPerClient: 1000, minRateTime: 30 * time.Second,
		},
		housekeeping: housekeepingSettings{rate: 1000, storePolicy: "refuse"},
		timeouts: timeoutSettings{
			network: 60 * time.Second, acquireLock: 20 * time.Second,
			requestCompletion: 10 * time.Second, shutdown: 10 * time.Second,
		},
		output: outputSettings{verbose: true, logFormat: "text", showStartupLogs: true},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

// describe returns all settings as text, also those behind pointers.
func describe(cfg config) string {
	var text strings.Builder
	for _, s := range cfg.storages {
		fmt.Fprintf(&text, "%+v", s)
	}
	for _, l := range cfg.lockers {
		fmt.Fprintf(&text, "%+v", l)
	}
	cfg.storages, cfg.lockers = nil, nil
	fmt.Fprintf(&text, "%+v", cfg)
	return text.String()
}

// Each flag is stored in the config, in a field of its own.
func TestEveryFlagChangesTheConfig(t *testing.T) {
	preset, err := parse()
	if err != nil {
		t.Fatal(err)
	}
	changed := make(map[string]string) // from the changed config to the flag
	for name, value := range otherValues {
		got, err := readConfig([]string{"-" + name + "=" + value}, nil)
		if err != nil && !strings.Contains(err.Error(), " needs ") && !ofLockService(name) {
			t.Errorf("-%s=%s: %v", name, value, err)
		}
		got.sources = nil
		if reflect.DeepEqual(got, preset) {
			t.Errorf("-%s=%s changes nothing", name, value)
		}
		what := describe(got)
		if changed[what] != "" {
			t.Errorf("-%s and -%s change the same", name, changed[what])
		}
		changed[what] = name
	}
	for _, s := range sections(new(config)) {
		s.flags.VisitAll(func(f *flag.Flag) {
			if otherValues[f.Name] == "" && f.Name != "config" {
				t.Errorf("-%s is not tested", f.Name)
			}
		})
	}
}

// ofLockService reports whether a flag is of a lock service, which cannot be used with a
// directory.
func ofLockService(flagName string) bool {
	service, _, _ := strings.Cut(flagName, "-")
	return slices.ContainsFunc(lockerKinds, func(k lockerKind) bool { return k.name == service && k.scope == tusd.ScopeLease })
}

// otherValues has a value for every flag that is not its default, and that no other
// flag of the same type has.
var otherValues = map[string]string{
	"version": "true", "pid-file": "/run/pid", "host": "::1", "port": "65535", "unix-sock": "/run/s", "unix-sock-mode": "0666", "unix-sock-group": "www-data", "base-path": "up",
	"public-url": "https://up.example/x/",
	"enable-h2c": "true", "behind-proxy": "true", "trusted-proxies": "10.0.0.1, fd00::/8",
	"tls-certificate": "c.pem", "tls-key": "k.pem", "tls-mode": "tls13",
	"max-size": "1", "max-append-size": "2", "min-append-size": "3",
	"disable-ietf": "true", "enable-experimental-protocol": "true",
	"disable-download": "true", "disable-termination": "true", "disable-concatenation": "true",
	"digest": "md5", "checksum-spool": "/spool",
	"disable-cors": "true", "cors-allow-origin": "^a$", "cors-origins": "https://a.example,null", "cors-allow-credentials": "true",
	"cors-allow-methods": "M", "cors-allow-headers": "H", "cors-expose-headers": "E", "cors-max-age": "1",
	"upload-dir": "/d", "durability": "none", "min-free": "4", "file-key": "{id}", "storage-root": "/r",
	"dir-perms": "700", "file-perms": "0600",
	"locker": "memory", "filelock-holder-poll-interval": "1s", "filelock-acquirer-poll-interval": "2s",
	"redis-url": "rediss://r:1", "redis-cluster": "true", "redis-sentinel-master": "m", "redis-prefix": "rp",
	"redis-password-file": "/rpw", "redis-sentinel-password-file": "/rspw",
	"etcd-url": "https://e:1", "etcd-prefix": "ep", "etcd-password-file": "/epw",
	"etcd-tls-ca": "eca.pem", "etcd-tls-certificate": "ec.pem", "etcd-tls-key": "ek.pem",
	"redis-tls-ca": "rca.pem", "redis-tls-certificate": "rc.pem", "redis-tls-key": "rk.pem",
	"consul-url": "https://c:1", "consul-prefix": "cp", "consul-datacenter": "dc", "consul-token-file": "/ct",
	"consul-tls-ca": "cca.pem", "consul-tls-certificate": "cc.pem", "consul-tls-key": "ck.pem",
	"s3-bucket": "b", "s3-object-prefix": "p", "s3-endpoint": "http://e", "s3-profile": "r2", "s3-start-timeout": "8s",
	"s3-disable-ssl": "true", "s3-transfer-acceleration": "true",
	"s3-part-size": "12", "s3-min-part-size": "13", "s3-buffer-memory": "14", "s3-concurrent-part-uploads": "15", "s3-max-buffered-parts": "16",
	"s3-disable-content-hashes": "true", "s3-log-api-calls": "true", "s3-key": "{date}/{id}",
	"s3-redirect-downloads": "true", "s3-sweep-multipart": "true", "s3-redirect-lifetime": "2s",
	"s3-storage-class": "S", "s3-cache-control": "C", "s3-sse": "AES256", "s3-sse-kms-key": "K", "s3-tags": "a=b", "s3-metadata-keys": "m",
	"hooks-enabled-events": "post-finish, pre-access", "progress-hooks-interval": "18s", "hooks-delivery": "best-effort", "hooks-give-up-after": "19s",
	"hooks-order": "http,file", "hooks-keep-headers": "X-A", "hooks-dir": "/h", "hooks-file-timeout": "20s", "hooks-plugin": "/hp", "hooks-plugin-timeout": "21s",
	"hooks-http": "http://h", "hooks-http-forward-headers": "X-B", "hooks-http-retry": "4", "hooks-http-backoff": "22s", "hooks-http-timeout": "23s",
	"hooks-http-attempt-timeout": "24s", "hooks-http-size-limit": "20", "hooks-http-skip-verify": "true", "hooks-http-secret-file": "/hs",
	"hooks-http-tls-ca": "hca.pem", "hooks-http-tls-certificate": "hc.pem", "hooks-http-tls-key": "hk.pem",
	"hooks-grpc": "g:1", "hooks-grpc-retry": "5", "hooks-grpc-backoff": "25s", "hooks-grpc-timeout": "26s", "hooks-grpc-secure": "true", "hooks-grpc-forward-headers": "X-C",
	"hooks-grpc-server-tls-certificate": "gca.pem", "hooks-grpc-client-tls-certificate": "gc.pem", "hooks-grpc-client-tls-key": "gk.pem",
	"expose-metrics": "false", "metrics-path": "/m", "expose-pprof": "true", "pprof-path": "/p",
	"pprof-block-profile-rate": "1", "pprof-mutex-profile-rate": "2", "admin-listen": ":9090", "show-greeting": "false", "readyz-strict": "true",
	"max-header-size": "65536", "max-metadata-size": "7", "max-partials": "10", "max-requests": "8", "max-uploads-per-client": "9", "max-connections-per-client": "0",
	"min-rate": "11", "min-rate-time": "3s",
	"expire-after": "9s", "sweep-interval": "10s", "sweep-never-started": "11s", "sweep-unfinished": "12s", "sweep-partial": "13s",
	"sweep-complete": "14s", "sweep-failed": "15s", "sweep-dry-run": "true", "sweep-rate": "12", "owner-metadata": "o",
	"store-size": "17", "store-policy": "unfinished", "owner-quota": "18", "owner-max-upload": "19",
	"network-timeout": "4s", "idle-timeout": "5s", "acquire-lock-timeout": "6s", "request-completion-timeout": "7s", "shutdown-timeout": "0",
	"verbose": "false", "log-format": "json", "show-startup-logs": "false",
}

func TestCleanBasePath(t *testing.T) {
	for text, want := range map[string]string{
		"/files/": "/files/", "files": "/files/", "/": "/", "": "/", "//": "/", "a/b/": "/a/b/",
		"/my files/": "/my%20files/", "/ü": "/%C3%BC/",
		"/a/../b": "", "/a//b": "", "/./": "", "http://h/files/": "", "//h/files/": "", "/a?b": "", "/a#b": "", "/%zz": "",
	} {
		got, err := cleanBasePath(text)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
}

// flagsOfV2 are all flags of tusd v2.10.
const flagsOfV2 = `host port unix-sock base-path behind-proxy enable-h2c tls-certificate tls-key tls-mode
	enable-experimental-protocol disable-download disable-termination disable-concatenation max-size
	disable-cors cors-allow-origin cors-allow-credentials cors-allow-methods cors-allow-headers cors-expose-headers cors-max-age
	upload-dir filelock-holder-poll-interval filelock-acquirer-poll-interval dir-perms file-perms
	s3-bucket s3-object-prefix s3-endpoint s3-part-size s3-min-part-size s3-max-buffered-parts s3-disable-content-hashes
	s3-disable-ssl s3-concurrent-part-uploads s3-transfer-acceleration s3-log-api-calls
	gcs-bucket gcs-object-prefix gcs-endpoint
	azure-storage azure-container-access-type azure-blob-access-tier azure-object-prefix azure-endpoint
	hooks-enabled-events progress-hooks-interval hooks-dir
	hooks-http hooks-http-forward-headers hooks-http-retry hooks-http-backoff hooks-http-timeout hooks-http-size-limit hooks-http-skip-verify
	hooks-grpc hooks-grpc-retry hooks-grpc-backoff hooks-grpc-secure hooks-grpc-server-tls-certificate
	hooks-grpc-client-tls-certificate hooks-grpc-client-tls-key hooks-grpc-forward-headers hooks-plugin
	expose-metrics metrics-path expose-pprof pprof-path pprof-block-profile-rate pprof-mutex-profile-rate
	show-greeting version verbose show-startup-logs log-format
	network-timeout shutdown-timeout acquire-lock-timeout request-completion-timeout`

// Each flag of tusd v2 is declared, or refused by name in each form in which it can
// be given.
func TestEveryFlagOfV2(t *testing.T) {
	names := strings.Fields(flagsOfV2)
	if len(names) != 79 {
		t.Fatalf("%d flags, want 79", len(names))
	}
	built := make(map[string]bool)
	for _, s := range sections(new(config)) {
		s.flags.VisitAll(func(f *flag.Flag) { built[f.Name] = true })
	}
	for _, name := range names {
		if built[name] {
			continue
		}
		for _, args := range [][]string{{"-" + name}, {"--" + name, "value"}, {"-" + name + "=value"}, {"-" + name + "=false"}} {
			_, err := parse(args...)
			if err == nil || !strings.HasPrefix(err.Error(), "-"+name+" is not supported yet: ") {
				t.Errorf("%q: %v", args, err)
			}
		}
	}
}

func TestFlagsOfOlderVersions(t *testing.T) {
	for name, advice := range map[string]string{
		"dir": "-upload-dir", "timeout": "-network-timeout", "hooks-stop-code": "hook", "cpuprofile": "-expose-pprof",
	} {
		_, err := parse("-"+name, "1")
		if err == nil || !strings.HasPrefix(err.Error(), "-"+name+" is a flag of older versions: ") || !strings.Contains(err.Error(), advice) {
			t.Errorf("-%s: %v", name, err)
		}
	}
}

func TestHelpNamesEveryFlagOnce(t *testing.T) {
	var help bytes.Buffer
	writeHelp(&help)
	for _, s := range sections(new(config)) {
		s.flags.VisitAll(func(f *flag.Flag) {
			if n := len(regexp.MustCompile(`(?m)^  -`+f.Name+`( |$)`).FindAllString(help.String(), -1)); n != 1 {
				t.Errorf("-%s is explained %d times", f.Name, n)
			}
		})
	}
	for line := range strings.Lines(help.String()) {
		if len(line) > 80 {
			t.Errorf("too wide for a terminal: %s", line)
		}
	}
}
