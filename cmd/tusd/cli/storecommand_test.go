package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
)

// command runs a command of tusd to its end.
func runCommand(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	defer cancel()
	var out, errs bytes.Buffer
	code = Run(ctx, args, nil, &out, &errs)
	return code, out.String(), errs.String()
}

// wantCommand runs a command and compares its exit code and its output: a text that stdout
// or, if the code is not 0, stdout and stderr together must have.
func wantCommand(t *testing.T, code int, want string, args ...string) (stdout string) {
	t.Helper()
	got, stdout, stderr := runCommand(t, args...)
	if got != code || !strings.Contains(stdout+stderr, want) || code == exitOK && stderr != "" {
		t.Errorf("%q: exit code %d, want %d and %q\n%s%s", args, got, code, want, stdout, stderr)
	}
	return stdout
}

// An argument is an id, a URL or its path, also behind a proxy with another path.
func TestIDOfArgument(t *testing.T) {
	for _, c := range []struct{ base, public, argument, want string }{
		{"", "", "abc", "abc"},
		{"", "", "a/b+c", "a/b+c"},
		{"", "", "http://h:1/files/abc", "abc"},
		{"", "", "https://h/files/abc+mp.1%25", "abc+mp.1%"},
		{"", "", "https://h/files/abc%2Bmp", "abc+mp"},
		{"", "", "https://h/files/d/e", "d/e"},
		{"", "", "https://h/files/d%2Fe?x=1#y", "d/e"},
		{"", "", "/files/abc", "abc"},
		{"", "", "https://h/proxy/files/files/x", "files/x"},
		{"", "https://p/up", "https://p/up/abc", "abc"},
		{"/", "", "https://h/abc", "abc"},
		{"", "", "https://h/other/abc", ""},
		{"", "", "https://h/files/", ""},
		{"", "", "../x", ""},
		{"", "", "https://h/files/%zz", ""},
		{"", "", ".tusd.d", ""},
		{"", "", "", ""},
	} {
		cfg := config{listening: listenSettings{basePath: "/files/", publicURL: c.public}}
		if c.base != "" {
			cfg.listening.basePath = c.base
		}
		if id, err := cfg.idOf(c.argument); id != c.want && err == nil || (err == nil) != (c.want != "") {
			t.Errorf("%+v: %q, %v", c, id, err)
		}
	}
}

