package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// The tests in this file show the differences from tusd v2.10 in docs/migrating.md that
// no other test shows.

// The upload directory has the files of tusd v2 and one file for all locks. A removed
// upload leaves no file.
func TestFilesOfUploads(t *testing.T) {
	dir := t.TempDir()
	d := start(t, "-upload-dir", dir)
	location := create(t, http.DefaultClient, d.url, "11")
	id := strings.TrimPrefix(location, d.url)
	tus(t, "PATCH", location, "hello ", "Upload-Offset: 0").want(t, 204)
	if got, want := filesIn(t, dir), []string{".tusd.locks", id, id + ".info"}; !slices.Equal(got, want) {
		t.Errorf("the directory has %q, want %q", got, want)
	}
	terminated(t, location)
	if got := filesIn(t, dir); !slices.Equal(got, []string{".tusd.locks"}) {
		t.Errorf("after the removal it has %q", got)
	}
}

// The IETF draft needs no flag.
func TestDraftIsSpoken(t *testing.T) {
	const interop = "Upload-Draft-Interop-Version: 6"
	for flag, want := range map[string]int{"-enable-experimental-protocol": 201, "-disable-download": 201, "-disable-ietf": 412} {
		d := start(t, flag)
		send(t, "POST", d.url, "hello", interop, "Upload-Complete: ?1").want(t, want)
	}
}

// Forwarded fields of a peer on the loopback are used without a flag. With
// -trusted-proxies none they are ignored, like in tusd v2 without -behind-proxy.
func TestForwardedNeedsNoFlag(t *testing.T) {
	for _, c := range []struct{ flag, want string }{
		{"-show-greeting", "https://up.example/files/"},
		{"-behind-proxy", "https://up.example/files/"},
		{"-trusted-proxies=none", "http://127.0.0.1:"},
	} {
		d := start(t, c.flag)
		got := tus(t, "POST", d.url, "", "Upload-Length: 1", "X-Forwarded-Proto: https", "X-Forwarded-Host: up.example:443").want(t, 201)
		if location := got.header.Get("Location"); !strings.HasPrefix(location, c.want) {
			t.Errorf("%s: Location %s, want %s...", c.flag, location, c.want)
		}
	}
}

// The log has one line for a request, with other keys than tusd v2's. In the JSON format
// the start-up lines are JSON, too.
func TestLogOfAnUpload(t *testing.T) {
	d := start(t, "-log-format", "json", "-verbose=false")
	location := tus(t, "POST", d.url, "", "Upload-Length: 1", "X-Request-ID: abc").want(t, 201).header.Get("Location")
	send(t, "GET", location, "").want(t, 409)
	if code := d.end(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	var requests []string
	var uploads string // host and port
	for line := range strings.Lines(d.stdout.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("%q is no JSON: %v", line, err)
		} else if fields["msg"] == "request" {
			requests = append(requests, line)
		} else if where := regexp.MustCompile(`You can now upload files to: (https?://([^/]+)/\S*)`).FindStringSubmatch(line); where != nil {
			uploads = where[2]
		}
	}
	if !strings.HasPrefix(d.url, "http://"+uploads+"/") || uploads == "" {
		t.Errorf("the start-up line has the address %q, want %s", uploads, d.url)
	}
	slices.SortFunc(requests, func(a, b string) int { // a line is written after its answer
		return strings.Compare(b[strings.Index(b, `"method"`):], a[strings.Index(a, `"method"`):])
	})
	if len(requests) != 2 || !strings.Contains(requests[0], `"request_id":"abc"`) || !strings.Contains(requests[1], `"code":"ERR_INCOMPLETE_UPLOAD"`) {
		t.Errorf("lines of requests: %q", requests)
	}
}

func TestLogAsText(t *testing.T) {
	d := start(t)
	tus(t, "OPTIONS", d.url, "").want(t, 200)
	line := regexp.MustCompile(`(?m)^time=\S+ level=INFO msg=request method=OPTIONS path=/files/ status=200 `)
	await(t, "the line of a request", func() bool { return line.MatchString(d.stdout.String()) })
}

// An error that ends the start is text on stderr, or a line of the JSON log.
func TestFatalErrors(t *testing.T) {
	failing := []string{"-host", "127.0.0.1", "-port", "0", "-upload-dir", "/dev/null/x"}
	code, stdout, stderr := run(failing...)
	if code != exitFailed || stdout != "" || !strings.HasPrefix(stderr, "tusd: ") {
		t.Errorf("exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	code, stdout, stderr = run(append(failing, "-log-format", "json")...)
	if code != exitFailed || stderr != "" || !strings.Contains(stdout, `"level":"ERROR"`) {
		t.Errorf("as JSON: exit code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

// Some metrics count differently from tusd v2.
func TestCountsOfUploads(t *testing.T) {
	d := start(t)
	part := tus(t, "POST", d.url, "hello", "Upload-Length: 5", "Upload-Concat: partial").want(t, 201).header.Get("Location")
	tus(t, "POST", d.url, "", "Upload-Concat: final;"+part).want(t, 201)
	tus(t, "PUT", part, "").want(t, 405)
	tus(t, "PATCH", part, "x", "Upload-Offset: 5").want(t, 413)
	_, metrics := fetch(t, strings.TrimSuffix(d.url, "files/")+"metrics")
	for _, want := range []string{
		"tusd_uploads_created 2",
		"tusd_uploads_finished 2",
		"tusd_bytes_received 5",
		`tusd_errors_total{code="ERR_METHOD_NOT_ALLOWED",status="405"} 1`,
	} {
		if !strings.Contains(metrics, "\n"+want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
}

// Reserved names are not served as uploads, even if tusd v2 has created uploads with them.
func TestNamesThatAreNotServed(t *testing.T) {
	dir := t.TempDir()
	d := start(t, "-upload-dir", dir)
	for _, id := range []string{"movie.part", "setup.info", ".tusdrc", strings.Repeat("x", 241)} {
		const fields = `"Size":11,"SizeIsDeferred":false,"Offset":0,"MetaData":{},"IsPartial":false,"IsFinal":false,"PartialUploads":null`
		for name, content := range map[string]string{id: "hello ", id + ".info": recordOfV2(dir, id, fields)} {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		tus(t, "HEAD", d.url+id, "").want(t, 404)
		tus(t, "DELETE", d.url+id, "").want(t, 404)
		if !strings.HasPrefix(send(t, "GET", d.url+id, "").body, "ERR_INVALID_UPLOAD_ID: ") {
			t.Errorf("%s is not refused as an invalid id", id)
		}
	}
}

// The upload directory may be a symbolic link.
func TestDirectoryBehindALink(t *testing.T) {
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(directoryOfV2(t), link); err != nil {
		t.Fatal(err)
	}
	d := start(t, "-upload-dir", link)
	wantDownload(t, d.url+idFinished, "hello world")
	tus(t, "PATCH", d.url+idIncomplete, "world", "Upload-Offset: 6").want(t, 204, "Upload-Offset: 11")
}

// TestWindowsDoc compares the windows of HTTP/2 in docs/migrating.md with the code.
func TestWindowsDoc(t *testing.T) {
	text, err := os.ReadFile("../../../docs/migrating.md")
	if err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprintf("| %d MiB, %d MiB per connection |", streamWindow>>20, connectionWindow>>20)
	if !strings.Contains(string(text), want) {
		t.Errorf("docs/migrating.md has no cell %q", want)
	}
}
