package awsv1_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
)

// connector returns a client of an empty bucket.
type connector func(t *testing.T, options ...awsv1.Option) *awsv1.Client

// specialKey has the characters that are escaped in a URL, in a signature, in
// a header or in XML.
const specialKey = "a//b c+d%2F&<é>/'x'=~@:$!*(),;?#"

// minPart is the least size of all parts but the last.
const minPart = 5 << 20

// testEveryCall tests each call of s3store.Client against a service.
func testEveryCall(t *testing.T, connect connector) {
	for name, test := range map[string]func(*testing.T, connector){
		"objects":          testObjects,
		"keys":             testKeys,
		"attributes":       testAttributes,
		"empty object":     testEmptyObject,
		"missing":          testMissing,
		"conditional PUT":  testConditionalPut,
		"ranges":           testRanges,
		"conditional GET":  testConditionalGet,
		"removal":          testRemoval,
		"listing":          testListing,
		"multipart":        testMultipart,
		"pages of parts":   testPagesOfParts,
		"copied parts":     testCopiedParts,
		"aborted":          testAborted,
		"small part":       testSmallPart,
		"presigned":        testPresigned,
		"unsigned payload": testUnsignedPayload,
	} {
		t.Run(name, func(t *testing.T) { test(t, connect) })
	}
}

func testObjects(t *testing.T, connect connector) {
	ctx, c := testContext(t), connect(t)
	content := random(1 << 20)
	etag := put(t, c, "object", content)
	if want := quotedMD5(content); etag != want {
		t.Errorf("PutObject: ETag %s, want %s", etag, want)
	}
	o, err := c.HeadObject(ctx, "object")
	if err != nil {
		t.Fatal(err)
	}
	wantObject(t, o, etag, int64(len(content)))
	if o.Body != nil {
		t.Error("HeadObject: there is a body")
	}
	wantContent(t, c, "object", content)
	put(t, c, "object", content[:10])
	wantContent(t, c, "object", content[:10])
}

func testKeys(t *testing.T, connect connector) {
	c := connect(t)
	for _, key := range []string{"plain", "prefix/of/a+b", "a b+c", "é", specialKey[3:]} {
		put(t, c, key, []byte(key))
		wantContent(t, c, key, []byte(key))
		page, err := c.ListObjects(testContext(t), s3store.ListObjects{Prefix: key, Max: 10})
		if err != nil {
			t.Fatal(err)
		}
		wantKeys(t, page, key)
		if err := c.DeleteObject(testContext(t), key); err != nil {
			t.Fatal(err)
		}
	}
}

func testAttributes(t *testing.T, connect connector) {
	ctx, c := testContext(t), connect(t)
	want := s3store.Attributes{
		ContentType:        "image/png",
		ContentDisposition: `attachment; filename="a b.png"; filename*=UTF-8''%C3%A9.png`,
		CacheControl:       "private, max-age=60",
		Metadata:           map[string]string{"owner": "team", "two-words": "a b"},
	}
	_, err := c.PutObject(ctx, s3store.PutObject{Key: "put", Body: strings.NewReader("x"), Size: 1, Attributes: want})
	if err != nil {
		t.Fatal(err)
	}
	multipart, err := c.CreateMultipart(ctx, "multipart", want)
	if err != nil {
		t.Fatal(err)
	}
	complete(t, c, "multipart", multipart, uploadPart(t, c, "multipart", multipart, 1, []byte("x")))
	for _, key := range []string{"put", "multipart"} {
		head, err := c.HeadObject(ctx, key)
		if err != nil {
			t.Fatal(err)
		}
		wantAttributes(t, head, want)
		object, err := c.GetObject(ctx, s3store.GetObject{Key: key})
		if err != nil {
			t.Fatal(err)
		}
		object.Body.Close()
		wantAttributes(t, object, want)
	}
}