// Flags of a command may stand anywhere. They come from the command line only; settings
// come from all sources, in the same order as for the server.
func TestCommandConfig(t *testing.T) {
	var own bool
	declare := func(_ *config, f *flag.FlagSet) { f.BoolVar(&own, "json", false, "") }
	file := configFile(t, "upload-dir from-file\nmax-size 5\nbase-path /x\n")
	env := environment{"TUSD_JSON": "yes", "TUSD_MAX_SIZE": "6"}
	cfg, rest, err := readCommandConfig([]string{"a", "-config", file, "b", "-base-path", "/y", "--", "-c", "-json"}, env, declare)
	if err != nil || own || strings.Join(rest, " ") != "a b -c -json" || cfg.files().uploadDir != "from-file" || cfg.protocol.maxSize != 6 || cfg.listening.basePath != "/y/" {
		t.Errorf("%+v, own flag %t, arguments %q, %v", cfg, own, rest, err)
	}
	if _, _, err := readCommandConfig([]string{"-json", "x"}, nil, declare); err != nil || !own {
		t.Errorf("the own flag: %t, %v", own, err)
	}
	if _, _, err := readCommandConfig([]string{"-config", configFile(t, "json on\n")}, nil, declare); err == nil {
		t.Error("a file sets the flag of a command")
	}
	for args, want := range map[string]string{
		"-no-such-flag": "there is no flag -no-such-flag",
		"-gcs-bucket=x": "-gcs-bucket is not supported yet",
		"-max-size x":   "invalid value for flag -max-size",
	} {
		if _, _, err := readCommandConfig(strings.Fields(args), nil, declare); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
}

// A misspelt variable, which may name another store, is a warning.
func TestCommandWarnsOfVariables(t *testing.T) {
	var out, errs bytes.Buffer
	code := Run(t.Context(), []string{"ls", "-upload-dir", t.TempDir()}, []string{"TUSD_UPLAOD_DIR=x"}, &out, &errs)
	if code != exitOK || !strings.Contains(errs.String(), "TUSD_UPLAOD_DIR sets nothing: there is no such flag: did you mean TUSD_UPLOAD_DIR?") {
		t.Errorf("exit code %d, %s", code, &errs)
	}
}

// Wrong arguments end a command with 2, before it touches the store.
func TestCommandUsage(t *testing.T) {
	for args, want := range map[string]string{
		"show":                                "show needs the id or the URL of an upload",
		"rm":                                  "rm needs the id or the URL of an upload",
		"ls x":                                "ls has more arguments than it takes",
		"sweep x":                             "sweep has more arguments than it takes",
		"ls -class older":                     "invalid value for flag -class",
		"ls -class complete -running":         "-running lists requests",
		"ls -running":                         "needs its -admin-listen",
		"ls -running -admin-listen :0":        "needs the port of -admin-listen",
		"show ../x":                           `"../x" is neither the id nor the URL of an upload: a segment of an id is not ".."`,
		"verify a/b.info":                     `"a/b.info" is neither the id nor the URL of an upload: "b.info": a segment ends with .info`,
		"verify a//b":                         `"a//b" is neither the id nor the URL of an upload: a segment between slashes is empty`,
		"rm a\x1b[31m":                        `"a\x1b[31m" is neither`,
		"show " + strings.Repeat("x", 300):    "a segment of 300 bytes is too long",
		"show x" + strings.Repeat("/x", 500):  "an id of 1001 bytes is too long",
		"rm https://h/files/a%20b":            `"https://h/files/a%20b" is neither the id nor the URL of an upload: "a b": a byte is not allowed`,
		"rm https://h/x/y":                    "is not below that of -base-path",
		"sweep -sweep-unfinished -1h":         "invalid value for flag -sweep-unfinished",
		"rm x -s3-bucket b -upload-dir d":     "exclude each other",
		"verify -as":                          "-as needs one user",
		"rm x -s3-bucket b":                   "rm is refused with -s3-bucket: the locks are in the memory of each process, so other processes do not see them. Stop all servers",
		"sweep -s3-bucket b":                  "sweep is refused with -s3-bucket",
		"sweep -s3-bucket b -sweep-failed 1h": "-sweep-failed must be 0 or at least 24h",
	} {
		wantCommand(t, exitUsage, want, strings.Fields(args)...)
	}
}

// Commands make nothing in a directory that they only read, nor a missing one.
func TestCommandsOnDirectories(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.Mkdir("empty", 0o755); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"ls", exitOK, "STATE"}, {"verify", exitOK, "0 uploads verified, 0 with faults"},
		{"sweep -dry-run", exitOK, "would remove 0 uploads (0 bytes) and 0 leftovers; 0 failed; 0 leftovers stay"}, {"show x", exitFailed, "x: there is no such upload"},
	} {
		args := strings.Fields(c.args)
		wantCommand(t, c.code, c.want, append(args, "-upload-dir", "empty")...)
		wantCommand(t, exitFailed, "no such file or directory", append(args, "-upload-dir", "missing")...)
	}
	for _, command := range []string{"rm x", "sweep"} {
		wantCommand(t, exitFailed, "no such file or directory", append(strings.Fields(command), "-upload-dir", "missing")...)
	}
	left, err := filepath.Glob("*/*")
	hidden, _ := filepath.Glob("*/.*")
	if err != nil || len(left)+len(hidden) > 0 {
		t.Errorf("%q, %q are left, %v", left, hidden, err)
	}
	if _, err := os.Stat("missing"); err == nil {
		t.Error("the missing directory was made")
	}
}

