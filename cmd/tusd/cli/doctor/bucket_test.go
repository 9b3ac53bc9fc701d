//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

package doctor_test

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/cmd/tusd/cli/doctor"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
)

// smallPart is the least size of parts.
const smallPart = 8 << 10

// serve starts a service with small parts.
func serve(t *testing.T, quirks s3server.Quirks) *s3server.Server {
	t.Helper()
	if quirks.MinPart == 0 {
		quirks.MinPart = smallPart
	}
	return s3server.Start(t, s3server.Options{Quirks: quirks})
}

// bucketOf returns the bucket of a service, to be examined.
func bucketOf(t *testing.T, server *s3server.Server) doctor.Bucket {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	client := &http.Client{Transport: transport}
	s, err := session.NewSession(&aws.Config{
		Region: aws.String("us-east-1"), Endpoint: aws.String(server.URL), S3ForcePathStyle: aws.Bool(true),
		Credentials: credentials.NewStaticCredentials(server.AccessKey(), "secret-that-must-not-appear", ""),
		HTTPClient:  client,
	})
	if err != nil {
		t.Fatal(err)
	}
	return doctor.Bucket{
		Client: awsv1.New(server.Bucket(), s3.New(s)), Prefix: "up/", Profile: s3store.Profile{Name: "aws"},
		MinPart: smallPart, HTTP: client,
	}
}

// examined returns the report of a bucket.
func examined(ctx context.Context, b doctor.Bucket) (text string, good bool) {
	var out bytes.Buffer
	report := doctor.NewReport(&out)
	b.Examine(ctx, report)
	report.Conclude()
	return out.String(), report.Good()
}

