package awsv1_test

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
)

// testContext ends calls that hang, long before the test binary's own limit.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func put(t *testing.T, c *awsv1.Client, key string, content []byte) (etag string) {
	t.Helper()
	in := s3store.PutObject{Key: key, Body: bytes.NewReader(content), Size: int64(len(content))}
	etag, err := c.PutObject(testContext(t), in)
	if err != nil {
		t.Fatal(err)
	}
	return etag
}

func uploadPart(t *testing.T, c *awsv1.Client, key, multipart string, number int, content []byte) s3store.Part {
	t.Helper()
	size := int64(len(content))
	in := s3store.UploadPart{Key: key, Multipart: multipart, Number: number, Body: bytes.NewReader(content), Size: size}
	etag, err := c.UploadPart(testContext(t), in)
	if err != nil {
		t.Fatal(err)
	}
	return s3store.Part{Number: number, Size: size, ETag: etag}
}

func copyPart(t *testing.T, c *awsv1.Client, in s3store.CopyPart, size int64) s3store.Part {
	t.Helper()
	etag, err := c.CopyPart(testContext(t), in)
	if err != nil {
		t.Fatal(err)
	}
	return s3store.Part{Number: in.Number, Size: size, ETag: etag}
}

func complete(t *testing.T, c *awsv1.Client, key, multipart string, parts ...s3store.Part) (etag string) {
	t.Helper()
	etag, err := c.CompleteMultipart(testContext(t), key, multipart, parts)
	if err != nil {
		t.Fatal(err)
	}
	return etag
}

func wantContent(t *testing.T, c *awsv1.Client, key string, want []byte) {
	t.Helper()
	o, err := c.GetObject(testContext(t), s3store.GetObject{Key: key})
	if err != nil {
		t.Fatal(err)
	}
	if o.ContentRange != "" {
		t.Errorf("Content-Range: %q, want none", o.ContentRange)
	}
	wantBody(t, o, want)
}

func wantBody(t *testing.T, o *s3store.Object, want []byte) {
	t.Helper()
	defer o.Body.Close()
	got, err := io.ReadAll(o.Body)
	if err != nil || !bytes.Equal(got, want) || o.Size != int64(len(want)) {
		t.Errorf("body: %d bytes, size %d, error %v; want %d bytes, the same", len(got), o.Size, err, len(want))
	}
}

func wantObject(t *testing.T, o *s3store.Object, etag string, size int64) {
	t.Helper()
	if o.ETag != etag || o.Size != size || time.Since(o.Modified).Abs() > time.Hour {
		t.Errorf("got %+v, want ETag %s, size %d", o, etag, size)
	}
}

func wantKeys(t *testing.T, page *s3store.ObjectPage, want ...string) {
	t.Helper()
	var keys []string
	for _, o := range page.Objects {
		keys = append(keys, o.Key)
	}
	if !slices.Equal(keys, want) || page.More {
		t.Errorf("listed %q, more %v; want %q", keys, page.More, want)
	}
}

func wantError(t *testing.T, err error, operation, code string, status int) {
	t.Helper()
	var e *s3store.Error
	if !errors.As(err, &e) || e.Operation != operation || e.Code != code || e.Status != status {
		t.Errorf("error: %v, want %s, %q, status %d", err, operation, code, status)
	}
}

func wantStatus(t *testing.T, err error, status int) {
	t.Helper()
	var e *s3store.Error
	if !errors.As(err, &e) || e.Status != status {
		t.Errorf("error: %v, want status %d", err, status)
	}
}

// random returns n bytes, the same in each run.
func random(n int) []byte {
	content := make([]byte, n)
	rand.NewChaCha8([32]byte{}).Read(content)
	return content
}

func quotedMD5(content []byte) string {
	sum := md5.Sum(content)
	return `"` + hex.EncodeToString(sum[:]) + `"`
}
