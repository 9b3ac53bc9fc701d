//go:build linux

package awsv1_test

import (
	"testing"

	"github.com/tus/tusd/internal/s3services"
	"github.com/tus/tusd/s3store/awsv1"
)

func TestRealServices(t *testing.T) {
	s3services.Each(t, func(t *testing.T, s *s3services.Service) {
		testEveryCall(t, func(t *testing.T, options ...awsv1.Option) *awsv1.Client {
			return awsv1.New(s.NewBucket(t), s.Client(t), options...)
		})
	})
}
