//go:build linux

package s3store_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/internal/s3services"
	"github.com/tus/tusd/s3store"
)

// serviceBucket is a bucket of a real service.
type serviceBucket struct {
	name     string
	api      *s3.S3 // a client whose requests are counted
	requests *requestCounter
}

// newServiceBucket creates a bucket. The connections of its client are closed with the
// test.
func newServiceBucket(tb testing.TB, s *s3services.Service) *serviceBucket {
	tb.Helper()
	b := &serviceBucket{name: s.NewBucket(tb)}
	return b.withOwnClient(tb, s)
}

// withOwnClient returns the same bucket with another client.
func (b *serviceBucket) withOwnClient(tb testing.TB, s *s3services.Service) *serviceBucket {
	tb.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	tb.Cleanup(transport.CloseIdleConnections)
	other := &serviceBucket{name: b.name, api: s.Client(tb), requests: &requestCounter{next: transport}}
	other.api.Config.HTTPClient = &http.Client{Transport: other.requests}
	return other
}

// serviceStore returns a store with parts as small as the services allow.
func serviceStore(bucket string, client s3store.Client) *s3store.Store {
	store := s3store.New(bucket, client)
	store.PreferredPartSize, store.BufferMemory = 5*mib, 64*mib
	return store
}
