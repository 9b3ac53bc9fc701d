package cli

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
)

// secretKey must not appear in any output, nor a text that begins with it.
const secretKey = "secret-that-must-not-appear"

// credentialsFor returns the environment variables with credentials for a service.
func credentialsFor(service *s3server.Server) []string {
	return []string{"AWS_ACCESS_KEY_ID=" + service.AccessKey(), "AWS_SECRET_ACCESS_KEY=" + secretKey, "AWS_SESSION_TOKEN=" + secretKey + "-token"}
}

// startInBucket runs the daemon on a service until the test ends.
func startInBucket(t *testing.T, service *s3server.Server, args ...string) *testDaemon {
	t.Helper()
	cleanAWS(t, credentialsFor(service)...)
	args = append([]string{"-host", "127.0.0.1", "-port", "0", "-s3-bucket", service.Bucket(), "-s3-endpoint", service.URL}, args...)
	return startWith(t, args)
}

// startWith is start without default arguments.
func startWith(t testing.TB, args []string) *testDaemon {
	t.Helper()
	d := &testDaemon{ended: make(chan int, 1)}
	ctx, stop := context.WithCancelCause(context.Background())
	d.stop = stop
	go func() { d.ended <- Run(ctx, args, nil, &d.stdout, &d.stderr) }()
	t.Cleanup(func() { d.end(t) })
	d.awaitStart(t)
	return d
}

func someContent(size int) string {
	content := make([]byte, size)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(content)
	return string(content)
}

func sumOf(content string) string {
	sum := sha256.Sum256([]byte(content))
	return hex.EncodeToString(sum[:])
}

// A prefix under which the service does not list its objects ends the start, and the
// doctor reports the same. A prefix that no service can list is a usage error.
func TestOddPrefixOfBucket(t *testing.T) {
	require.Long(t)
	service := s3server.Start(t, s3server.Options{Quirks: s3server.Versity()})
	cleanAWS(t, credentialsFor(service)...)
	const sentence = `does not list what it stores under the prefix "/lead/": set another one, such as "lead/"`
	for prefix, want := range map[string]int{"/lead": exitFailed, "a\x01": exitUsage, strings.Repeat("x", 801): exitUsage} {
		args := []string{"-s3-bucket", service.Bucket(), "-s3-endpoint", service.URL, "-s3-object-prefix", prefix}
		code, _, stderr := run(append(args, "-host", "127.0.0.1", "-port", "0")...)
		if code != want || want == exitUsage && !strings.Contains(stderr, "-s3-object-prefix") || want == exitFailed && !strings.Contains(stderr, sentence) {
			t.Errorf("prefix %q ends the start with %d, %s", prefix, code, stderr)
		}
		code, text, stderr := diagnose(t, args...)
		if code != want || want == exitFailed && !strings.Contains(text, sentence) {
			t.Errorf("prefix %q ends the doctor with %d, %s\n%s", prefix, code, stderr, text)
		}
	}
}

// An upload of several parts is resumed by another process, downloaded and removed.
func TestUploadInABucket(t *testing.T) {
	service := s3server.Start(t, s3server.Options{})
	content := someContent(13<<20 + 1)
	const cut = 7 << 20
	first := startInBucket(t, service, "-s3-part-size", "6291456", "-s3-object-prefix", "up")
	path := create(t, http.DefaultClient, first.url, "13631489")[len(first.url):]
	if strings.Contains(path, "+") {
		t.Errorf("the id is %s: it has the id of the multipart upload", path)
	}
	tus(t, "PATCH", first.url+path, content[:cut], "Upload-Offset: 0").want(t, 204)
	if code := first.end(t); code != exitOK {
		t.Fatalf("exit code %d: %s", code, first.stderr.String())
	}

	second := startInBucket(t, service, "-s3-part-size", "6291456", "-s3-object-prefix", "up/")
	url := second.url + path
	tus(t, "HEAD", url, "").want(t, 200, "Upload-Offset: 7340032")
	tus(t, "PATCH", url, content[cut:], "Upload-Offset: 7340032").want(t, 204, "Upload-Offset: 13631489")
	if got := send(t, "GET", url, "").want(t, 200); sumOf(got.body) != sumOf(content) {
		t.Errorf("the download has %d bytes, or others than the upload", len(got.body))
	}
	if got := send(t, "GET", url, "", "Range: bytes=5-9").want(t, 206); got.body != content[5:10] {
		t.Errorf("a range is %q", got.body)
	}
	tus(t, "DELETE", url, "").want(t, 204)
	tus(t, "HEAD", url, "").want(t, 404)
	for _, key := range keysIn(service) {
		t.Errorf("%s is left", key)
	}
	if !strings.Contains(first.stdout.String(), "Uploads are stored in s3://bucket/up/\n") {
		t.Errorf("start: %s", first.stdout.String())
	}
}

