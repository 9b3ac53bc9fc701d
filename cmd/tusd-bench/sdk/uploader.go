//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

package sdk

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3/s3manager"

	"github.com/tus/tusd/cmd/tusd-bench/service"
)

// Settings of the uploader, as tusd's flags of the same names.
type Settings struct {
	Endpoint    string
	PartSize    int64
	Parts       int // at the same time, for each upload
	WithoutHash bool
}

// uploader is the SDK's uploader with its default settings, but for three: it keeps a
// connection for each part, it computes no MD5, like tusd, and the SHA-256 of the content is
// optional.
type uploader struct {
	api    *s3manager.Uploader
	memory pattern // the content that make uploads
}

func newUploader(s Settings) (uploader, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost = s.Parts
	connection, err := session.NewSession(&aws.Config{
		Endpoint: &s.Endpoint, Region: aws.String(service.Region), S3ForcePathStyle: aws.Bool(true),
		Credentials:                   credentials.NewStaticCredentials(service.AccessKey, service.SecretKey, ""),
		HTTPClient:                    &http.Client{Transport: transport},
		S3DisableContentMD5Validation: aws.Bool(true),
	})
	if err != nil {
		return uploader{}, err
	}
	return uploader{api: s3manager.NewUploader(connection, func(u *s3manager.Uploader) {
		u.PartSize, u.Concurrency = s.PartSize, s.Parts
		if s.WithoutHash {
			u.RequestOptions = append(u.RequestOptions, unsigned)
		}
	})}, nil
}

// unsigned omits the content from the signature, which saves its SHA-256.
func unsigned(r *request.Request) {
	if r.Operation.Name == "UploadPart" || r.Operation.Name == "PutObject" {
		r.HTTPRequest.Header.Set("X-Amz-Content-Sha256", "UNSIGNED-PAYLOAD")
	}
}

func (u uploader) upload(ctx context.Context, key string, body io.Reader) error {
	_, err := u.api.UploadWithContext(ctx, &s3manager.UploadInput{Bucket: aws.String(service.Bucket), Key: &key, Body: body})
	return err
}

// relay uploads the content of a request while it is received.
func (u uploader) relay(ctx context.Context, key string, r *http.Request) (int64, error) {
	return r.ContentLength, u.upload(ctx, key, r.Body)
}

// make uploads as many bytes from memory as OrderHeader says.
func (u uploader) make(ctx context.Context, key string, r *http.Request) (int64, error) {
	n, err := strconv.ParseInt(r.Header.Get(OrderHeader), 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", OrderHeader, err)
	}
	return n, u.upload(ctx, key, io.NewSectionReader(u.memory, 0, n))
}

// pattern is an endless content that repeats one block of memory.
type pattern []byte

// newPattern returns a block that is larger than the caches of a processor, so that bytes are
// read from memory, like in a server.
func newPattern() pattern {
	p := make(pattern, 64<<20)
	for i := range p {
		p[i] = byte(i * 131 / 127)
	}
	return p
}

// ReadAt implements io.ReaderAt.
func (p pattern) ReadAt(b []byte, at int64) (n int, err error) {
	if at > math.MaxInt64-int64(len(b)) {
		return 0, io.EOF
	}
	for n < len(b) {
		n += copy(b[n:], p[(at+int64(n))%int64(len(p)):])
	}
	return n, nil
}
