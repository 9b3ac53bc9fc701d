//go:build linux

package e2e

import (
	"strings"
	"testing"

	"github.com/tus/tusd/internal/faulttest"
	"github.com/tus/tusd/internal/s3services"
)

// Uploads into a bucket of versitygw have several parts, from chunks that are smaller
// than a part and from chunks that are larger.

const (
	bucketSize = 14*mib + 1
	bucketLoss = 8 * mib // bytes before the upload is disturbed
)

// startInBucket runs the daemon on a new bucket until the test ends.
func startInBucket(t *testing.T, gateway *s3services.Service) *service {
	t.Helper()
	return startOnBucket(t, gateway, gateway.NewBucket(t))
}

// startOnBucket runs the daemon on a bucket until the test ends.
func startOnBucket(t *testing.T, gateway *s3services.Service, bucket string) *service {
	t.Helper()
	launch := faulttest.Launch{
		Binary: builder.Binary(t, ""),
		Flags: []string{
			"-shutdown-timeout", "5s", "-s3-part-size", "5242880", "-s3-object-prefix", "uploads", "-s3-log-api-calls",
			"-s3-bucket", bucket, "-s3-endpoint", gateway.Endpoint,
		},
		Env: []string{
			"AWS_ACCESS_KEY_ID=" + gateway.AccessKey, "AWS_SECRET_ACCESS_KEY=" + gateway.SecretKey, "AWS_REGION=" + gateway.Region,
		},
	}
	daemon := faulttest.Start(t, launch)
	return &service{relay: startRelay(t, daemon.Address), daemon: daemon, launch: launch}
}

func TestClientsUploadIntoABucket(t *testing.T) {
	t.Parallel()
	gateway := s3services.Versitygw(t)
	for name, disturb := range map[string]func(*testing.T, *service){
		"undisturbed": nil,
		"cut":         func(_ *testing.T, s *service) { s.cut() },
		"killed":      func(t *testing.T, s *service) { s.kill(t) },
		"shut down": func(t *testing.T, s *service) {
			if err := s.daemon.Stop(); err != nil {
				t.Error(err)
			}
			s.restart(t)
		},
		"another process": switchProcess,
	} {
		for kind, options := range map[string]map[string]any{
			"plain":        {},
			"small chunks": {"chunkSize": 2 * mib},
			"large chunks": {"chunkSize": 6 * mib},
		} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				t.Parallel()
				uploadIntoBucket(t, startInBucket(t, gateway), gateway.SecretKey, options, disturb)
			})
		}
	}
}

func TestClientUploadsInParallelIntoABucket(t *testing.T) {
	t.Parallel()
	s := startInBucket(t, s3services.Versitygw(t))
	file, sum := writeContent(t, bucketSize)
	s.afterPatches(3, bucketLoss, s.cut)
	url := upload(t, s.relay, job{Client: newClient, File: file, Options: map[string]any{"parallelUploads": 3}})
	wantContent(t, url, sum)
	wantPosts(t, s.relay, 4)
	wantResumed(t, s)
}

// switchProcess redirects the client to a second process on the same bucket. The first
// one continues to run.
func switchProcess(t *testing.T, s *service) {
	s.restart(t)
	s.cut()
}

// uploadIntoBucket uploads through s, which is disturbed once. The daemon's output must
// not contain secret.
func uploadIntoBucket(t *testing.T, s *service, secret string, options map[string]any, disturb func(*testing.T, *service)) {
	t.Helper()
	file, sum := writeContent(t, bucketSize)
	if disturb != nil {
		s.after(bucketLoss, func() { disturb(t, s) })
	}
	url := upload(t, s.relay, job{Client: newClient, File: file, Options: options})
	wantContent(t, url, sum)
	wantPosts(t, s.relay, 1)
	if disturb != nil {
		wantResumed(t, s)
	}
	if output := s.daemon.Output(); strings.Contains(output, secret) || !strings.Contains(output, "S3 call") {
		t.Errorf("the daemon logs the secret, or no S3 call:\n%s", output)
	}
}