// Objects have the attributes that the flags set.
func TestObjectsOfFlags(t *testing.T) {
	service := s3server.Start(t, s3server.Options{})
	d := startInBucket(t, service, "-s3-key", "raw/{id}/{filename}", "-s3-cache-control", "no-store", "-s3-storage-class", "STANDARD_IA",
		"-s3-metadata-keys", "owner", "-s3-tags", "team=web,kind=raw", "-s3-sse", "AES256")
	metadata := "filename YS50eHQ=,filetype dGV4dC9wbGFpbg==,owner bWU=,other eA=="
	location := tus(t, "POST", d.url, "hello", "Upload-Length: 5", "Upload-Metadata: "+metadata).want(t, 201).header.Get("Location")
	o, ok := service.Object("raw/" + strings.TrimPrefix(location, d.url) + "/a.txt")
	if !ok {
		t.Fatalf("the bucket has %q", keysIn(service))
	}
	if string(o.Bytes()) != "hello" {
		t.Errorf("content %q", o.Bytes())
	}
	for name, want := range map[string]string{
		"Content-Type": "text/plain", "Cache-Control": "no-store", "X-Amz-Storage-Class": "STANDARD_IA",
		"X-Amz-Server-Side-Encryption": "AES256", "Content-Disposition": "attachment; filename=\"a.txt\"",
	} {
		if got := o.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if o.Metadata["owner"] != "me" || o.Metadata["other"] != "" {
		t.Errorf("metadata %v", o.Metadata)
	}
	if len(o.Tags) != 2 || o.Tags["team"] != "web" || o.Tags["kind"] != "raw" {
		t.Errorf("tags %v", o.Tags)
	}
}

// With the flag, calls are logged, without secrets.
func TestLogOfCalls(t *testing.T) {
	service := s3server.Start(t, s3server.Options{})
	service.Fault(func(c s3server.Call) s3server.Outcome {
		if strings.HasSuffix(c.Key, "broken.info") {
			return s3server.Outcome{Status: http.StatusForbidden, Code: "AccessDenied"}
		}
		return s3server.Outcome{}
	})
	d := startInBucket(t, service, "-s3-log-api-calls", "-s3-disable-content-hashes")
	tus(t, "POST", d.url, "hello", "Upload-Length: 5").want(t, 201)
	refused := send(t, "HEAD", d.url+"broken", "", "Tus-Resumable: 1.0.0")
	if refused.status < 400 {
		t.Errorf("an unreadable record is answered with %d", refused.status)
	}
	server := strings.TrimSuffix(d.url, "files/")
	_, metrics := fetch(t, server+"metrics")
	_, ready := fetch(t, server+"readyz")
	d.end(t)
	log := d.stdout.String()
	for _, want := range []string{
		`level=DEBUG msg="S3 call" operation=PutObject key=\S+\.info sent=[1-9]\d* received=0 dur=`,
		`level=DEBUG msg="S3 call" err=.*AccessDenied.* operation=(Get|Head|List)\w+ key=broken`,
	} {
		if !regexp.MustCompile(want).MatchString(log) {
			t.Errorf("the log has no line %s:\n%s", want, log)
		}
	}
	for where, text := range map[string]string{"log": log + d.stderr.String(), "answer": refused.body, "metrics": metrics, "state": ready} {
		for _, secret := range []string{secretKey, service.AccessKey() + "/", "Signature"} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s has the secret %s:\n%s", where, secret, text)
			}
		}
	}
}

