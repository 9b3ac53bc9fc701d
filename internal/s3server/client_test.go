package s3server_test

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/internal/s3server"
)

// small allows parts of 1 KiB.
var small = s3server.Quirks{MinPart: 1 << 10}

// testTimeout limits every wait of a test.
const testTimeout = 20 * time.Second

// client is the SDK's client, with calls on one bucket.
type client struct {
	*s3.S3
	t      testing.TB
	server *s3server.Server
}

// start starts a server with quirks, and a client for it.
func start(t testing.TB, quirks s3server.Quirks) *client {
	t.Helper()
	return startWith(t, s3server.Options{Quirks: quirks})
}

func startWith(t testing.TB, options s3server.Options) *client {
	t.Helper()
	server := s3server.Start(t, options)
	return &client{newS3(t, server, server.AccessKey()), t, server}
}

func newS3(t testing.TB, server *s3server.Server, accessKey string) *s3.S3 {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	s, err := session.NewSession(&aws.Config{
		Endpoint: aws.String(server.URL), Region: aws.String("us-east-1"), S3ForcePathStyle: aws.Bool(true),
		Credentials: credentials.NewStaticCredentials(accessKey, "secret", ""),
		MaxRetries:  aws.Int(0), HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s3.New(s)
}

func (c *client) bucket() *string { return aws.String(c.server.Bucket()) }

// put stores an object and returns its ETag.
func (c *client) put(key string, data []byte, options ...request.Option) (etag string, err error) {
	out, err := c.PutObjectWithContext(c.t.Context(), &s3.PutObjectInput{
		Bucket: c.bucket(), Key: &key, Body: bytes.NewReader(data),
	}, options...)
	if err != nil {
		return "", err
	}
	return *out.ETag, nil
}

// get reads an object.
func (c *client) get(key string, options ...request.Option) ([]byte, *s3.GetObjectOutput, error) {
	out, err := c.GetObjectWithContext(c.t.Context(), &s3.GetObjectInput{Bucket: c.bucket(), Key: &key}, options...)
	if err != nil {
		return nil, nil, err
	}
	defer out.Body.Close()
	data, err := io.ReadAll(out.Body)
	return data, out, err
}

// begin creates a multipart upload.
func (c *client) begin(key string) (id string) {
	c.t.Helper()
	out, err := c.CreateMultipartUpload(&s3.CreateMultipartUploadInput{Bucket: c.bucket(), Key: &key})
	if err != nil {
		c.t.Fatal(err)
	}
	return *out.UploadId
}

// part stores a part.
func (c *client) part(key, id string, number int, data []byte) (*s3.CompletedPart, error) {
	out, err := c.UploadPartWithContext(c.t.Context(), &s3.UploadPartInput{
		Bucket: c.bucket(), Key: &key, UploadId: &id, PartNumber: aws.Int64(int64(number)), Body: bytes.NewReader(data),
	})
	if err != nil {
		return nil, err
	}
	return &s3.CompletedPart{PartNumber: aws.Int64(int64(number)), ETag: out.ETag}, nil
}

// parts stores parts with the numbers 1, 2, ...
func (c *client) parts(key, id string, contents ...[]byte) []*s3.CompletedPart {
	c.t.Helper()
	parts := make([]*s3.CompletedPart, len(contents))
	for i, data := range contents {
		var err error
		if parts[i], err = c.part(key, id, i+1, data); err != nil {
			c.t.Fatal(err)
		}
	}
	return parts
}

func (c *client) complete(key, id string, parts ...*s3.CompletedPart) (etag string, err error) {
	out, err := c.CompleteMultipartUpload(&s3.CompleteMultipartUploadInput{
		Bucket: c.bucket(), Key: &key, UploadId: &id, MultipartUpload: &s3.CompletedMultipartUpload{Parts: parts},
	})
	if err != nil {
		return "", err
	}
	return *out.ETag, nil
}

func (c *client) abort(key, id string) error {
	_, err := c.AbortMultipartUpload(&s3.AbortMultipartUploadInput{Bucket: c.bucket(), Key: &key, UploadId: &id})
	return err
}

// wantContent compares the content of an object.
func (c *client) wantContent(key string, want []byte) {
	c.t.Helper()
	got, _, err := c.get(key)
	if err != nil || !bytes.Equal(got, want) {
		c.t.Fatalf("%s: %d bytes and %v, want %d bytes as written", key, len(got), err, len(want))
	}
}

// wantCode checks the status and code of an error.
func wantCode(t testing.TB, err error, status int, code string) {
	t.Helper()
	var failure awserr.RequestFailure
	if !errors.As(err, &failure) {
		t.Fatalf("%v, want %s with status %d", err, code, status)
	}
	if failure.StatusCode() != status || failure.Code() != code {
		t.Errorf("%s with status %d, want %s with status %d", failure.Code(), failure.StatusCode(), code, status)
	}
}

// wantCut checks that a call ended without an answer.
func wantCut(t testing.TB, err error) {
	t.Helper()
	var failure awserr.RequestFailure
	if err == nil || errors.As(err, &failure) {
		t.Errorf("%v, want an error of the connection", err)
	}
}

func mustSucceed(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// header sets a header of a request.
func header(name, value string) request.Option {
	return request.WithSetRequestHeaders(map[string]string{name: value})
}

// content returns size bytes that depend on seed.
func content(seed uint64, size int) []byte {
	data := make([]byte, size)
	source := rand.New(rand.NewPCG(seed, 0))
	for i := range data {
		data[i] = byte(source.Uint32())
	}
	return data
}