func wantEmpty(t *testing.T, server *s3server.Server) {
	t.Helper()
	if left := server.Left(); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

func TestGoodBucket(t *testing.T) {
	server := serve(t, s3server.Quirks{})
	b := bucketOf(t, server)
	b.Object = s3store.ObjectRules{Tags: map[string]string{"a": "b"}, CacheControl: "no-store"}
	b.RedirectDownloads = time.Hour
	text, good := examined(t.Context(), b)
	if !good || strings.Contains(text, "warning") || strings.Contains(text, "missing") {
		t.Errorf("a good bucket:\n%s", text)
	}
	for _, subject := range []string{
		"list objects", "store objects", "read objects", "ask for objects", "clock", "If-None-Match", "If-Match", "with the class",
		"multipart uploads", "up to the number 10000", "copy ranges", "list parts", "abort multipart", "downloads from the service",
		"remove an object", "remove several",
	} {
		if !regexp.MustCompile(`(?m)^ok       .*` + subject).MatchString(text) {
			t.Errorf("the report has no line about %q:\n%s", subject, text)
		}
	}
	wantEmpty(t, server)
}

// The report names the permission of each refused operation. Objects that can be
// removed are removed.
func TestBucketWithoutPermissions(t *testing.T) {
	for operation, want := range map[s3server.Operation]string{
		s3server.ListObjectsV2:           `missing  list objects: the credentials are not allowed to do this \(s3:ListBucket\)`,
		s3server.PutObject:               `missing  store objects: the credentials are not allowed to do this \(s3:PutObject\)`,
		s3server.GetObject:               `missing  read objects, and ranges of them: .*\(s3:GetObject\)`,
		s3server.HeadObject:              `missing  ask for objects: .*\(s3:GetObject\)`,
		s3server.CreateMultipartUpload:   `missing  multipart uploads .*\(s3:PutObject\)`,
		s3server.UploadPart:              `missing  multipart uploads .*\(s3:PutObject\)`,
		s3server.CompleteMultipartUpload: `missing  multipart uploads .*\(s3:PutObject\)`,
		s3server.UploadPartCopy:          `warning  copy ranges .*\(s3:PutObject and s3:GetObject\)`,
		s3server.ListParts:               `warning  list parts: .*\(s3:ListMultipartUploadParts\)`,
		s3server.AbortMultipartUpload:    `missing  abort multipart uploads: .*\(s3:AbortMultipartUpload\)`,
		s3server.DeleteObject:            `missing  remove an object: .*\(s3:DeleteObject\)`,
		s3server.DeleteObjects:           `missing  remove several objects in one call: .*\(s3:DeleteObject\)`,
	} {
		server := serve(t, s3server.Quirks{})
		server.Fault(func(c s3server.Call) s3server.Outcome {
			if c.Operation == operation {
				return s3server.Refuse(http.StatusForbidden, "AccessDenied")
			}
			return s3server.Outcome{}
		})
		text, good := examined(t.Context(), bucketOf(t, server))
		if !regexp.MustCompile(`(?m)^` + want).MatchString(text) {
			t.Errorf("%s is refused; the report lacks %s:\n%s", operation, want, text)
		}
		if good != strings.HasPrefix(want, "warning") {
			t.Errorf("%s is refused: good is %t", operation, good)
		}
		if operation == s3server.DeleteObject || operation == s3server.AbortMultipartUpload {
			if !strings.Contains(text, "warning  left behind: ") {
				t.Errorf("%s is refused, and the report does not name what is left:\n%s", operation, text)
			}
			continue
		}
		wantEmpty(t, server)
	}
}

// The report names the profile or flag that fits a service.
func TestBucketsThatDiffer(t *testing.T) {
	for name, c := range map[string]struct {
		quirks  s3server.Quirks
		profile string // "": aws
		want    string // "": nothing but ok
	}{
		"no If-None-Match":            {s3server.Quirks{NoIfNoneMatch: true}, "", `warning  writes only if there is no object .*let one server alone write`},
		"no If-Match":                 {s3server.Quirks{NoIfMatch: true}, "", `warning  writes only over a known object`},
		"If-Match never holds":        {s3server.Quirks{RefuseIfMatch: true}, "", `warning  writes only over a known object .*even where the condition holds: let one server alone write`},
		"conditions are ignored":      {s3server.Quirks{IgnoreConditions: true}, "", `warning  writes only over a known object`},
		"conditions are not used":     {s3server.Quirks{}, "b2", `ok       writes only .*-s3-profile b2 makes no use of them`},
		"equal parts":                 {s3server.Quirks{EqualParts: true}, "", `missing  multipart uploads .*refuses parts of several sizes, gaps in their numbers: set -s3-profile r2$`},
		"equal parts, with profile":   {s3server.Quirks{EqualParts: true}, "r2", ""},
		"few parts":                   {s3server.Quirks{MaxParts: 1000}, "", `missing  parts up to the number 10000: the service refuses them: set -s3-profile scaleway$`},
		"few parts, with profile":     {s3server.Quirks{MaxParts: 1000}, "scaleway", ""},
		"fewest parts":                {s3server.Quirks{MaxParts: 100}, "", `missing  parts up to the number 10000: .*InvalidArgument`},
		"larger parts":                {s3server.Quirks{MinPart: 4 * smallPart}, "", `missing  multipart uploads .*EntityTooSmall.*set -s3-min-part-size$`},
		"no copies":                   {s3server.Quirks{NoUploadPartCopy: true}, "", `warning  copy ranges of objects, .*-disable-concatenation`},
		"single removals":             {s3server.Quirks{NoDeleteObjects: true}, "", `warning  remove several objects in one call: .*one by one`},
		"no tags":                     {s3server.Quirks{NoTagging: true}, "", `missing  store objects with the class, the tags.*not every service has them`},
		"as MinIO":                    {s3server.MinIO(), "minio", ""},
		"as Ceph":                     {s3server.Ceph(), "ceph", `warning  writes only over a known object`},
		"completed once, 204 at last": {s3server.Quirks{CompleteOnce: true, AbortTwice: true}, "generic", ""},
	} {
		server := serve(t, c.quirks)
		b := bucketOf(t, server)
		if c.profile != "" {
			b.Profile, _ = s3store.ProfileOf(c.profile)
		}
		b.Object.Tags = map[string]string{"team": "web"}
		if c.quirks.EqualParts {
			b.Object.Tags = nil
		}
		text, good := examined(t.Context(), b)
		switch {
		case c.want == "" && (!good || strings.Contains(text, "warning")):
			t.Errorf("%s:\n%s", name, text)
		case !regexp.MustCompile(`(?m)^` + c.want).MatchString(text):
			t.Errorf("%s: the report lacks %s:\n%s", name, c.want, text)
		}
		wantEmpty(t, server)
	}
}

// A prefix under which the service does not list its objects is reported as
// missing, even if every other step succeeds.
func TestBucketWithOddPrefix(t *testing.T) {
	for _, prefix := range []string{"/lead/", "a//b/", "a/../b/", "./x/", "/"} {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			server := serve(t, s3server.Versity())
			b := bucketOf(t, server)
			b.Prefix = prefix
			text, good := examined(t.Context(), b)
			if good || !strings.Contains(text, "missing  list objects under their keys: the service does not list what it stores under the prefix "+strconv.Quote(prefix)+": set another one, such as ") {
				t.Error(text)
			}
			if strings.Count(text, "missing") != 2 { // and the conclusion
				t.Errorf("more is missing:\n%s", text)
			}
			wantEmpty(t, server)
			b.Prefix = "a/b/"
			if text, good := examined(t.Context(), b); !good || !strings.Contains(text, "ok       list objects under their keys\n") {
				t.Error(text)
			}
		})
	}
}

