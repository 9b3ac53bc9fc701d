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

// limited bounds calls of tests by a minute.
func limited(tb testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(tb.Context(), time.Minute)
	tb.Cleanup(cancel)
	return ctx
}

// objects lists the keys of all objects.
func (b *serviceBucket) objects(tb testing.TB) (keys []string) {
	tb.Helper()
	in := &s3.ListObjectsV2Input{Bucket: &b.name}
	err := b.api.ListObjectsV2PagesWithContext(limited(tb), in, func(page *s3.ListObjectsV2Output, _ bool) bool {
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

// multiparts lists the keys of the multipart uploads that are under way. MinIO
// lists only those of a key that is named in full, so each key for which one
// was ever begun is asked for.
func (b *serviceBucket) multiparts(tb testing.TB) (keys []string) {
	tb.Helper()
	for _, key := range b.wire.begun() {
		in := &s3.ListMultipartUploadsInput{Bucket: &b.name, Prefix: &key}
		page, err := b.api.ListMultipartUploadsWithContext(limited(tb), in)
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

// What is left of an upload is its object and its record, and after its removal
// nothing, whatever it was made of.
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

// wantObjects compares what is in the bucket.
func (b *serviceBucket) wantObjects(tb testing.TB, want ...string) {
	tb.Helper()
	if got := b.objects(tb); !slices.Equal(got, want) {
		tb.Errorf("the bucket has %q, want %q", got, want)
	}
	if got := b.multiparts(tb); len(got) > 0 {
		tb.Errorf("multipart uploads are under way: %q", got)
	}
}