func wantAttributes(t *testing.T, o *s3store.Object, want s3store.Attributes) {
	t.Helper()
	got := o.Attributes
	if got.ContentType != want.ContentType || got.ContentDisposition != want.ContentDisposition || got.CacheControl != want.CacheControl {
		t.Errorf("got %+v, want %+v", got, want)
	}
	for name, value := range want.Metadata {
		if got.Metadata[name] != value {
			t.Errorf("metadata %s: %q, want %q; all: %v", name, got.Metadata[name], value, got.Metadata)
		}
	}
}

func testEmptyObject(t *testing.T, connect connector) {
	c := connect(t)
	put(t, c, "empty", nil)
	wantContent(t, c, "empty", nil)
}

func testMissing(t *testing.T, connect connector) {
	ctx, c := testContext(t), connect(t)
	_, err := c.HeadObject(ctx, "nothing")
	wantError(t, err, "HeadObject", "", http.StatusNotFound)
	_, err = c.GetObject(ctx, s3store.GetObject{Key: "nothing"})
	wantError(t, err, "GetObject", "NoSuchKey", http.StatusNotFound)
	if err := c.DeleteObject(ctx, "nothing"); err != nil {
		t.Errorf("DeleteObject: %v, want no error", err)
	}
}

func testConditionalPut(t *testing.T, connect connector) {
	ctx, c := testContext(t), connect(t)
	only := s3store.PutObject{Key: "record", Body: strings.NewReader("first"), Size: 5, IfNoneMatch: true}
	etag, err := c.PutObject(ctx, only)
	if err != nil {
		t.Fatal(err)
	}
	only.Body = strings.NewReader("again")
	_, err = c.PutObject(ctx, only)
	wantError(t, err, "PutObject", "PreconditionFailed", http.StatusPreconditionFailed)

	replace := s3store.PutObject{Key: "record", Body: strings.NewReader("second"), Size: 6, IfMatch: etag}
	if _, err := c.PutObject(ctx, replace); err != nil {
		t.Fatal(err)
	}
	replace.Body = strings.NewReader("third!")
	_, err = c.PutObject(ctx, replace)
	wantError(t, err, "PutObject", "PreconditionFailed", http.StatusPreconditionFailed)
	wantContent(t, c, "record", []byte("second"))
}

func testRanges(t *testing.T, connect connector) {
	ctx, c := testContext(t), connect(t)
	content := random(1000)
	put(t, c, "object", content)
	for _, r := range []struct{ header, contentRange string }{
		{"bytes=10-19", "bytes 10-19/1000"},
		{"bytes=990-", "bytes 990-999/1000"},
		{"bytes=-5", "bytes 995-999/1000"},
	} {
		o, err := c.GetObject(ctx, s3store.GetObject{Key: "object", Range: r.header})
		if err != nil {
			t.Fatal(err)
		}
		if o.ContentRange != r.contentRange {
			t.Errorf("Range %s: Content-Range %q, want %q", r.header, o.ContentRange, r.contentRange)
		}
		var first, last int
		fmt.Sscanf(r.contentRange, "bytes %d-%d", &first, &last)
		wantBody(t, o, content[first:last+1])
	}
	_, err := c.GetObject(ctx, s3store.GetObject{Key: "object", Range: "bytes=1000-"})
	wantError(t, err, "GetObject", "InvalidRange", http.StatusRequestedRangeNotSatisfiable)
}

func testConditionalGet(t *testing.T, connect connector) {
	ctx, c := testContext(t), connect(t)
	etag := put(t, c, "object", []byte("content"))
	o, err := c.GetObject(ctx, s3store.GetObject{Key: "object", IfMatch: etag})
	if err != nil {
		t.Fatal(err)
	}
	wantBody(t, o, []byte("content"))
	_, err = c.GetObject(ctx, s3store.GetObject{Key: "object", IfMatch: `"other"`})
	wantStatus(t, err, http.StatusPreconditionFailed)
}