// A server with -locker memory has the directory for itself: what changes uploads is
// refused with the reason, what reads is not.
func TestCommandsBesideALockerOfTheProcess(t *testing.T) {
	dir := t.TempDir()
	d := start(t, "-upload-dir", dir, "-locker", "memory")
	id := strings.TrimPrefix(create(t, http.DefaultClient, d.url, "5"), d.url)
	wantCommand(t, exitOK, id, "ls", "-upload-dir", dir)
	for _, locker := range []string{"file", "memory"} {
		wantCommand(t, exitFailed, "-locker memory, which lets no other process into the directory", "rm", id, "-upload-dir", dir, "-locker", locker)
	}
	d.end(t)
	wantCommand(t, exitOK, "removed "+id, "rm", id, "-upload-dir", dir, "-locker", "memory")
}

// In a bucket, uploads can be read beside a server. What changes them needs the promise
// that there is none.
func TestCommandsOnABucket(t *testing.T) {
	service := s3server.Start(t, s3server.Options{})
	d := startInBucket(t, service)
	location := tus(t, http.MethodPost, d.url, "hello", "Upload-Length: 5", "Upload-Metadata: filename YS50eHQ=").want(t, http.StatusCreated).header.Get("Location")
	half := create(t, http.DefaultClient, d.url, "6")
	bucket := []string{"-s3-bucket", service.Bucket(), "-s3-endpoint", service.URL}
	on := func(args ...string) []string { return append(args, bucket...) }

	before := service.Calls()
	listed := wantCommand(t, exitOK, "a.txt", on("ls")...)
	if strings.Count(listed, "\n") != 3 {
		t.Errorf("listed: %s", listed)
	}
	for _, call := range service.Calls()[len(before):] {
		if call.Operation != s3server.ListObjectsV2 && call.Operation != s3server.GetObject && call.Operation != s3server.HeadObject && call.Operation != s3server.ListParts && call.Operation != s3server.ListMultipartUploads {
			t.Errorf("ls calls %s", call.Operation)
		}
	}
	var shown struct {
		State  string
		Record struct{ Storage map[string]string }
	}
	if err := json.Unmarshal([]byte(wantCommand(t, exitOK, "", on("show", "-json", location)...)), &shown); err != nil || shown.State != "complete" || shown.Record.Storage["Bucket"] != service.Bucket() {
		t.Errorf("shown: %+v, %v", shown, err)
	}
	wantCommand(t, exitOK, "would remove 0 uploads", on("sweep", "-dry-run")...)
	for _, args := range [][]string{{"rm", half}, {"sweep"}} {
		wantCommand(t, exitUsage, "promise with -only-process that no other process uses the bucket", on(args...)...)
	}
	d.end(t)
	wantCommand(t, exitOK, "removed ", on("rm", "-only-process", half)...)
	wantCommand(t, exitOK, "removed 0 uploads (0 bytes)", on("sweep", "-only-process", "-sweep-unfinished", "1h")...)
	listed = wantCommand(t, exitOK, "a.txt", on("ls")...)
	if strings.Count(listed, "\n") != 2 {
		t.Errorf("listed after rm: %s", listed)
	}
}

