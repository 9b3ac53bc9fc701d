//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

package limitedstore_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
	"github.com/tus/tusd/storetest"
)

// Small sizes, so that uploads of the suite have several parts.
const (
	s3MinPart = 64 << 10
	s3Memory  = 4 << 20
)

// newBucket starts a service in process with an empty bucket.
func newBucket(tb testing.TB) (*s3server.Server, s3store.Client) {
	tb.Helper()
	server := s3server.Start(tb, s3server.Options{Quirks: s3server.Quirks{MinPart: s3MinPart}})
	transport := &http.Transport{MaxIdleConnsPerHost: 32}
	tb.Cleanup(transport.CloseIdleConnections)
	s, err := session.NewSession(&aws.Config{
		Region: aws.String("us-east-1"), Endpoint: aws.String(server.URL), S3ForcePathStyle: aws.Bool(true),
		Credentials: credentials.NewStaticCredentials(server.AccessKey(), "secret", ""),
		HTTPClient:  &http.Client{Transport: transport},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return server, awsv1.New(server.Bucket(), s3.New(s))
}

func composeBucket(bucket string, client s3store.Client) *tusd.StoreComposer {
	store := s3store.New(bucket, client)
	store.Profile.MinPart = s3MinPart
	store.PreferredPartSize, store.BufferMemory = 2*s3MinPart, s3Memory
	composer := tusd.NewStoreComposer()
	store.UseIn(composer)
	return composer
}

func TestContractInBucket(t *testing.T) {
	require.Long(t)
	clients := make(map[*s3store.Store]s3store.Client)
	compose := func(bucket string, client s3store.Client) *tusd.StoreComposer {
		composer := composeBucket(bucket, client)
		clients[composer.Core.(*s3store.Store)] = client
		return composer
	}
	storetest.Run(t, harness(storetest.Harness{
		New: func(tb testing.TB) *tusd.StoreComposer {
			server, client := newBucket(tb)
			return compose(server.Bucket(), client)
		},
		Claims:      storetest.Everything,
		Unreadable:  true,
		Goroutines:  128, // idle connections, and those of the service
		Descriptors: 128,
	}, func(_ testing.TB, s *s3store.Store) *tusd.StoreComposer { return compose(s.Bucket, clients[s]) }))
}