func testRemoval(t *testing.T, connect connector) {
	ctx, c := testContext(t), connect(t)
	keys := []string{"a", "b/c", "d e+f&<g>"}
	for _, key := range append(keys, "kept") {
		put(t, c, key, []byte("x"))
	}
	if err := c.DeleteObjects(ctx, append(keys, "never there")); err != nil {
		t.Fatalf("DeleteObjects: %v", err)
	}
	page, err := c.ListObjects(ctx, s3store.ListObjects{Max: 10})
	if err != nil {
		t.Fatal(err)
	}
	wantKeys(t, page, "kept")
	if err := c.DeleteObject(ctx, "kept"); err != nil {
		t.Fatal(err)
	}
	_, err = c.HeadObject(ctx, "kept")
	wantStatus(t, err, http.StatusNotFound)
}

func testListing(t *testing.T, connect connector) {
	ctx, c := testContext(t), connect(t)
	keys := []string{"p/a", "p/a+1", "p/b", "p/b/c", "p/d"}
	put(t, c, "other", []byte("x"))
	for _, key := range keys {
		if key != "p/b" { // a file system cannot have p/b and p/b/c
			put(t, c, key, []byte(key))
		}
	}
	keys = slices.DeleteFunc(keys, func(key string) bool { return key == "p/b" })
	var got []string
	in := s3store.ListObjects{Prefix: "p/", Max: 3}
	for more := true; more; {
		page, err := c.ListObjects(ctx, in)
		if err != nil {
			t.Fatal(err)
		}
		for _, o := range page.Objects {
			got = append(got, o.Key)
			if want := quotedMD5([]byte(o.Key)); o.ETag != want || o.Size != int64(len(o.Key)) || time.Since(o.Modified).Abs() > time.Hour {
				t.Errorf("listed %+v, want size %d and ETag %s", o, len(o.Key), want)
			}
			in.After = o.Key
		}
		more = page.More
		if len(page.Objects) != 3 && more {
			t.Fatalf("a page has %d objects, want 3", len(page.Objects))
		}
	}
	if !slices.Equal(got, keys) {
		t.Errorf("listed %q, want %q", got, keys)
	}
}

// wantMultiparts compares the multipart uploads that are listed.
func wantMultiparts(t *testing.T, c *awsv1.Client, in s3store.ListMultiparts, want ...string) {
	t.Helper()
	page, err := c.ListMultiparts(testContext(t), in)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range page.Multiparts {
		if got = append(got, m.ID); m.Key != in.Prefix || time.Since(m.Initiated).Abs() > time.Hour {
			t.Errorf("listed is %+v", m)
		}
	}
	if !slices.Equal(got, want) || page.More {
		t.Errorf("listed are %q, more %t, want %q", got, page.More, want)
	}
}