// A redirect is valid for the configured time, and the log does not have its signature.
func TestRedirectOfFlags(t *testing.T) {
	service := s3server.Start(t, s3server.Options{})
	d := startInBucket(t, service, "-s3-redirect-downloads", "-s3-redirect-lifetime", "2m", "-s3-log-api-calls")
	location := tus(t, "POST", d.url, "hello", "Upload-Length: 5").want(t, 201).header.Get("Location")
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, location, nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultTransport.RoundTrip(request) // follows no redirect
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if target := answer.Header.Get("Location"); answer.StatusCode != http.StatusFound || !strings.Contains(target, "X-Amz-Expires=120&") {
		t.Errorf("status %d, to %s", answer.StatusCode, target)
	}
	if _, body := fetch(t, location); body != "hello" {
		t.Errorf("the service has %q", body)
	}
	_, metrics := fetch(t, strings.TrimSuffix(d.url, "files/")+"metrics")
	d.end(t)
	for _, text := range []string{d.stdout.String(), d.stderr.String(), metrics} {
		if strings.Contains(text, "X-Amz-") || strings.Contains(text, secretKey) {
			t.Errorf("a secret is in the output:\n%s", text)
		}
	}
}

func TestRedirectLifetimes(t *testing.T) {
	for value, good := range map[string]bool{"1s": true, "168h": true, "169h": false, "999ms": false, "0": false} {
		_, err := parse("-s3-bucket", "b", "-s3-redirect-downloads", "-s3-redirect-lifetime", value)
		if (err == nil) != good || err != nil && !strings.Contains(err.Error(), "from 1s to 168h0m0s") {
			t.Errorf("%s: %v", value, err)
		}
	}
}

func TestCallsAreNotLoggedUnasked(t *testing.T) {
	d := startInBucket(t, s3server.Start(t, s3server.Options{}))
	tus(t, "POST", d.url, "hello", "Upload-Length: 5").want(t, 201)
	d.end(t)
	if log := d.stdout.String(); strings.Contains(log, "S3 call") || !strings.Contains(log, "msg=request") {
		t.Errorf("log: %s", log)
	}
}

// Content is signed with its hash unless that is disabled.
func TestContentHashes(t *testing.T) {
	for flag, want := range map[string]string{
		"-s3-disable-content-hashes=false": sumOf("hello"),
		"-s3-disable-content-hashes=true":  "UNSIGNED-PAYLOAD",
	} {
		service := s3server.New(s3server.Options{})
		hashes := make(chan string, 100)
		listener := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.ContentLength == int64(len("hello")) {
				hashes <- r.Header.Get("X-Amz-Content-Sha256")
			}
			service.ServeHTTP(w, r)
		}))
		t.Cleanup(listener.Close)
		service.URL = listener.URL
		d := startInBucket(t, service, flag)
		tus(t, "POST", d.url, "hello", "Upload-Length: 5").want(t, 201)
		d.end(t)
		close(hashes) // the daemon has ended
		if got := <-hashes; got != want {
			t.Errorf("%s: the hash is %q, want %q", flag, got, want)
		}
	}
}

