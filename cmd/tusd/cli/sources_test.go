package cli

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func configFile(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "tusd.conf")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// A flag comes before a variable, a variable before the file, the file before
// the default.
func TestPrecedence(t *testing.T) {
	file := configFile(t, "max-size 3\n")
	for _, c := range []struct {
		name string
		args []string
		env  environment
		want int64
		from string
	}{
		{"all", []string{"-config", file, "-max-size", "1"}, environment{"TUSD_MAX_SIZE": "2"}, 1, "-max-size"},
		{"flag and file", []string{"-config", file, "-max-size", "1"}, nil, 1, "-max-size"},
		{"variable and file", []string{"-config", file}, environment{"TUSD_MAX_SIZE": "2"}, 2, "TUSD_MAX_SIZE"},
		{"empty variable and file", []string{"-config", file}, environment{"TUSD_MAX_SIZE": ""}, 3, file + ", line 1"},
		{"file", []string{"-config", file}, nil, 3, file + ", line 1"},
		{"file by variable", nil, environment{"TUSD_CONFIG": file}, 3, file + ", line 1"},
		{"flag that says the default", []string{"-config", file, "-max-size", "0"}, environment{"TUSD_MAX_SIZE": "2"}, 0, "-max-size"},
		{"variable that says the default", []string{"-config", file}, environment{"TUSD_MAX_SIZE": "0"}, 0, "TUSD_MAX_SIZE"},
		{"nothing", nil, nil, 0, ""},
	} {
		cfg, err := readConfig(c.args, c.env)
		if err != nil || cfg.protocol.maxSize != c.want || cfg.given["max-size"] != c.from {
			t.Errorf("%s: -max-size is %d by %q, %v; want %d by %q", c.name, cfg.protocol.maxSize, cfg.given["max-size"], err, c.want, c.from)
		}
	}
}

// TestEverySetting can come from each of the three, with the same result.
func TestEverySetting(t *testing.T) {
	for name, value := range otherValues {
		if name == versionFlag {
			continue
		}
		want, wantErr := parse("-" + name + "=" + value)
		byVariable, varErr := readConfig(nil, environment{variableOf(name): value})
		byFile, fileErr := readConfig([]string{"-config", configFile(t, name+" "+value+"\n")}, nil)
		byVariable.given, byFile.given, byFile.configFile = nil, nil, ""
		if !reflect.DeepEqual(byVariable, want) || (varErr == nil) != (wantErr == nil) {
			t.Errorf("%s=%s: %+v, %v", variableOf(name), value, byVariable, varErr)
		}
		if !reflect.DeepEqual(byFile, want) || (fileErr == nil) != (wantErr == nil) {
			t.Errorf("file with %s %s: %+v, %v", name, value, byFile, fileErr)
		}
	}
}

func TestConfigFile(t *testing.T) {
	file := configFile(t, `
# A comment.
host   127.0.0.1
base-path	/up # another one
upload-dir a#b
cors-allow-origin ^https://[^ ]+\.example\.org$
behind-proxy
verbose false
`)
	cfg, err := readConfig([]string{"-config", file}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.listening.host != "127.0.0.1" || cfg.listening.basePath != "/up/" || cfg.storage.uploadDir != "a#b" || !cfg.listening.behindProxy || cfg.output.verbose ||
		cfg.cors.allowOrigin.String() != `^https://[^ ]+\.example\.org$` {
		t.Errorf("%+v", cfg)
	}
}

func TestErrorsNameTheirSource(t *testing.T) {
	for _, c := range []struct {
		name string
		args []string
		env  environment
		file string // content; "": none
		want []string
	}{
		{"flag", []string{"-port", "http"}, nil, "", []string{"flag -port", "must be a number"}},
		{"variable", nil, environment{"TUSD_PORT": "http"}, "", []string{"TUSD_PORT", "must be a number"}},
		{"file", nil, nil, "\nport http\n", []string{"tusd.conf, line 2", `"port"`, "must be a number"}},
		{"unknown key", nil, nil, "prot 80\n", []string{"tusd.conf, line 1", `no setting "prot"`}},
		{"key of the environment", nil, nil, "TUSD_PORT 80\n", []string{`no setting "TUSD_PORT"`}},
		{"key with an equals sign", nil, nil, "port=80\n", []string{`no setting "port" with "=" behind it`}},
		{"file in file", nil, nil, "config other\n", []string{`no setting "config"`}},
		{"version in file", nil, nil, "version true\n", []string{`no setting "version"`}},
		{"removed in file", nil, nil, "timeout 60\n", []string{"line 1: timeout is a setting of older versions: use -network-timeout"}},
		{"no value", nil, nil, "port 80\nhost\n", []string{"line 2: host needs a value"}},
		{"no value but a comment", nil, nil, "upload-dir # where to?\n", []string{"line 1: upload-dir needs a value"}},
		{"no value for what is not built", nil, nil, "hooks-http\n", []string{"line 1", "-hooks-http is not supported yet"}},
		{"unbuilt in file", nil, nil, "gcs-bucket b\n", []string{"line 1", "-gcs-bucket is not supported yet"}},
		{"unbuilt variable", nil, environment{"TUSD_GCS_BUCKET": "b"}, "", []string{"TUSD_GCS_BUCKET", "-gcs-bucket is not supported yet"}},
		{"twice", nil, nil, "port 1\nhost h\nport 2\n", []string{"line 3", "port is set a second time, after line 1"}},
		{"no file", []string{"-config", "/nowhere/tusd.conf"}, nil, "", []string{"-config", "/nowhere/tusd.conf"}},
		{"no file by variable", nil, environment{"TUSD_CONFIG": "/nowhere/tusd.conf"}, "", []string{"TUSD_CONFIG", "/nowhere/tusd.conf"}},
		{"contradiction", []string{"-disable-ietf"}, environment{"TUSD_ENABLE_EXPERIMENTAL_PROTOCOL": "1"}, "",
			[]string{"-disable-ietf and -enable-experimental-protocol (set by TUSD_ENABLE_EXPERIMENTAL_PROTOCOL) exclude each other"}},
		{"contradiction in file", nil, nil, "unix-sock /s\nport 80\n", []string{"line 1) and -port (set by ", "line 2) exclude each other"}},
	} {
		args := c.args
		if c.file != "" {
			args = append(args, "-config", configFile(t, c.file))
		}
		_, err := readConfig(args, c.env)
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %q in it", c.name, err, want)
			}
		}
	}
}