// The report names a prefix that the service refuses.
func TestBucketWithRefusedPrefix(t *testing.T) {
	server := serve(t, s3server.Quirks{})
	server.Fault(func(s3server.Call) s3server.Outcome {
		return s3server.Refuse(http.StatusBadRequest, "XMinioInvalidObjectName")
	})
	b := bucketOf(t, server)
	b.Prefix = "a//b/"
	text, good := examined(t.Context(), b)
	if good || !strings.Contains(text, `missing  list objects: the service may not take the prefix "a//b/": set another one, such as "a/b/" (`) {
		t.Error(text)
	}
}

// The report names the profile for a service that refuses gaps in part numbers.
func TestBucketWithoutGaps(t *testing.T) {
	server := serve(t, s3server.Quirks{})
	server.Fault(func(c s3server.Call) s3server.Outcome {
		if c.Part == 7 { // of the parts with gaps
			return s3server.Refuse(http.StatusBadRequest, "InvalidPart")
		}
		return s3server.Outcome{}
	})
	if text, _ := examined(t.Context(), bucketOf(t, server)); !strings.Contains(text, "set -s3-profile b2\n") {
		t.Error(text)
	}
	wantEmpty(t, server)
}

func TestBucketWithAnotherClock(t *testing.T) {
	for skew, want := range map[time.Duration]string{
		10 * time.Minute: `warning  clock: this machine is (10m0s|9m59s) behind the service`,
		-8 * time.Minute: `warning  clock: this machine is (8m0s|8m1s) ahead of the service, .*NTP$`,
		-time.Hour:       `missing  list objects: the clock of this machine \(20..-.*Z\) is too far`,
	} {
		server := s3server.Start(t, s3server.Options{
			Quirks: s3server.Quirks{MinPart: smallPart}, Now: func() time.Time { return time.Now().Add(skew) },
		})
		if text, _ := examined(t.Context(), bucketOf(t, server)); !regexp.MustCompile(`(?m)^` + want).MatchString(text) {
			t.Errorf("skew %v: the report lacks %s:\n%s", skew, want, text)
		}
		wantEmpty(t, server)
	}
}

// Transient errors are retried and not reported.
func TestBucketWithTransientErrors(t *testing.T) {
	require.Long(t)
	server := serve(t, s3server.Quirks{})
	server.Fault(func(c s3server.Call) s3server.Outcome {
		if c.Number%9 == 1 {
			return s3server.Refuse(http.StatusServiceUnavailable, "SlowDown")
		}
		return s3server.Outcome{}
	})
	if text, good := examined(t.Context(), bucketOf(t, server)); !good {
		t.Error(text)
	}
	wantEmpty(t, server)
}

