//go:build unix

package readmetest

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"image"
	"image/png"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/httphook"
	"github.com/tus/tusd/internal/require"
)

// The examples of docs/hooks.md are in examples/hooks.

// example returns the path of a file of an example.
func example(t *testing.T, name string) string {
	t.Helper()
	return filepath.Join(checkout(t), "examples", "hooks", name)
}

// TestHookExamples runs each example with the daemon.
func TestHookExamples(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "tusd")
	compile(t, binary, "./cmd/tusd")
	for name, run := range map[string]func(*testing.T, daemon){
		"file": runFileHooks, "http": runHTTPHook, "grpc": runGRPCHook, "plugin": runPluginHook, "token": runTokens, "movefiles": runMovingFiles,
	} {
		t.Run(name, func(t *testing.T) { run(t, daemon(binary)) })
	}
}

// daemon is the executable.
type daemon string

// serve runs the daemon with hooks and returns its creation URL.
func (d daemon) serve(t *testing.T, flags ...string) string {
	t.Helper()
	address, _ := serve(t, string(d), flags...)
	return "http://" + address + "/files/"
}

func needPython(t *testing.T) {
	t.Helper()
	_, err := exec.LookPath("python3")
	require.Need(t, "python", err == nil, "python3 is not on the PATH")
}

// startEndpoint runs an example in Python and returns its URL.
func startEndpoint(t *testing.T, name string, flags ...string) string {
	t.Helper()
	address := freeAddress(t)
	_, port, _ := strings.Cut(address, ":")
	s := start(t, exec.Command("python3", append([]string{example(t, name), "--port", port}, flags...)...))
	s.accepts(t, address)
	return "http://" + address + "/"
}

// accepts waits until the server takes connections at address.
func (s *server) accepts(t *testing.T, address string) {
	t.Helper()
	eventually(t, "a server listens at "+address, func() bool {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			return false
		}
		conn.Close()
		return true
	})
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	poll := time.NewTicker(20 * time.Millisecond)
	defer poll.Stop()
	deadline := time.After(startLimit)
	for !holds() {
		select {
		case <-poll.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", startLimit, what)
		}
	}
}

