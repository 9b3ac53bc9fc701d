package cli

import (
	"bytes"
	"flag"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/filestore"
)

func TestDefaults(t *testing.T) {
	got, err := parseFlags(nil)
	if err != nil {
		t.Fatal(err)
	}
	want := config{
		host: "0.0.0.0", port: 8080, basePath: "/files/",
		uploadDir: "./data", durability: filestore.Ack,
		networkTimeout: 60 * time.Second, acquireLockTimeout: 20 * time.Second, shutdownTimeout: 10 * time.Second,
		verbose: true,
	}
	if got != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
}

func TestAllFlagsSet(t *testing.T) {
	got, err := parseFlags(strings.Fields("-host ::1 -port 65535 -base-path up --max-size=9 -upload-dir /d -durability none " +
		"-network-timeout 1s -acquire-lock-timeout 2s -shutdown-timeout 0 -verbose=false -version"))
	if err != nil {
		t.Fatal(err)
	}
	want := config{
		host: "::1", port: 65535, basePath: "/up/", maxSize: 9, uploadDir: "/d", durability: filestore.None,
		networkTimeout: time.Second, acquireLockTimeout: 2 * time.Second, showVersion: true,
	}
	if got != want {
		t.Errorf("%+v\nwant %+v", got, want)
	}
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

// TestEveryFlagOfV2 is there, or refused by name in each of the forms in which
// it can be given.
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
			_, err := parseFlags(args)
			if err == nil || !strings.HasPrefix(err.Error(), "-"+name+" is not supported yet: ") {
				t.Errorf("%q: %v", args, err)
			}
		}
	}
}

func TestFlagsOfOlderVersions(t *testing.T) {
	for name, advice := range map[string]string{
		"dir": "-upload-dir", "timeout": "-network-timeout", "store-size": "-max-size", "hooks-stop-code": "hook", "cpuprofile": "HTTP",
	} {
		_, err := parseFlags([]string{"-" + name, "1"})
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
			if n := strings.Count(help.String(), "\n  -"+f.Name); n != 1 {
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
