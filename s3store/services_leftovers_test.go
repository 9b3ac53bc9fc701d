//go:build linux

package s3store_test

import (
	"context"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3services"
	"github.com/tus/tusd/s3store/awsv1"
)

// testContext bounds calls of tests by a minute.
func testContext(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	tb.Cleanup(cancel)
	return ctx
}

// objects lists the keys of all objects.
func (b *serviceBucket) objects(tb testing.TB) (keys []string) {
	tb.Helper()
	in := &s3.ListObjectsV2Input{Bucket: &b.name}
	err := b.api.ListObjectsV2PagesWithContext(testContext(tb), in, func(page *s3.ListObjectsV2Output, _ bool) bool {
		for _, o := range page.Contents {
			keys = append(keys, aws.StringValue(o.Key))
		}
		return true
	})
	if err != nil {
		tb.Fatal(err)
	}
	return keys
}

// multiparts lists the keys of the multipart uploads that exist. MinIO lists only
// those whose complete key is the prefix, so each key for which a multipart upload
// was created is listed.
func (b *serviceBucket) multiparts(tb testing.TB) (keys []string) {
	tb.Helper()
	for _, key := range b.requests.created() {
		in := &s3.ListMultipartUploadsInput{Bucket: &b.name, Prefix: &key}
		page, err := b.api.ListMultipartUploadsWithContext(testContext(tb), in)
		if err != nil {
			tb.Fatal(err)
		}
		for _, u := range page.Uploads {
			if aws.StringValue(u.Key) == key {
				keys = append(keys, key)
			}
		}
	}
	return keys
}

// A complete upload consists of its object and its record, and a removed one
// leaves nothing.
func TestNothingIsLeftOnServices(t *testing.T) {
	s3services.Each(t, func(t *testing.T, s *s3services.Service) {
		b := newServiceBucket(t, s)
		n := startNode(t, serviceStore(b.name, awsv1.New(b.name, b.api)), &tusd.LocalLocker{})
		const size = 13*mib + 1
		path := n.create(size)
		at := int64(0)
		for _, to := range []int64{100, mib, 7 * mib, 7*mib + 50, size} {
			n.patch(path, at, to)
			at = to
		}
		n.wantContent(path, size)
		id := path[len("/files/"):]
		b.wantObjects(t, id, id+".info")
		n.want(http.StatusNoContent, n.request(http.MethodDelete, path, nil))
		b.wantObjects(t)
	})
}

// wantObjects compares the keys of the bucket, and wants no multipart upload.
func (b *serviceBucket) wantObjects(tb testing.TB, want ...string) {
	tb.Helper()
	if got := b.objects(tb); !slices.Equal(got, want) {
		tb.Errorf("the bucket has %q, want %q", got, want)
	}
	if got := b.multiparts(tb); len(got) > 0 {
		tb.Errorf("there are multipart uploads: %q", got)
	}
}