func testMultipart(t *testing.T, connect connector) {
	ctx, c := testContext(t), connect(t)
	content := random(minPart + 1000)
	multipart, err := c.CreateMultipart(ctx, "folder/object", s3store.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.HeadObject(ctx, "folder/object")
	wantStatus(t, err, http.StatusNotFound)
	parts := []s3store.Part{
		uploadPart(t, c, "folder/object", multipart, 3, content[:minPart]),
		uploadPart(t, c, "folder/object", multipart, 7, content[minPart:]),
	}
	page, err := c.ListParts(ctx, "folder/object", multipart, 0)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(page.Parts, parts) || page.More || time.Since(page.Modified).Abs() > time.Hour {
		t.Errorf("ListParts: %+v, want %+v", page, parts)
	}
	wantMultiparts(t, c, s3store.ListMultiparts{Prefix: "folder/object"}, multipart)
	etag := complete(t, c, "folder/object", multipart, parts...)
	o, err := c.HeadObject(ctx, "folder/object")
	if err != nil {
		t.Fatal(err)
	}
	wantObject(t, o, etag, int64(len(content)))
	wantContent(t, c, "folder/object", content)
	_, err = c.ListParts(ctx, "folder/object", multipart, 0)
	wantStatus(t, err, http.StatusNotFound)
	wantMultiparts(t, c, s3store.ListMultiparts{Prefix: "folder/object"})
}

func testPagesOfParts(t *testing.T, connect connector) {
	ctx, c := testContext(t), connect(t)
	multipart, err := c.CreateMultipart(ctx, "object", s3store.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	var parts []s3store.Part
	for number := range 4 {
		parts = append(parts, uploadPart(t, c, "object", multipart, number+1, []byte("x")))
	}
	page, err := c.ListParts(ctx, "object", multipart, 2)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(page.Parts, parts[2:]) || page.More {
		t.Errorf("ListParts after 2: %+v, want %+v", page, parts[2:])
	}
}

func testCopiedParts(t *testing.T, connect connector) {
	ctx, c := testContext(t), connect(t)
	source := random(minPart + 5000)
	const sourceKey = "a b+c/é" // sent in a header
	put(t, c, sourceKey, source)
	multipart, err := c.CreateMultipart(ctx, "object", s3store.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	in := s3store.CopyPart{Key: "object", Multipart: multipart, Number: 1, Source: sourceKey, Size: -1}
	parts := []s3store.Part{copyPart(t, c, in, int64(len(source)))}
	in.Number, in.Offset, in.Size = 2, 100, 900
	parts = append(parts, copyPart(t, c, in, in.Size))
	complete(t, c, "object", multipart, parts...)
	wantContent(t, c, "object", append(bytes.Clone(source), source[100:1000]...))
}

func testAborted(t *testing.T, connect connector) {
	ctx, c := testContext(t), connect(t)
	multipart, err := c.CreateMultipart(ctx, "object", s3store.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	part := uploadPart(t, c, "object", multipart, 1, []byte("x"))
	if err := c.AbortMultipart(ctx, "object", multipart); err != nil {
		t.Fatal(err)
	}
	_, err = c.UploadPart(ctx, s3store.UploadPart{
		Key: "object", Multipart: multipart, Number: 1, Body: strings.NewReader("x"), Size: 1,
	})
	wantStatus(t, err, http.StatusNotFound)
	_, err = c.CompleteMultipart(ctx, "object", multipart, []s3store.Part{part})
	wantStatus(t, err, http.StatusNotFound)
	_, err = c.ListParts(ctx, "object", multipart, 0)
	wantStatus(t, err, http.StatusNotFound)
}

func testSmallPart(t *testing.T, connect connector) {
	ctx, c := testContext(t), connect(t)
	multipart, err := c.CreateMultipart(ctx, "object", s3store.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	parts := []s3store.Part{
		uploadPart(t, c, "object", multipart, 1, []byte("too small")),
		uploadPart(t, c, "object", multipart, 2, []byte("last")),
	}
	_, err = c.CompleteMultipart(ctx, "object", multipart, parts)
	wantError(t, err, "CompleteMultipartUpload", "EntityTooSmall", http.StatusBadRequest)
}

func testPresigned(t *testing.T, connect connector) {
	c := connect(t)
	put(t, c, "a b+c", []byte("content"))
	address, err := c.PresignGet("a b+c", s3store.Attributes{
		ContentType: "text/plain", ContentDisposition: `attachment; filename="a b.txt"`, CacheControl: "private",
	}, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(testContext(t), http.MethodGet, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || string(body) != "content" {
		t.Errorf("GET: status %d, %q, %v", response.StatusCode, body, err)
	}
	for name, want := range map[string]string{
		"Content-Type": "text/plain", "Content-Disposition": `attachment; filename="a b.txt"`, "Cache-Control": "private",
	} {
		if got := response.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func testUnsignedPayload(t *testing.T, connect connector) {
	c := connect(t, awsv1.WithoutContentHashes())
	content := random(100_000)
	put(t, c, "object", content)
	wantContent(t, c, "object", content)
	multipart, err := c.CreateMultipart(testContext(t), "parts", s3store.Attributes{})
	if err != nil {
		t.Fatal(err)
	}
	complete(t, c, "parts", multipart, uploadPart(t, c, "parts", multipart, 1, content))
	wantContent(t, c, "parts", content)
}