// tus makes a request and returns the answer and its body. fields are "Name: value".
func tus(t *testing.T, method, url, body string, fields ...string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Tus-Resumable", "1.0.0")
	if method == http.MethodPatch {
		request.Header.Set("Upload-Offset", "0")
		request.Header.Set("Content-Type", "application/offset+octet-stream")
	}
	for _, field := range fields {
		name, value, _ := strings.Cut(field, ": ")
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(content)
}

// want makes a request and fails if its status is another one.
func want(t *testing.T, status int, method, url, body string, fields ...string) (*http.Response, string) {
	t.Helper()
	response, content := tus(t, method, url, body, fields...)
	if response.StatusCode != status {
		t.Fatalf("%s %s: %d %q, want %d", method, url, response.StatusCode, content, status)
	}
	return response, content
}

// metadata returns the field Upload-Metadata with one pair.
func metadata(key, value string) string {
	return "Upload-Metadata: " + key + " " + base64.StdEncoding.EncodeToString([]byte(value))
}

// upload creates an upload with content, and returns its URL and the answer that finishes it.
func upload(t *testing.T, status int, endpoint, content string, fields ...string) (url, answer string) {
	t.Helper()
	created, _ := want(t, 201, "POST", endpoint, "", append(fields, "Upload-Length: "+strconv.Itoa(len(content)))...)
	url = created.Header.Get("Location")
	_, answer = want(t, status, "PATCH", url, content, fields...)
	return url, answer
}

func runFileHooks(t *testing.T, tusd daemon) {
	finished := filepath.Join(t.TempDir(), "finished")
	t.Setenv("FINISHED", finished)
	endpoint := tusd.serve(t, "-hooks-dir", example(t, "file"))
	if _, body := want(t, 413, "POST", endpoint, "", "Upload-Length: 2000000000"); body != "at most 1 GiB, please\n" {
		t.Errorf("an upload that is too large is refused with %q", body)
	}
	url, _ := upload(t, 204, endpoint, "hello")
	var line []byte
	eventually(t, "the file names the upload", func() bool {
		line, _ = os.ReadFile(finished)
		return bytes.HasSuffix(line, []byte("\n"))
	})
	var message hooks.HookRequest
	if err := json.Unmarshal(line, &message); err != nil || !strings.HasSuffix(url, "/"+message.Event.Upload.ID) || message.Event.ID == "" {
		t.Errorf("the file has %q (%v), want the message about %s", line, err, url)
	}
}

func runHTTPHook(t *testing.T, tusd daemon) {
	needPython(t)
	dir := t.TempDir()
	secret, database := filepath.Join(dir, "secret"), filepath.Join(dir, "uploads.db")
	write(t, secret, "correct horse\n")
	hook := startEndpoint(t, "http/endpoint.py", "--secret", secret, "--database", database)
	endpoint := tusd.serve(t, "-hooks-http", hook, "-hooks-http-secret-file", secret)
	if _, body := want(t, 422, "POST", endpoint, "", "Upload-Length: 5"); body != "the upload needs a filename\n" {
		t.Errorf("an upload without a name is refused with %q", body)
	}
	url, _ := upload(t, 204, endpoint, "hello", metadata("filename", "hello.txt"))
	id := url[strings.LastIndex(url, "/")+1:]
	rows := func() string {
		const query = "import sqlite3, sys; print(sqlite3.connect(sys.argv[1]).execute('SELECT upload, name, size FROM finished').fetchall())"
		output, _ := exec.CommandContext(t.Context(), "python3", "-c", query, database).Output()
		return strings.TrimSpace(string(output))
	}
	row := fmt.Sprintf("('%s', 'hello.txt', 5)", id)
	eventually(t, "the database has the upload", func() bool { return rows() == "["+row+"]" })

	const event = `{"Type":"post-finish","Event":{"ID":"e1","Upload":{"ID":"other","Size":1,"IsPartial":false,"MetaData":{}}}}`
	now, old := time.Now().Unix(), time.Now().Add(-time.Hour).Unix()
	for range 2 { // as after a crash
		call(t, 200, hook, event, now, "correct horse")
	}
	call(t, 403, hook, event, now, "wrong")
	call(t, 403, hook, event, old, "correct horse")
	if got, want := rows(), "["+row+", ('other', None, 1)]"; got != want {
		t.Errorf("the database has %s, want %s", got, want)
	}
}

// call sends a message as the daemon does, and wants a status.
func call(t *testing.T, status int, url, body string, at int64, secret string) {
	t.Helper()
	timestamp := strconv.FormatInt(at, 10)
	want(t, status, "POST", url, body, "Tusd-Timestamp: "+timestamp, "Tusd-Signature: sha256="+httphook.Sign([]byte(secret), timestamp, []byte(body)))
}

func runTokens(t *testing.T, tusd daemon) {
	needPython(t)
	tokens := filepath.Join(t.TempDir(), "tokens.json")
	write(t, tokens, `{"a": "ann", "b": "ben"}`)
	endpoint := tusd.serve(t, "-hooks-http", startEndpoint(t, "token/token.py", "--tokens", tokens), "-hooks-enabled-events", "pre-create,pre-access")
	const ann, ben, unknown = "Authorization: Bearer a", "Authorization: Bearer b", "Authorization: Bearer c"
	refused, _ := want(t, 401, "POST", endpoint, "", "Upload-Length: 5")
	if got := refused.Header.Get("WWW-Authenticate"); got != "Bearer" {
		t.Errorf("WWW-Authenticate: %q", got)
	}
	want(t, 401, "POST", endpoint, "", "Upload-Length: 5", unknown)
	part := func(user string) string {
		url, _ := upload(t, 204, endpoint, "hello", user, "Upload-Concat: partial")
		return url
	}
	of, other := part(ann), part(ben)
	for _, method := range []string{"HEAD", "PATCH", "GET", "DELETE"} {
		want(t, 401, method, of, "")
		want(t, 404, method, of, "", ben)
	}
	want(t, 404, "HEAD", endpoint+"missing", "", ann)
	for range 2 { // the second one without a call
		want(t, 200, "HEAD", of, "", ann)
	}
	want(t, 401, "HEAD", of, "") // also after others were allowed
	want(t, 404, "POST", endpoint, "", ann, "Upload-Concat: final;"+of+" "+other)
	want(t, 201, "POST", endpoint, "", ann, "Upload-Concat: final;"+of+" "+part(ann))
	want(t, 204, "DELETE", of, "", ann)
}

func runMovingFiles(t *testing.T, tusd daemon) {
	needPython(t)
	finished := t.TempDir()
	t.Setenv("FINISHED", finished)
	endpoint := tusd.serve(t, "-hooks-dir", example(t, "movefiles"))
	url, _ := upload(t, 204, endpoint, "hello", metadata("filename", `../.evil/.holiday.mp4`))
	var files []string
	has := func() []string {
		files, _ = filepath.Glob(filepath.Join(finished, "*", "*"))
		return files
	}
	eventually(t, "the file has its place", func() bool { return len(has()) == 1 })
	if content, err := os.ReadFile(files[0]); err != nil || string(content) != "hello" || filepath.Base(files[0]) != "holiday.mp4" {
		t.Errorf("%s has %q, %v", files[0], content, err)
	}
	if _, content := want(t, 200, "GET", url, ""); content != "hello" {
		t.Errorf("GET: %q", content)
	}
	want(t, 204, "DELETE", url, "")
	again := hooks.HookRequest{Event: hooks.Event{ID: filepath.Base(filepath.Dir(files[0])), Upload: hooks.Upload{
		MetaData: map[string]string{"filename": "holiday.mp4"},
		Storage:  map[string]string{"Path": "/missing/data", "InfoPath": "/missing/data.info"},
	}}}
	late := again
	late.Event.ID = "late" // the upload is gone before its post-finish
	for _, message := range []hooks.HookRequest{again, late} {
		runHook(t, example(t, "movefiles/post-finish"), message)
	}
	if len(has()) != 1 {
		t.Errorf("there are %q", files)
	}
	other, err := os.MkdirTemp("/dev/shm", "tusd") // usually another file system, to which there are no links
	if err != nil {
		other = t.TempDir()
	}
	defer os.RemoveAll(other)
	write(t, filepath.Join(other, "data"), "hello")
	again.Event.ID, again.Event.Upload.Storage = "copied", map[string]string{"Path": filepath.Join(other, "data")}
	runHook(t, example(t, "movefiles/post-finish"), again)
	if content, err := os.ReadFile(filepath.Join(finished, "copied", "holiday.mp4")); err != nil || string(content) != "hello" {
		t.Errorf("of another file system: %q, %v", content, err)
	}
	if entries, err := os.ReadDir(filepath.Join(finished, "copied")); err != nil || len(entries) != 1 {
		t.Errorf("there are %v, %v", entries, err)
	}
}

// runHook runs a file as the daemon does.
func runHook(t *testing.T, program string, message hooks.HookRequest) {
	t.Helper()
	text, err := json.Marshal(message)
	if err != nil {
		t.Fatal(err)
	}
	command := exec.CommandContext(t.Context(), program)
	command.Stdin = bytes.NewReader(text)
	if output, err := command.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", program, err, output)
	}
}

