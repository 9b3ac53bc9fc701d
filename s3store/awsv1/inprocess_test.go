package awsv1_test

import (
	"testing"

	"github.com/aws/aws-sdk-go/aws/credentials"

	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store/awsv1"
)

func TestServiceInProcess(t *testing.T) {
	testEveryCall(t, func(t *testing.T, options ...awsv1.Option) *awsv1.Client {
		s := s3server.Start(t, s3server.Options{})
		return awsv1.New(s.Bucket(), newAPI(t, s.URL, credentials.NewStaticCredentials(s.AccessKey(), secretKey, "")), options...)
	})
}
