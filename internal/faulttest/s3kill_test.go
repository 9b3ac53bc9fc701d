//go:build linux

package faulttest

import (
	"testing"
	"time"

	"github.com/tus/tusd/internal/s3services"
)

// TestKillOnS3 kills the daemon under load with uploads in a bucket: in parts, in tail
// objects and in complete objects.
func TestKillOnS3(t *testing.T) {
	t.Parallel()
	s := s3services.Versitygw(t)
	launch := Launch{
		Binary: builder.Binary(t, ""),
		Flags: []string{
			"-s3-bucket", s.NewBucket(t), "-s3-endpoint", s.Endpoint, "-s3-part-size", "5242880",
		},
		Env: []string{
			"AWS_ACCESS_KEY_ID=" + s.AccessKey, "AWS_SECRET_ACCESS_KEY=" + s.SecretKey, "AWS_REGION=" + s.Region,
		},
	}
	const largest = 12 << 20 // more than two parts of the smallest size
	killTest{launch: launch, rounds: max(rounds(t)/10, 3), maxUptime: time.Second, largest: largest}.run(t)
}
