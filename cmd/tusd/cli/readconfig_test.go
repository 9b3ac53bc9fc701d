package cli

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
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

// A flag has precedence over a variable, a variable over the file, and the file over the
// default.
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
		{"flag with the default", []string{"-config", file, "-max-size", "0"}, environment{"TUSD_MAX_SIZE": "2"}, 0, "-max-size"},
		{"variable with the default", []string{"-config", file}, environment{"TUSD_MAX_SIZE": "0"}, 0, "TUSD_MAX_SIZE"},
		{"nothing", nil, nil, 0, ""},
	} {
		cfg, err := readConfig(c.args, c.env)
		if err != nil || cfg.protocol.maxSize != c.want || cfg.sources["max-size"] != c.from {
			t.Errorf("%s: -max-size is %d by %q, %v; want %d by %q", c.name, cfg.protocol.maxSize, cfg.sources["max-size"], err, c.want, c.from)
		}
	}
}

// Every setting has the same result from a flag, a variable and the file.
func TestEverySetting(t *testing.T) {
	t.Parallel()
	for name, value := range otherValues {
		if name == versionFlag {
			continue
		}
		want, wantErr := parse("-" + name + "=" + value)
		byVariable, varErr := readConfig(nil, environment{variableOf(name): value})
		byVariable.sources = nil
		if !reflect.DeepEqual(byVariable, want) || (varErr == nil) != (wantErr == nil) {
			t.Errorf("%s=%s: %+v, %v", variableOf(name), value, byVariable, varErr)
		}
		for _, form := range []string{"%s %s", "%s=%s", "%s = %s", "%s: %s", "%s : %s", "\t%s\t%s # comment", "%s \"%s\"", "%s='%s' # comment", "%s: \"%s\"\r", "\ufeff%s %s"} {
			line := fmt.Sprintf(form, name, value)
			byFile, err := readConfig([]string{"-config", configFile(t, line+"\n")}, nil)
			byFile.sources, byFile.configFile = nil, ""
			if !reflect.DeepEqual(byFile, want) || (err == nil) != (wantErr == nil) {
				t.Errorf("file with %q: %+v, %v", line, byFile, err)
			}
		}
		for _, quoted := range []string{`"` + value + `"`, "'" + value + "'"} {
			byFlag, flagErr := parse("-" + name + "=" + quoted)
			byVariable, varErr := readConfig(nil, environment{variableOf(name): quoted})
			byVariable.sources = nil
			if !reflect.DeepEqual(byFlag, want) || !reflect.DeepEqual(byVariable, want) || (flagErr == nil) != (wantErr == nil) || (varErr == nil) != (wantErr == nil) {
				t.Errorf("%s in quotes: %v, %v", name, flagErr, varErr)
			}
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
	if cfg.listening.host != "127.0.0.1" || cfg.listening.basePath != "/up/" || cfg.files().uploadDir != "a#b" || !cfg.listening.behindProxy || cfg.output.verbose ||
		cfg.cors.allowOrigin.String() != `^https://[^ ]+\.example\.org$` {
		t.Errorf("%+v", cfg)
	}
}

// Values in a file can begin with a separator or contain quotes.
func TestValuesInAFile(t *testing.T) {
	for line, want := range map[string]string{
		`admin-listen :9090`:                        ":9090",
		`admin-listen=:9090`:                        ":9090",
		`admin-listen: :9090`:                       ":9090",
		`admin-listen ":9090"`:                      ":9090",
		`upload-dir "/srv/a # b"`:                   "/srv/a # b",
		`upload-dir = '/srv/a # b' # here`:          "/srv/a # b",
		`upload-dir=#a`:                             "#a",
		`upload-dir /srv/a=b`:                       "/srv/a=b",
		`upload-dir C:\data`:                        `C:\data`,
		`upload-dir "C:\new data\"`:                 `C:\new data\`,
		`upload-dir /srv/Bob's "files"`:             `/srv/Bob's "files"`,
		`upload-dir "it's"`:                         "it's",
		`upload-dir '19"'`:                          `19"`,
		`upload-dir " "`:                            " ",
		`s3-cache-control private="set-cookie"`:     `private="set-cookie"`,
		`s3-cache-control: no-cache="a", max-age=5`: `no-cache="a", max-age=5`,
		`host ""`:   "",
		`host = ''`: "",
	} {
		cfg, err := readConfig([]string{"-config", configFile(t, line+"\nbase-path /set\n")}, nil)
		got := map[string]string{
			"admin-listen": cfg.monitoring.adminListen, "upload-dir": cfg.files().uploadDir,
			"s3-cache-control": cfg.s3().object.CacheControl, "host": cfg.listening.host,
		}[regexp.MustCompile(`^[a-z0-9-]+`).FindString(line)]
		if got != want || cfg.listening.basePath != "/set/" || err != nil && !strings.Contains(err.Error(), "needs -s3-bucket") {
			t.Errorf("%s: %q, %v; want %q", line, got, err, want)
		}
	}
}

// A variable with empty quotes sets an empty value. An empty variable sets nothing.
func TestEmptyVariable(t *testing.T) {
	for value, want := range map[string]string{"": "0.0.0.0", `""`: "", "''": ""} {
		if cfg, err := readConfig(nil, environment{"TUSD_HOST": value}); err != nil || cfg.listening.host != want {
			t.Errorf("TUSD_HOST=%s: %q, %v; want %q", value, cfg.listening.host, err, want)
		}
	}
}

// A password may contain quotes where other values must not.
func TestQuotesOfTheProfilesPassword(t *testing.T) {
	for value, want := range map[string]string{`"a:b"`: "a:b", `a:b"`: `a:b"`, `'a:b`: "", "a:b": "a:b"} {
		cfg, err := readConfig([]string{"-expose-pprof"}, environment{"TUSD_PPROF_AUTH": value})
		if cfg.monitoring.pprofAuth != want || (err == nil) != (want != "") {
			t.Errorf("TUSD_PPROF_AUTH=%s: %q, %v; want %q", value, cfg.monitoring.pprofAuth, err, want)
		}
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
		{"unknown key with an equals sign", nil, nil, "prot=80\n", []string{`line 1: there is no setting "prot": did you mean port?`}},
		{"unknown key with a colon", nil, nil, "uplaod-dir: /d\n", []string{`there is no setting "uplaod-dir": did you mean upload-dir?`}},
		{"key of a flag", nil, nil, "--max-size 1\n", []string{`there is no setting "--max-size": did you mean max-size?`}},
		{"key unlike any", nil, nil, "colour red\n", []string{`there is no setting "colour"`}},
		{"no value behind =", nil, nil, "host=\n", []string{`line 1: host needs a value behind "="`}},
		{"on or off without a value behind =", nil, nil, "verbose = # or not\n", []string{`verbose needs a value behind "="`}},
		{"no value behind a colon", nil, nil, "host:\n", []string{`host needs a value behind ":"`}},
		{"no name", nil, nil, "= 80\n", []string{"line 1: it does not begin with the name of a setting"}},
		{"quote that is not closed", nil, nil, "port 1\nupload-dir \"/srv/up loads\n", []string{"line 2", "begins with a quote that is not closed"}},
		{"quote that is not opened", nil, nil, "upload-dir /srv/up loads'\n", []string{"line 1", "ends with a quote that is not opened"}},
		{"quotes of two kinds", nil, nil, "upload-dir \"/srv'\n", []string{"begins with a quote that is not closed"}},
		{"two quoted values", nil, nil, "cors-origins \"https://a.example\", \"https://b.example\"\n", []string{"goes on behind its closing quote"}},
		{"comment that touches a quote", nil, nil, "upload-dir \"/srv\"#x\n", []string{"goes on behind its closing quote"}},
		{"removed with an equals sign", nil, nil, "dir=/d\n", []string{"dir is a setting of older versions: use -upload-dir"}},
		{"twice in two forms", nil, nil, "port=1\nport: 2\n", []string{"port is set a second time, after line 1"}},
		{"neither on nor off", nil, nil, "verbose = maybe\n", []string{"line 1", "true or false, yes or no, on or off"}},
		{"duration without a unit", nil, nil, "network-timeout = 60\n", []string{"line 1", "a duration with a unit"}},
		{"file in file", nil, nil, "config other\n", []string{`no setting "config"`}},
		{"misspelt version in file", nil, nil, "versoin true\n", []string{`no setting "versoin"`}},
		{"version in file", nil, nil, "version true\n", []string{`no setting "version"`}},
		{"removed in file", nil, nil, "timeout 60\n", []string{"line 1: timeout is a setting of older versions: use -network-timeout"}},
		{"no value", nil, nil, "port 80\nhost\n", []string{"line 2: host needs a value"}},
		{"no value but a comment", nil, nil, "upload-dir # where to?\n", []string{"line 1: upload-dir needs a value"}},
		{"unsupported without a value", nil, nil, "gcs-endpoint\n", []string{"line 1", "-gcs-endpoint is not supported yet"}},
		{"unsupported in file", nil, nil, "gcs-bucket b\n", []string{"line 1", "-gcs-bucket is not supported yet"}},
		{"unsupported variable", nil, environment{"TUSD_GCS_BUCKET": "b"}, "", []string{"TUSD_GCS_BUCKET", "-gcs-bucket is not supported yet"}},
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
		if suggested := regexp.MustCompile(`did you mean (config|version)\?`); err != nil && suggested.MatchString(err.Error()) {
			t.Errorf("%s: %v; that cannot be set in this source", c.name, err)
		}
		for _, want := range c.want {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("%s: %v; want %q in it", c.name, err, want)
			}
		}
	}
}

// Variables of other programs with the prefix TUSD_ are ignored.
func TestVariablesOfOtherPrograms(t *testing.T) {
	env := newEnvironment([]string{
		"TUSD_PORT=tcp://10.0.0.1:8080", "TUSD_SERVICE_HOST=10.0.0.1", "TUSD_SERVICE_PORT=8080", "TUSD_SERVICE_PORT_HTTP=8080",
		"TUSD_PORT_8080_TCP=tcp://10.0.0.1:8080", "TUSD_PORT_8080_TCP_ADDR=10.0.0.1", // Kubernetes
		"TUSD_VERSION=2.10.0", "TUSD_PPROF_AUTH=a:b", "TUSD_TEST_REQUIRE=node", "PATH=/bin", "TUSD_UPLOAD_DIR=/d",
	})
	cfg, err := readConfig(nil, env)
	if err != nil || cfg.listening.port != 8080 || cfg.showVersion || cfg.files().uploadDir != "/d" {
		t.Errorf("%+v, %v", cfg, err)
	}
	if unknown := env.unknown(); unknown != nil {
		t.Errorf("%q are unknown", unknown)
	}
}

func TestUnknownVariables(t *testing.T) {
	env := environment{"TUSD_UPLAOD_DIR": "/d", "TUSD_DIR": "/d", "TUSD_MAX_SIZE": "1", "tusd_max_size": "2", "OTHER": "x"}
	if got := strings.Join(env.unknown(), " "); got != "TUSD_DIR TUSD_UPLAOD_DIR tusd_max_size" {
		t.Errorf("unknown: %s", got)
	}
	cfg, err := readConfig(nil, env)
	if err != nil {
		t.Fatal(err)
	}
	warnings := strings.Join(cfg.warnings(env), "\n")
	for _, want := range []string{"TUSD_UPLAOD_DIR sets nothing: there is no such flag: did you mean TUSD_UPLOAD_DIR?", "tusd_max_size sets nothing: there is no such flag: did you mean TUSD_MAX_SIZE?", "TUSD_DIR sets nothing: use -upload-dir"} {
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

// No error repeats a value: it may be a secret in the wrong place.
func TestErrorsDoNotRepeatValues(t *testing.T) {
	t.Parallel()
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
		t.Errorf("only %d errors, want 100 or more", failures)
	}
	for _, args := range [][]string{
		{"S3cr3t!"}, {"-expose-pprof", "user:S3cr3t!"}, {"-=S3cr3t!"}, {"---S3cr3t!"}, {"-nothing=S3cr3t!"}, {"-port"},
		{"-config", configFile(t, "S3cr3t!\n")}, {"-config", configFile(t, "secret=S3cr3t!\n")}, {"-config", configFile(t, "nothing S3cr3t!\n")},
		{"-config", configFile(t, "secret: S3cr3t!\n")}, {"-config", configFile(t, "S3cr3t==\n")}, {"-config", configFile(t, "S3cr3t: # x\n")},
		{"-config", configFile(t, "upload-dir 'S3cr3t!\n")}, {"-config", configFile(t, "S3cr3t! 1\n")}, {"-port", "0", "S3cr3t!"}, {"-verbose", "S3cr3t!"},
		{"-config", configFile(t, "verbose S3cr3t!\n")},
	} {
		if _, err := readConfig(args, nil); !wantHidden(strings.Join(args, " "), err) {
			t.Errorf("%q: no error", args)
		}
	}
	for _, endpoint := range []string{"https://user:S3cr3t!@host", "user:S3cr3t!@host:9000", "https://host/?S3cr3t!", "https://host/#S3cr3t!", "https://S3cr3t!@host"} {
		if !wantHidden(endpoint, (s3Connection{endpoint: endpoint}).check()) {
			t.Errorf("the endpoint %s is accepted", endpoint)
		}
	}
}

// No content makes the parser panic, and one line sets at most one setting.
func FuzzConfigFile(f *testing.F) {
	for _, seed := range []string{"port 80", "port=80\r\n", "\ufeffhost: '::1' # x", "upload-dir \"a # b\"", "verbose", "=", ":", "'", "a='", "port=\nport: ''", "--max_size = 10G"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, content string) {
		flags := allFlags(new(config), new(error))
		parser := configParser{file: "f", flags: flags, sources: make(settingSources), seen: make(map[string]int)}
		err := parser.parse(strings.NewReader(content), flags.Set)
		if err == nil && strings.Count(content, "\n") == 0 && len(parser.seen) > 1 {
			t.Errorf("one line sets %v", parser.seen)
		}
	})
}