// An upload of tusd v2 in a bucket has an id with a plus, and is shown and removed by its URL.
func TestCommandsOnAnUploadOfV2(t *testing.T) {
	service := s3server.Start(t, s3server.Options{})
	cleanAWS(t, credentialsFor(service)...)
	bucket := []string{"-s3-bucket", service.Bucket(), "-s3-endpoint", service.URL}
	cfg, err := parse(bucket...)
	if err != nil {
		t.Fatal(err)
	}
	storage, err := newS3Storage(*cfg.s3(), quiet)
	if err != nil {
		t.Fatal(err)
	}
	multipart, err := storage.store.Client.CreateMultipart(t.Context(), "object", s3store.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	id := "object+" + multipart
	service.Put("object.info", fmt.Appendf(nil, `{"ID":%q,"Size":9,"SizeIsDeferred":false,"Offset":0,"MetaData":{"filename":"of-v2.txt"},`+
		`"IsPartial":false,"IsFinal":false,"PartialUploads":null,"Storage":{"Bucket":%q,"Key":"object","Type":"s3store"}}`, id, service.Bucket()))
	on := func(args ...string) []string { return append(args, bucket...) }
	wantCommand(t, exitOK, id+"  of-v2.txt", on("ls")...)
	wantCommand(t, exitOK, `"id":"`+id+`"`, on("show", "-json", "https://old.example/files/"+id)...)
	wantCommand(t, exitOK, `"ID": "`+id+`"`, on("show", "https://old.example/files/"+strings.ReplaceAll(id, "+", "%2B"))...)
	wantCommand(t, exitOK, "removed "+id, on("rm", "-only-process", "https://old.example/files/"+id)...)
	for _, name := range service.Left() {
		if !strings.HasPrefix(name, ".tusd.d/side/removing/") { // tells the next server of the removal
			t.Errorf("%s is left", name)
		}
	}
}

// A command that is interrupted says so and ends with 1.
func TestInterruptedCommand(t *testing.T) {
	dir := t.TempDir()
	start(t, "-upload-dir", dir)
	for _, args := range [][]string{{"ls"}, {"verify"}, {"sweep", "-sweep-unfinished", "1h"}, {"rm", "x"}} {
		code, stdout, stderr := run(append(args, "-upload-dir", dir)...)
		if code != exitFailed || !strings.Contains(stderr, "tusd: "+args[0]+" was ended before it was done") {
			t.Errorf("%q: exit code %d, %s%s", args, code, stdout, stderr)
		}
	}
}

// The page with running requests is at the address of the admin server only.
func TestRunningPage(t *testing.T) {
	d := start(t)
	send(t, http.MethodGet, "http://"+d.address(t)+runningPath, "").want(t, http.StatusNotFound)
	d = start(t, "-admin-listen", "127.0.0.1:0")
	send(t, http.MethodGet, "http://"+d.address(t)+runningPath, "").want(t, http.StatusNotFound)
	admin := regexp.MustCompile(`below http://([^/]+)/`).FindStringSubmatch(d.stdout.String())[1]
	if got := send(t, http.MethodGet, "http://"+admin+runningPath, "").want(t, http.StatusOK); got.body != "[]\n" || got.header.Get("Content-Type") != "application/json" {
		t.Errorf("without requests: %q", got.body)
	}
	location := create(t, http.DefaultClient, d.url, "10")
	id := strings.TrimPrefix(location, d.url)
	body, write := io.Pipe()
	answered := make(chan error, 1)
	go func() {
		req, err := http.NewRequest(http.MethodPatch, location, body)
		if err == nil {
			req.Header = http.Header{"Tus-Resumable": {"1.0.0"}, "Upload-Offset": {"0"}, "Content-Type": {"application/offset+octet-stream"}}
			var resp *http.Response
			if resp, err = http.DefaultClient.Do(req); err == nil {
				resp.Body.Close()
			}
		}
		answered <- err
	}()
	if _, err := io.WriteString(write, "abc"); err != nil {
		t.Fatal(err)
	}
	await(t, "the request to run", func() bool {
		_, listed, _ := runCommand(t, "ls", "-running", "-json", "-admin-listen", admin)
		return strings.Contains(listed, `"received":3`) && strings.Contains(listed, `"id":"`+id+`"`)
	})
	if table := wantCommand(t, exitOK, id, "ls", "-running", "-admin-listen", admin); !strings.HasPrefix(table, "METHOD") || !strings.Contains(table, "PATCH") {
		t.Errorf("the table is %s", table)
	}
	write.Close()
	if err := <-answered; err != nil {
		t.Error(err)
	}
	d.end(t)
	wantCommand(t, exitFailed, "the server at -admin-listen does not answer", "ls", "-running", "-admin-listen", admin)
}
