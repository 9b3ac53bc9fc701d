//go:build linux

package faulttest

import (
	"testing"
	"time"

	"github.com/tus/tusd/internal/s3services"
)

// TestKillOnS3 kills the daemon while it keeps uploads in a bucket: what it has
// acknowledged is there in its next life, whether in parts, in pieces that wait
// to be a part, or as an object.
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
	const largest = 12 << 20 // more than two parts of the least size
	killing{launch: launch, rounds: max(rounds(t)/10, 3), life: time.Second, largest: largest}.run(t)
}
