//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

//go:build linux

package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/internal/s3services"
)

// The doctor finds nothing missing on real services, and leaves their buckets empty.
// A wrong secret key is reported.
func TestDoctorOfServices(t *testing.T) {
	s3services.Each(t, func(t *testing.T, service *s3services.Service) {
		cleanAWS(t, "AWS_ACCESS_KEY_ID="+service.AccessKey, "AWS_SECRET_ACCESS_KEY="+service.SecretKey, "AWS_REGION="+service.Region)
		bucket := service.NewBucket(t)
		args := []string{"-s3-bucket", bucket, "-s3-endpoint", service.Endpoint, "-s3-redirect-downloads"}
		code, text, stderr := diagnose(t, args...)
		text = withoutLifecycle(text)
		if code != exitOK || strings.Contains(text, "missing") || strings.Contains(text, "warning ") || strings.Contains(text+stderr, service.SecretKey) {
			t.Errorf("exit code %d, %s\n%s", code, stderr, text)
		}
		wantEmptyBucket(t, service, bucket)

		code, text, _ = diagnose(t, "-s3-bucket", "no-such-bucket", "-s3-endpoint", service.Endpoint)
		if code != exitFailed || !strings.Contains(text, "the service has no bucket of that name") {
			t.Errorf("exit code %d:\n%s", code, text)
		}
		t.Setenv("AWS_SECRET_ACCESS_KEY", "another-secret-that-is-wrong")
		code, text, _ = diagnose(t, args...)
		if code != exitFailed || !strings.Contains(text, "the secret key is not that of the access key") || strings.Contains(text, "another-secret") {
			t.Errorf("exit code %d:\n%s", code, text)
		}
		code, text, stderr = run("-host", "127.0.0.1", "-port", "0", "-s3-bucket", bucket, "-s3-endpoint", service.Endpoint)
		if code != exitFailed || !strings.Contains(stderr, "the secret key is not that of the access key") || strings.Contains(text+stderr, "another-secret") {
			t.Errorf("the server's exit code is %d, %s", code, stderr)
		}
		t.Setenv("AWS_ACCESS_KEY_ID", "unknown")
		code, text, _ = diagnose(t, args...)
		if code != exitFailed || !strings.Contains(text, "the service does not know the access key") {
			t.Errorf("exit code %d:\n%s", code, text)
		}
	})
}

// withoutLifecycle removes the line that recommends a lifecycle rule: a new bucket has none.
func withoutLifecycle(text string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(text, "\n"), func(line string) bool {
		return strings.HasPrefix(line, "warning  lifecycle rule for abandoned multipart uploads: the bucket has none")
	}), "\n")
}

func wantEmptyBucket(t *testing.T, service *s3services.Service, bucket string) {
	t.Helper()
	page, err := service.Client(t).ListObjectsV2WithContext(t.Context(), &s3.ListObjectsV2Input{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range page.Contents {
		t.Errorf("the object %s is left", aws.StringValue(o.Key))
	}
	uploads, err := service.Client(t).ListMultipartUploadsWithContext(t.Context(), &s3.ListMultipartUploadsInput{Bucket: &bucket})
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range uploads.Uploads {
		t.Errorf("a multipart upload of %s is left", aws.StringValue(u.Key))
	}
}

// The doctor examines a service whose endpoint is given, with the generic profile,
// and the test logs the report.
func TestDoctorOfGivenService(t *testing.T) {
	service := s3services.Given(t)
	cleanAWS(t, "AWS_ACCESS_KEY_ID="+service.AccessKey, "AWS_SECRET_ACCESS_KEY="+service.SecretKey, "AWS_REGION="+service.Region)
	bucket := service.NewBucket(t)
	code, text, stderr := diagnose(t, "-s3-bucket", bucket, "-s3-endpoint", service.Endpoint, "-s3-profile", "generic", "-s3-redirect-downloads")
	t.Logf("%s%s", stderr, text)
	if code != exitOK {
		t.Errorf("exit code %d", code)
	}
	wantEmptyBucket(t, service, bucket)
}