func TestMetricsOfABucket(t *testing.T) {
	service := s3server.Start(t, s3server.Options{})
	var slowed atomic.Bool
	service.Fault(func(c s3server.Call) s3server.Outcome {
		if c.Operation == s3server.CreateMultipartUpload && !strings.HasPrefix(c.Key, ".tusd.d/") && slowed.CompareAndSwap(false, true) {
			return s3server.Outcome{Status: http.StatusServiceUnavailable, Code: "SlowDown"}
		}
		return s3server.Outcome{}
	})
	d := startInBucket(t, service, "-s3-part-size", "5242880", "-s3-concurrent-part-uploads", "3", "-s3-buffer-memory", "67108864")
	location := create(t, http.DefaultClient, d.url, "11000000")
	tus(t, "PATCH", location, someContent(11_000_000), "Upload-Offset: 0").want(t, 204)
	_, metrics := fetch(t, strings.TrimSuffix(d.url, "files/")+"metrics")
	for _, want := range []string{
		`tusd_s3_request_duration_ms_count{operation="create_multipart_upload"} 3`, // one is made by the start
		`tusd_s3_request_duration_ms_count{operation="upload_part"} 3`,
		`tusd_s3_request_duration_seconds_count{operation="UploadPart"} 3`,
		`tusd_s3_request_duration_seconds_count{operation="CompleteMultipartUpload"} 1`,
		`tusd_s3_retries_total{operation="CreateMultipartUpload"} 1`,
		`tusd_s3_retries_total{operation="UploadPart"} 0`,
		`tusd_s3_upload_semaphore_demand 0`,
		`tusd_s3_upload_semaphore_limit 3`,
		`tusd_s3_pool_bytes 0`,
		`tusd_s3_pool_limit_bytes 6.7108864e+07`,
		`tusd_s3_pool_waits_total 0`,
	} {
		if !strings.Contains(metrics, "\n"+want+"\n") {
			t.Errorf("the metrics lack %s", want)
		}
	}
	if t.Failed() {
		t.Log(regexp.MustCompile(`(?m)^tusd_s3_.*(_count|[^0-9]\d*)$`).FindAllString(metrics, -1))
	}
}

// /readyz reports that the bucket is unavailable, without the reason. The server stays ready,
// unless -readyz-strict is set.
func TestReadinessOfABucket(t *testing.T) {
	require.Long(t)
	for strict, want := range map[string]struct {
		status int
		text   string
	}{
		"-readyz-strict=false": {http.StatusOK, "store: the bucket is unreachable (for all servers, so this one stays ready)\n"},
		"-readyz-strict":       {http.StatusServiceUnavailable, "store: the bucket is unreachable\n"},
	} {
		service := s3server.Start(t, s3server.Options{})
		d := startInBucket(t, service, strict)
		ready := strings.TrimSuffix(d.url, "files/") + "readyz"
		if _, text := fetch(t, ready); text != "store: ok\n" {
			t.Errorf("ready: %q", text)
		}
		service.Fault(func(s3server.Call) s3server.Outcome {
			return s3server.Outcome{Status: http.StatusForbidden, Code: "AccessDenied"}
		})
		await(t, strict+": the server to notice", func() bool {
			status, text := fetch(t, ready)
			return status == want.status && text == want.text
		})
	}
}

// Idle connections are kept for all parts that are uploaded in parallel.
func TestConnectionsToABucket(t *testing.T) {
	cleanAWS(t)
	b, err := newS3Storage(s3Settings{bucket: "b", connection: s3Connection{endpoint: "http://localhost"}, concurrentParts: 200}, quiet)
	if err != nil {
		t.Fatal(err)
	}
	if n := b.http.Transport.(*http.Transport).MaxIdleConnsPerHost; n < 200 {
		t.Errorf("%d idle connections are kept", n)
	}
}

// A bucket that cannot be used ends the start.
func TestInvalidBucket(t *testing.T) {
	service := s3server.Start(t, s3server.Options{})
	cleanAWS(t, "AWS_ACCESS_KEY_ID="+service.AccessKey(), "AWS_SECRET_ACCESS_KEY="+secretKey)
	for _, c := range []struct{ bucket, endpoint, want string }{
		{"other", service.URL, "NoSuchBucket"},
		{"bucket", "ftp://user:" + secretKey + "@host", "the endpoint is no URL"},
	} {
		code, _, stderr := run("-host", "127.0.0.1", "-port", "0", "-s3-bucket", c.bucket, "-s3-endpoint", c.endpoint)
		if code != exitFailed || !strings.Contains(stderr, c.want) || strings.Contains(stderr, secretKey) {
			t.Errorf("%s at %s: exit code %d, %q", c.bucket, c.endpoint, code, stderr)
		}
	}
}

func keysIn(service *s3server.Server) (keys []string) {
	for _, o := range service.Objects() {
		keys = append(keys, o.Key)
	}
	return keys
}