func runGRPCHook(t *testing.T, tusd daemon) {
	service, address := filepath.Join(t.TempDir(), "service"), freeAddress(t)
	compile(t, service, "./examples/hooks/grpc")
	start(t, exec.Command(service, "-listen", address)).accepts(t, address)
	endpoint := tusd.serve(t, "-hooks-grpc", address, "-hooks-enabled-events", "pre-create,post-finish,pre-terminate")
	url, _ := upload(t, 204, endpoint, "hello")
	if !regexp.MustCompile(`/files/\d{4}/\d\d/\d\d/\w{26}$`).MatchString(url) {
		t.Errorf("the upload has the URL %s", url)
	}
	if _, body := want(t, 403, "DELETE", url, ""); body != "a complete upload stays\n" {
		t.Errorf("DELETE of a complete upload: %q", body)
	}
	created, _ := want(t, 201, "POST", endpoint, "", "Upload-Length: 5")
	want(t, 204, "DELETE", created.Header.Get("Location"), "")
}

func runPluginHook(t *testing.T, tusd daemon) {
	program := filepath.Join(t.TempDir(), "image-check")
	compile(t, program, "./examples/hooks/plugin")
	endpoint := tusd.serve(t, "-hooks-plugin", program, "-hooks-enabled-events", "pre-finish")
	var picture bytes.Buffer
	if err := png.Encode(&picture, image.NewGray(image.Rect(0, 0, 9, 9))); err != nil {
		t.Fatal(err)
	}
	kind := metadata("filetype", "image/png")
	upload(t, 204, endpoint, picture.String(), kind)
	upload(t, 204, endpoint, "hello")
	url, answer := upload(t, 415, endpoint, "hello", kind)
	if answer != "this is no PNG\n" {
		t.Errorf("what is no PNG is refused with %q", answer)
	}
	if response, _ := tus(t, "HEAD", url, ""); response.StatusCode < 400 {
		t.Errorf("HEAD of a refused upload: %d", response.StatusCode)
	}
}
