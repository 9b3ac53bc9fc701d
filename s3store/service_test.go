package s3store_test

import (
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
)

// clientOf returns a client of a service in process.
func clientOf(tb testing.TB, server *s3server.Server) s3store.Client {
	tb.Helper()
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
	return awsv1.New(server.Bucket(), s3.New(s))
}

// Small sizes, so that the tests of large uploads are fast.
const (
	testMinPart = 32 << 10
	testPart    = 128 << 10
	testMemory  = 16 << 20
)

// testStore returns a store with small parts.
func testStore(bucket string, client s3store.Client) *s3store.Store {
	store := s3store.New(bucket, client)
	store.Profile.MinPart = testMinPart
	store.PreferredPartSize, store.BufferMemory = testPart, testMemory
	return store
}