// A call that hangs is reported after the timeout of a call.
func TestBucketThatHangs(t *testing.T) {
	server := serve(t, s3server.Quirks{})
	server.Fault(func(s3server.Call) s3server.Outcome { return s3server.Stall(make(chan struct{})) })
	b := bucketOf(t, server)
	b.Timeout = 50 * time.Millisecond
	if text, _ := examined(t.Context(), b); !strings.Contains(text, "missing  list objects: the endpoint does not answer in time") {
		t.Error(text)
	}
}

// An examination that is cancelled at any call leaves nothing, and reports nothing
// as missing.
func TestBucketCancelledAtEachCall(t *testing.T) {
	for n := 1; ; n++ {
		server := serve(t, s3server.Quirks{})
		ctx, cancel := context.WithCancel(t.Context())
		calls := 0
		server.Fault(func(s3server.Call) s3server.Outcome {
			if calls++; calls == n { // one call at a time
				cancel()
			}
			return s3server.Outcome{}
		})
		text, good := examined(ctx, bucketOf(t, server))
		ended := ctx.Err() != nil
		cancel()
		if !good {
			t.Fatalf("ended at call %d:\n%s", n, text)
		}
		wantEmpty(t, server)
		if !ended || t.Failed() {
			t.Logf("ended at each of %d calls", n-1)
			return
		}
	}
}

// A running call is completed when the examination is cancelled: an aborted call
// could store its object after the clean-up.
func TestBucketCancelledDuringCall(t *testing.T) {
	t.Parallel()
	server := serve(t, s3server.Quirks{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	server.Fault(func(c s3server.Call) s3server.Outcome {
		if c.Operation != s3server.PutObject || ctx.Err() != nil {
			return s3server.Outcome{}
		}
		cancel()
		return s3server.Outcome{Delay: 50 * time.Millisecond}
	})
	if text, _ := examined(ctx, bucketOf(t, server)); !strings.Contains(text, "store objects") {
		t.Errorf("the report does not have the result of the call:\n%s", text)
	}
	wantEmpty(t, server)
}

// The doctor removes old objects of killed doctors. New ones may belong to a running
// doctor, and stay.
func TestBucketOfAKilledDoctor(t *testing.T) {
	start := time.Now()
	now := start.Add(-2 * time.Hour)
	server := s3server.Start(t, s3server.Options{Quirks: s3server.Quirks{MinPart: smallPart}, Now: func() time.Time { return now }})
	server.Put("up/.tusd.d/doctor/old-object", nil)
	now = start
	server.Put("up/.tusd.d/doctor/new-object", nil)
	server.Put("up/upload", nil)
	examined(t.Context(), bucketOf(t, server))
	var left []string
	for _, o := range server.Objects() {
		left = append(left, o.Key)
	}
	if fmt.Sprint(left) != "[up/.tusd.d/doctor/new-object up/upload]" {
		t.Errorf("left: %q", left)
	}
}

// A redirect without the content header fields and one that cannot be followed are
// reported, without the signature.
func TestBucketWithBadRedirects(t *testing.T) {
	server := serve(t, s3server.Quirks{})
	b := bucketOf(t, server)
	b.RedirectDownloads = time.Hour
	b.HTTP = &http.Client{Transport: withoutDisposition{}}
	text, _ := examined(t.Context(), b)
	if !strings.Contains(text, "missing  downloads from the service (-s3-redirect-downloads): the service does not answer with the type") {
		t.Error(text)
	}
	b.HTTP = &http.Client{Transport: failingTransport{}}
	text, _ = examined(t.Context(), b)
	if !strings.Contains(text, "missing  downloads from the service (-s3-redirect-downloads): unreachable") || strings.Contains(text, "X-Amz") {
		t.Error(text)
	}
}

// withoutDisposition is a transport that removes the Content-Disposition.
type withoutDisposition struct{}

func (withoutDisposition) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := http.DefaultTransport.RoundTrip(r)
	if err == nil {
		answer.Header.Del("Content-Disposition")
	}
	return answer, err
}

type failingTransport struct{}

func (failingTransport) RoundTrip(*http.Request) (*http.Response, error) {
	return nil, fmt.Errorf("unreachable")
}
