package awsv1_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws/credentials"

	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
)

// hijacked is the connection of a request.
type hijacked struct{ net.Conn }

func hijack(w http.ResponseWriter) hijacked {
	conn, _, err := w.(http.Hijacker).Hijack()
	if err != nil {
		panic(err)
	}
	return hijacked{conn}
}

func (h hijacked) write(text string) hijacked {
	io.WriteString(h, text)
	return h
}

func (h hijacked) close() { h.Close() }

// accept answers a PutObject or UploadPart.
func accept(w http.ResponseWriter, r *http.Request) {
	io.Copy(io.Discard, r.Body)
	w.Header().Set("ETag", `"e"`)
}

func TestContentHashes(t *testing.T) {
	sum := sha256.Sum256([]byte("content"))
	for _, operation := range []string{"PutObject", "UploadPart"} {
		t.Run(operation, func(t *testing.T) {
			a := startService(t, accept)
			for _, options := range [][]awsv1.Option{nil, {awsv1.WithoutContentHashes()}} {
				if err := calls[operation](testContext(t), a.client(options...)); err != nil {
					t.Fatal(err)
				}
			}
			hashes := []string{hex.EncodeToString(sum[:]), "UNSIGNED-PAYLOAD"}
			for i, r := range a.seen() {
				if got := r.Header.Get("X-Amz-Content-Sha256"); got != hashes[i] {
					t.Errorf("X-Amz-Content-Sha256: %q, want %q", got, hashes[i])
				}
				if got := r.Header.Get("Content-Md5"); got != "" {
					t.Errorf("Content-MD5: %q, want none", got)
				}
			}
		})
	}
}

// countingReader counts the bytes that are read.
type countingReader struct {
	*strings.Reader
	read int64
}

func (c *countingReader) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.read += int64(n)
	return n, err
}

func (c *countingReader) WriteTo(w io.Writer) (int64, error) {
	n, err := c.Reader.WriteTo(w)
	c.read += n
	return n, err
}

func TestBodiesAreReadOnceOrTwice(t *testing.T) {
	a := startService(t, accept)
	content := strings.Repeat("x", 4<<20)
	for _, c := range []struct {
		name    string
		options []awsv1.Option
		times   int64
	}{
		{"hashed and sent", nil, 2},
		{"sent", []awsv1.Option{awsv1.WithoutContentHashes()}, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			body := &countingReader{Reader: strings.NewReader(content)}
			in := s3store.UploadPart{Key: "k", Multipart: "m", Number: 1, Body: body, Size: int64(len(content))}
			if _, err := a.client(c.options...).UploadPart(testContext(t), in); err != nil {
				t.Fatal(err)
			}
			if want := c.times * in.Size; body.read != want {
				t.Errorf("read %d bytes of the body, want %d", body.read, want)
			}
		})
	}
	for _, r := range a.seen() {
		if r.ContentLength != int64(len(content)) || r.Header.Get("Expect") != "" {
			t.Errorf("Content-Length %d, Expect %q; want %d and none", r.ContentLength, r.Header.Get("Expect"), len(content))
		}
	}
}

// slowBody is a body whose Read takes so long that its call could return before.
type slowBody struct {
	*strings.Reader
	returned chan struct{} // closed when the call has returned
	reading  chan struct{} // receives when a Read begins
	late     chan bool     // receives whether the call returned before the Read
}

func (s *slowBody) Read(p []byte) (int, error) {
	s.reading <- struct{}{}
	select {
	case <-s.returned:
		s.late <- true
	case <-time.After(300 * time.Millisecond): // net/http waits 50 ms for the rest of a body
		s.late <- false
	}
	return s.Reader.Read(p)
}

