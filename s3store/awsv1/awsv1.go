// Package awsv1 implements the Client of package s3store with the S3 client of
// github.com/aws/aws-sdk-go.
//
//	client := awsv1.New("uploads", s3.New(session.Must(session.NewSession())))
//	store := s3store.New("uploads", client)
package awsv1

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/client"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/s3/s3iface"

	"github.com/tus/tusd/s3store"
)

// Client makes the calls of an s3store.Store on one bucket. Each method sends
// one request: the SDK's retries, its following of redirects and its waiting
// for "100 Continue" are off for these requests, whatever the SDK's client is
// configured to do.
type Client struct {
	bucket        string
	api           s3iface.S3API
	contentHashes bool
	observe       func(Call)
}

var (
	_ s3store.Client          = (*Client)(nil)
	_ s3store.MultipartLister = (*Client)(nil)
)

// Option changes how a Client works.
type Option func(*Client)

// New returns a Client for the bucket. Region, credentials, endpoint and
// transport are those of api, which may be used elsewhere at the same time.
//
// The caller provides a transport with an idle connection for each concurrent call, and a
// timeout for the header of an answer.
func New(bucket string, api s3iface.S3API, options ...Option) *Client {
	c := &Client{bucket: bucket, api: api, contentHashes: true, observe: func(Call) {}}
	for _, option := range options {
		option(c)
	}
	return c
}

// WithoutContentHashes sends objects and parts with an unsigned payload. That
// saves computing a SHA-256; then only TLS detects bytes that the network has
// changed.
func WithoutContentHashes() Option {
	return func(c *Client) { c.contentHashes = false }
}

// WithObserver calls observe for each call once it has its answer, concurrently.
// observe must not block.
func WithObserver(observe func(Call)) Option {
	return func(c *Client) { c.observe = observe }
}

// Call describes one call of the service to an observer. It has neither
// content nor credentials.
type Call struct {
	Operation string // as in S3: PutObject
	Key       string // the object's, the listing's prefix, or "" for several
	Sent      int64  // bytes of the object or part that were to be sent
	Received  int64  // bytes that the answer has announced; 0 if it does not say
	Took      time.Duration
	Err       error // as the method returns it
}

// send is a method of the SDK's client that makes a call.
type send[In, Out any] func(aws.Context, *In, ...request.Option) (*Out, error)

// do makes a call, reports it to the observer, and translates its error.
func do[In, Out any](ctx context.Context, c *Client, call Call, send send[In, Out], in *In, options ...request.Option) (*Out, error) {
	started := time.Now()
	options = append(options, single, noteReceived(&call))
	out, err := send(ctx, in, options...)
	if err != nil {
		err = translate(ctx, call.Operation, err)
	}
	call.Took, call.Err = time.Since(started), err
	c.observe(call)
	return out, err
}

// single turns off everything that would make the SDK send more than one request.
func single(r *request.Request) {
	r.Retryer = client.NoOpRetryer{}
	r.DisableFollowRedirects = true
	r.Config.S3Disable100Continue = aws.Bool(true)
	r.Config.LowerCaseHeaderMaps = aws.Bool(true)            // names of metadata
	r.Config.DisableRestProtocolURICleaning = aws.Bool(true) // a key may have two slashes in a row
	r.Handlers.Complete.PushBack(releaseBody)
	r.Handlers.Complete.PushBack(renewCredentials)
}

// releaseBody closes the body, so that the caller can reuse its memory. After an early answer
// or the end of the context the transport may still be sending the body when the call
// returns. Close waits for a running Read or Write and prevents further ones.
func releaseBody(r *request.Request) {
	if r.HTTPRequest.Body != nil {
		r.HTTPRequest.Body.Close()
	}
}

// renewCredentials makes the SDK fetch new credentials for the next call if the service
// answers that these have expired. The SDK does so only before its own retry.
func renewCredentials(r *request.Request) {
	if r.IsErrorExpired() && r.Config.Credentials != nil {
		r.Config.Credentials.Expire()
	}
}

// noteReceived sets call.Received from the answer.
func noteReceived(call *Call) request.Option {
	return func(r *request.Request) {
		r.Handlers.Complete.PushBack(func(r *request.Request) {
			if r.Operation.HTTPMethod != "HEAD" {
				call.Received = max(0, r.HTTPResponse.ContentLength)
			}
		})
	}
}

// payload chooses how the body of an object or part is hashed: once for the
// signature, or not at all. The SDK would compute an MD5 as well, and copy what
// it hashes.
func (c *Client) payload(body io.ReadSeeker) request.Option {
	return func(r *request.Request) {
		r.Config.S3DisableContentMD5Validation = aws.Bool(true)
		hash := "UNSIGNED-PAYLOAD"
		if c.contentHashes {
			hash, r.Error = hashOf(body)
		}
		r.HTTPRequest.Header.Set("X-Amz-Content-Sha256", hash)
		r.Handlers.Send.PushFront(setBody(body))
	}
}

// hashOf returns the SHA-256 of a body, and seeks back to its beginning. A body that is an
// io.WriterTo is not copied.
func hashOf(body io.ReadSeeker) (string, error) {
	sum := sha256.New()
	if _, err := io.Copy(sum, body); err != nil {
		return "", err
	}
	_, err := body.Seek(0, io.SeekStart)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// withHeader sets a header of the request as it is, before it is signed. An
// empty value is not sent.
func withHeader(name, value string) request.Option {
	return func(r *request.Request) {
		if value != "" {
			r.HTTPRequest.Header.Set(name, value)
		}
	}
}

// optional returns nil for "", which the SDK does not send.
func optional(value string) *string {
	if value == "" {
		return nil
	}
	return &value
}