// Variables that begin like ours and are set by others do no harm.
func TestVariablesOfOthers(t *testing.T) {
	env := newEnvironment([]string{
		"TUSD_PORT=tcp://10.0.0.1:8080", "TUSD_SERVICE_HOST=10.0.0.1", "TUSD_SERVICE_PORT=8080", "TUSD_SERVICE_PORT_HTTP=8080",
		"TUSD_PORT_8080_TCP=tcp://10.0.0.1:8080", "TUSD_PORT_8080_TCP_ADDR=10.0.0.1", // Kubernetes
		"TUSD_VERSION=2.10.0", "TUSD_PPROF_AUTH=a:b", "TUSD_TEST_REQUIRE=node", "PATH=/bin", "TUSD_UPLOAD_DIR=/d",
	})
	cfg, err := readConfig(nil, env)
	if err != nil || cfg.listening.port != 8080 || cfg.showVersion || cfg.storage.uploadDir != "/d" {
		t.Errorf("%+v, %v", cfg, err)
	}
	if unknown := env.unknown(); unknown != nil {
		t.Errorf("%q are unknown", unknown)
	}
}

func TestUnknownVariables(t *testing.T) {
	env := environment{"TUSD_UPLAOD_DIR": "/d", "TUSD_DIR": "/d", "TUSD_MAX_SIZE": "1", "OTHER": "x"}
	if got := strings.Join(env.unknown(), " "); got != "TUSD_DIR TUSD_UPLAOD_DIR" {
		t.Errorf("unknown: %s", got)
	}
	cfg, err := readConfig(nil, env)
	if err != nil {
		t.Fatal(err)
	}
	warnings := strings.Join(cfg.warnings(env), "\n")
	for _, want := range []string{"TUSD_UPLAOD_DIR sets nothing: there is no such flag", "TUSD_DIR sets nothing: use -upload-dir"} {
		if !strings.Contains(warnings, want) {
			t.Errorf("warnings: %s; want %q", warnings, want)
		}
	}
}

func TestHelpComesFirst(t *testing.T) {
	if _, err := readConfig([]string{"-help"}, environment{"TUSD_PORT": "http"}); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("-help: %v", err)
	}
	if cfg, err := readConfig([]string{"-version"}, environment{"TUSD_PORT": "http"}); err != nil || !cfg.showVersion {
		t.Errorf("-version: %v", err)
	}
}

// No error repeats what was set: it may be a secret in the wrong place.
func TestErrorsDoNotRepeatValues(t *testing.T) {
	secrets := []string{"S3cr3t!", "https://user:S3cr3t!@host/", "user:S3cr3t!", "10.0.0.0/8,S3cr3t!", "(S3cr3t!", "{S3cr3t!}", "\"S3cr3t!\\\"\x01", "[S3cr3t!", "host:9000?S3cr3t!"}
	wantHidden := func(what string, err error) (failed bool) {
		t.Helper()
		if err != nil && strings.Contains(err.Error(), "S3cr3t") {
			t.Errorf("%s: %v", what, err)
		}
		return err != nil
	}
	failures := 0
	for name := range otherValues {
		for _, secret := range secrets {
			var failed [3]bool
			_, err := readConfig([]string{"-" + name + "=" + secret}, nil)
			failed[0] = wantHidden("-"+name, err)
			_, err = readConfig(nil, environment{variableOf(name): secret})
			failed[1] = wantHidden(variableOf(name), err)
			if name != "config" {
				_, err = readConfig([]string{"-config", configFile(t, name+" "+secret+"\n")}, nil)
				failed[2] = wantHidden("the file with "+name, err)
			}
			if failed[0] {
				failures++
			}
		}
	}
	if failures < 100 {
		t.Errorf("%d errors: hardly anything was tried", failures)
	}
	for _, args := range [][]string{
		{"S3cr3t!"}, {"-expose-pprof", "user:S3cr3t!"}, {"-=S3cr3t!"}, {"---S3cr3t!"}, {"-nothing=S3cr3t!"}, {"-port"},
		{"-config", configFile(t, "S3cr3t!\n")}, {"-config", configFile(t, "secret=S3cr3t!\n")}, {"-config", configFile(t, "nothing S3cr3t!\n")},
		{"-config", configFile(t, "secret: S3cr3t!\n")}, {"-config", configFile(t, "verbose S3cr3t!\n")},
	} {
		if _, err := readConfig(args, nil); !wantHidden(strings.Join(args, " "), err) {
			t.Errorf("%q: no error", args)
		}
	}
	for _, endpoint := range []string{"https://user:S3cr3t!@host", "user:S3cr3t!@host:9000", "https://host/?S3cr3t!", "https://host/#S3cr3t!", "https://S3cr3t!@host"} {
		if !wantHidden(endpoint, (s3Connection{endpoint: endpoint}).check()) {
			t.Errorf("the endpoint %s is taken", endpoint)
		}
	}
}