// The service refuses while the body is being sent. The caller reuses the
// memory of the body as soon as the call returns.
func TestBodyIsNotReadAfterItsCall(t *testing.T) {
	const enough = 10 // Reads
	body := &slowBody{
		Reader:   strings.NewReader("content"),
		returned: make(chan struct{}), reading: make(chan struct{}, enough), late: make(chan bool, enough),
	}
	a := startService(t, func(w http.ResponseWriter, r *http.Request) {
		<-body.reading
		refuse(http.StatusServiceUnavailable, "SlowDown")(w, r)
	})
	in := s3store.UploadPart{Key: "k", Multipart: "m", Number: 1, Body: body, Size: body.Size()}
	_, err := a.client(awsv1.WithoutContentHashes()).UploadPart(testContext(t), in)
	close(body.returned)
	wantError(t, err, "UploadPart", "SlowDown", http.StatusServiceUnavailable)
	if <-body.late {
		t.Error("the body is read after its call")
	}
}

func TestHeadersOfAPut(t *testing.T) {
	a := startService(t, accept)
	attributes := s3store.Attributes{
		ContentType: "a/b", ContentDisposition: "inline", CacheControl: "no-store", StorageClass: "GLACIER_IR",
		Encryption: "aws:kms", EncryptionKey: "key-id",
		Tags: map[string]string{"team": "a b&c", "x": "1"}, Metadata: map[string]string{"owner": "o"},
	}
	in := s3store.PutObject{Key: "k", Body: strings.NewReader("x"), Size: 1, Attributes: attributes, IfMatch: `"old"`, IfNoneMatch: true}
	if _, err := a.client().PutObject(testContext(t), in); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"Content-Type": "a/b", "Content-Disposition": "inline", "Cache-Control": "no-store",
		"X-Amz-Storage-Class": "GLACIER_IR", "X-Amz-Server-Side-Encryption": "aws:kms",
		"X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id": "key-id", "X-Amz-Tagging": "team=a+b%26c&x=1",
		"X-Amz-Meta-Owner": "o",
	}
	conditions := map[string]string{"If-Match": `"old"`, "If-None-Match": "*"}
	wantHeaders(t, a.seen()[0], want, conditions)

	a.client().CreateMultipart(testContext(t), "k", attributes) // the answer has no id: the error is ignored
	wantHeaders(t, a.seen()[1], want)
}

func TestHeadersOfAGet(t *testing.T) {
	a := startService(t, func(w http.ResponseWriter, r *http.Request) {})
	in := s3store.GetObject{Key: "k", Range: "bytes=0-1,5-", IfMatch: `"a", W/"b"`}
	o, err := a.client().GetObject(testContext(t), in)
	if err != nil {
		t.Fatal(err)
	}
	o.Body.Close()
	wantHeaders(t, a.seen()[0], map[string]string{
		"Range": in.Range, "If-Match": in.IfMatch, "Accept-Encoding": "identity",
	})
	if signed := a.seen()[0].Header.Get("Authorization"); strings.Contains(signed, "accept-encoding") {
		t.Errorf("Accept-Encoding is signed, but proxies rewrite it: %s", signed)
	}
}

func wantHeaders(t *testing.T, r *http.Request, sets ...map[string]string) {
	t.Helper()
	for _, want := range sets {
		for name, value := range want {
			if got := r.Header.Get(name); got != value {
				t.Errorf("%s: %q, want %q", name, got, value)
			}
		}
	}
}

func TestKeysAreEscaped(t *testing.T) {
	a := startService(t, accept)
	for _, key := range []string{specialKey, "a/../b", "./a", "a%2Fb", "/leading", "trailing//"} {
		in := s3store.PutObject{Key: key, Body: strings.NewReader("x"), Size: 1}
		if _, err := a.client().PutObject(testContext(t), in); err != nil {
			t.Fatal(err)
		}
		seen := a.seen()
		if got := seen[len(seen)-1].URL.Path; got != "/"+testBucket+"/"+key {
			t.Errorf("path %q, want /%s/%s", got, testBucket, key)
		}
	}
	a.client().CopyPart(testContext(t), s3store.CopyPart{Key: "k", Multipart: "m", Number: 1, Source: specialKey, Offset: 5, Size: 10})
	seen := a.seen()
	header := seen[len(seen)-1].Header
	if source, err := url.PathUnescape(header.Get("X-Amz-Copy-Source")); err != nil || source != testBucket+"/"+specialKey || strings.Contains(header.Get("X-Amz-Copy-Source"), "+") {
		t.Errorf("X-Amz-Copy-Source: %q, want bucket/%s without a plus", header.Get("X-Amz-Copy-Source"), specialKey)
	}
	if got := header.Get("X-Amz-Copy-Source-Range"); got != "bytes=5-14" {
		t.Errorf("X-Amz-Copy-Source-Range: %q, want bytes=5-14", got)
	}
}

