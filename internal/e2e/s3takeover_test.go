//go:build linux

//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

package e2e

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/internal/s3services"
	"github.com/tus/tusd/internal/tusclient"
)

// v2Upload is an unfinished upload of tusd v2 in a bucket: parts of a multipart upload,
// of different sizes, a tail that is too small for a part, and a record that does not
// list them.
type v2Upload struct {
	*testing.T
	api    *s3.S3
	bucket string
	key    string // of the object
	path   string // of the upload's URL
}

func newV2Upload(t *testing.T, gateway *s3services.Service, size int64) *v2Upload {
	t.Helper()
	f := &v2Upload{T: t, api: gateway.Client(t), bucket: gateway.NewBucket(t), key: "uploads/24e533e02ec3bc40c387f1a0e460e216"}
	begun, err := f.api.CreateMultipartUploadWithContext(t.Context(), &s3.CreateMultipartUploadInput{Bucket: &f.bucket, Key: &f.key})
	if err != nil {
		t.Fatal(err)
	}
	id := f.key[len("uploads/"):] + "+" + *begun.UploadId
	f.path = "/files/" + id
	f.putObject(".info", fmt.Appendf(nil, `{"ID":%q,"Size":%d,"SizeIsDeferred":false,"Offset":0,"MetaData":{"filename":"film.mp4"},`+
		`"IsPartial":false,"IsFinal":false,"PartialUploads":null,"Storage":{"Bucket":%q,"Key":%q,"Type":"s3store"}}`,
		id, size, f.bucket, f.key))
	return f
}

// putObject stores another object of the upload.
func (f *v2Upload) putObject(suffix string, content []byte) {
	f.Helper()
	in := &s3.PutObjectInput{Bucket: &f.bucket, Key: aws.String(f.key + suffix), Body: bytes.NewReader(content)}
	if _, err := f.api.PutObjectWithContext(f.Context(), in); err != nil {
		f.Fatal(err)
	}
}

func (f *v2Upload) putPart(number int64, content []byte) {
	f.Helper()
	_, multipart, _ := strings.Cut(f.path, "+")
	in := &s3.UploadPartInput{
		Bucket: &f.bucket, Key: &f.key, UploadId: &multipart, PartNumber: &number, Body: bytes.NewReader(content),
	}
	if _, err := f.api.UploadPartWithContext(f.Context(), in); err != nil {
		f.Fatal(err)
	}
}

// wantNothingLeft checks that the upload has no objects.
func (f *v2Upload) wantNothingLeft() {
	f.Helper()
	page, err := f.api.ListObjectsV2WithContext(f.Context(), &s3.ListObjectsV2Input{Bucket: &f.bucket, Prefix: &f.key})
	if err != nil {
		f.Fatal(err)
	}
	if len(page.Contents) > 0 {
		f.Errorf("objects are left: %v", page.Contents)
	}
}

// request sends a request for the upload and checks the status and, unless it is
// negative, the offset of the answer.
func (f *v2Upload) request(s *service, method string, body []byte, from, status int, offset int64) {
	f.Helper()
	header := []string{tusclient.Version}
	if method == http.MethodPatch {
		header = tusclient.AppendHeader(int64(from))
	}
	answer, err := tusclient.Do(method, s.relay.url()+f.path, body, header...)
	if err := errors.Join(err, answer.Want(method, status)); err != nil {
		f.Fatal(err)
	}
	if got := answer.Offset(); offset >= 0 && got != offset {
		f.Fatalf("%s: Upload-Offset %d, want %d", method, got, offset)
	}
}

// Unfinished uploads of tusd v2 in a bucket continue under their URLs, and can be
// downloaded and removed.
func TestUploadOfV2GoesOnInABucket(t *testing.T) {
	t.Parallel()
	const (
		first, second = 5 * mib, 5*mib + 6*mib + 17
		tail          = second + 100_000
		middle, size  = tail + 50_000, 14*mib + 1
	)
	gateway := s3services.Versitygw(t)
	content, sum := makeContent(t, size)
	f := newV2Upload(t, gateway, size)
	f.putPart(1, content[:first])
	f.putPart(2, content[first:second])
	f.putObject(".part", content[second:tail])
	s := startOnBucket(t, gateway, f.bucket)

	f.request(s, http.MethodHead, nil, 0, http.StatusOK, tail)
	f.request(s, http.MethodPatch, content[tail:middle], tail, http.StatusNoContent, middle)
	f.request(s, http.MethodPatch, content[middle:], middle, http.StatusNoContent, size)
	f.request(s, http.MethodHead, nil, 0, http.StatusOK, size)
	wantContent(t, s.relay.url()+f.path, sum)
	f.request(s, http.MethodDelete, nil, 0, http.StatusNoContent, -1)
	f.request(s, http.MethodHead, nil, 0, http.StatusNotFound, -1)
	f.wantNothingLeft()
}

// An unfinished upload of tusd v2 is removed with its multipart upload.
func TestUploadOfV2IsRemovedFromABucket(t *testing.T) {
	t.Parallel()
	gateway := s3services.Versitygw(t)
	content, _ := makeContent(t, 5*mib+1)
	f := newV2Upload(t, gateway, 10*mib)
	f.putPart(1, content[:5*mib])
	f.putObject(".part", content[5*mib:])
	s := startOnBucket(t, gateway, f.bucket)

	f.request(s, http.MethodDelete, nil, 0, http.StatusNoContent, -1)
	f.request(s, http.MethodHead, nil, 0, http.StatusNotFound, -1)
	f.wantNothingLeft()
	left, err := f.api.ListMultipartUploadsWithContext(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &f.bucket})
	if err != nil || len(left.Uploads) > 0 {
		t.Errorf("multipart uploads are left: %v, error %v", left, err)
	}
}