func TestObserverSeesEachCall(t *testing.T) {
	var observed []awsv1.Call
	a := startService(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodHead {
			refuse(http.StatusNotFound, "")(w, r)
			return
		}
		accept(w, r)
		w.Header().Set("Content-Length", "3")
		io.WriteString(w, "abc")
	})
	c := a.client(awsv1.WithObserver(func(call awsv1.Call) { observed = append(observed, call) }))
	for _, operation := range []string{"UploadPart", "GetObject", "HeadObject"} {
		calls[operation](testContext(t), c)
	}
	if len(observed) != 3 || observed[2].Err == nil {
		t.Fatalf("observed %+v, want three calls, the last with an error", observed)
	}
	var got []string
	for _, call := range observed {
		if call.Took <= 0 {
			t.Errorf("%+v took no time", call)
		}
		got = append(got, fmt.Sprintln(call.Operation, call.Key, call.Sent, call.Received, call.Err))
	}
	want := []string{
		"UploadPart k 7 3 <nil>\n",
		"GetObject k 0 3 <nil>\n",
		"HeadObject k 0 0 " + observed[2].Err.Error() + "\n",
	}
	if !slices.Equal(got, want) {
		t.Errorf("observed %q, want %q", got, want)
	}
}

// numberedKeys provides a new access key with each Retrieve.
type numberedKeys struct{ given int }

func (r *numberedKeys) Retrieve() (credentials.Value, error) {
	r.given++
	return credentials.Value{AccessKeyID: fmt.Sprint("key-", r.given), SecretAccessKey: secretKey}, nil
}

func (r *numberedKeys) IsExpired() bool { return false }

func TestExpiredCredentialsAreRenewed(t *testing.T) {
	a := startService(t, func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.Header.Get("Authorization"), "key-1/") {
			refuse(http.StatusBadRequest, "ExpiredToken")(w, r)
		}
	})
	a.api = newAPI(t, a.URL, credentials.NewCredentials(&numberedKeys{}))
	wantError(t, a.client().DeleteObject(testContext(t), "k"), "DeleteObject", "ExpiredToken", http.StatusBadRequest)
	if err := a.client().DeleteObject(testContext(t), "k"); err != nil {
		t.Errorf("after ExpiredToken: %v", err)
	}
}

// noCredentials is a provider without credentials.
type noCredentials struct{}

func (noCredentials) Retrieve() (credentials.Value, error) {
	return credentials.Value{}, errors.New("no credentials")
}

func (noCredentials) IsExpired() bool { return true }

func TestNoRequestWithoutCredentials(t *testing.T) {
	a := startService(t, accept)
	a.api = newAPI(t, a.URL, credentials.NewCredentials(noCredentials{}))
	eachCall(t, func(t *testing.T, operation string, call func(context.Context, *awsv1.Client) error) {
		wantUnknownResult(t, call(testContext(t), a.client()))
	})
	if _, err := a.client().PresignGet("k", s3store.Attributes{}, time.Minute); err == nil {
		t.Error("PresignGet: no error")
	}
	if n := len(a.seen()); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
}

func TestPresigningSendsNoRequest(t *testing.T) {
	a := startService(t, accept)
	address, err := a.client().PresignGet(specialKey, s3store.Attributes{ContentType: "a/b"}, 90*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	if u.Path != "/"+testBucket+"/"+specialKey || q.Get("X-Amz-Expires") != "90" || q.Get("response-content-type") != "a/b" || q.Get("X-Amz-SignedHeaders") != "host" {
		t.Errorf("got %s", address)
	}
	if n := len(a.seen()); n != 0 {
		t.Errorf("%d requests, want none", n)
	}
	_, err = a.client().PresignGet("k", s3store.Attributes{}, 0)
	if err == nil {
		t.Fatal("PresignGet for no time: no error")
	}
	wantNoSecret(t, err.Error())
}
