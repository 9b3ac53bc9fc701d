package s3server_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/internal/s3server"
)

// list returns the keys and common prefixes of all pages, and their number.
func (c *client) list(in s3.ListObjectsV2Input) (entries []string, pages int) {
	c.t.Helper()
	in.Bucket = c.bucket()
	err := c.ListObjectsV2Pages(&in, func(page *s3.ListObjectsV2Output, _ bool) bool {
		pages++
		for _, o := range page.Contents {
			entries = append(entries, *o.Key)
		}
		for _, p := range page.CommonPrefixes {
			entries = append(entries, *p.Prefix)
		}
		return true
	})
	mustSucceed(c.t, err)
	return entries, pages
}

func TestListObjects(t *testing.T) {
	c := start(t, s3server.Quirks{})
	for _, key := range []string{"b", "a/2", "a/1", "a", "a/x/1", "a/x/2", "c&<ü"} {
		c.server.Put(key, []byte(key))
	}
	for _, test := range []struct {
		in    s3.ListObjectsV2Input
		want  string
		pages int
	}{
		{s3.ListObjectsV2Input{}, "a a/1 a/2 a/x/1 a/x/2 b c&<ü", 1},
		{s3.ListObjectsV2Input{MaxKeys: aws.Int64(2)}, "a a/1 a/2 a/x/1 a/x/2 b c&<ü", 4},
		{s3.ListObjectsV2Input{MaxKeys: aws.Int64(7)}, "a a/1 a/2 a/x/1 a/x/2 b c&<ü", 1},
		{s3.ListObjectsV2Input{Prefix: aws.String("a/")}, "a/1 a/2 a/x/1 a/x/2", 1},
		{s3.ListObjectsV2Input{StartAfter: aws.String("a/x")}, "a/x/1 a/x/2 b c&<ü", 1},
		{s3.ListObjectsV2Input{StartAfter: aws.String("a/1"), MaxKeys: aws.Int64(3)}, "a/2 a/x/1 a/x/2 b c&<ü", 2},
		{s3.ListObjectsV2Input{Delimiter: aws.String("/"), MaxKeys: aws.Int64(1)}, "a a/ b c&<ü", 4},
		{s3.ListObjectsV2Input{Delimiter: aws.String("/"), Prefix: aws.String("a/")}, "a/1 a/2 a/x/", 1},
		{s3.ListObjectsV2Input{Prefix: aws.String("none")}, "", 1},
		{s3.ListObjectsV2Input{MaxKeys: aws.Int64(0)}, "", 1},
	} {
		entries, pages := c.list(test.in)
		if got := strings.Join(entries, " "); got != test.want || pages != test.pages {
			t.Errorf("%v: %s on %d pages, want %s on %d", test.in, got, pages, test.want, test.pages)
		}
	}
}

func TestListedAttributes(t *testing.T) {
	c := start(t, s3server.Quirks{})
	etag, err := c.put("ä b", []byte("123"), header("X-Amz-Storage-Class", "GLACIER"))
	mustSucceed(t, err)
	out, err := c.ListObjectsV2(&s3.ListObjectsV2Input{Bucket: c.bucket(), EncodingType: aws.String("url")})
	mustSucceed(t, err)
	o := out.Contents[0]
	if *o.Key != "%C3%A4+b" || *o.Size != 3 || *o.ETag != etag || *o.StorageClass != "GLACIER" || o.LastModified.IsZero() {
		t.Errorf("%v", o)
	}
	none, err := c.ListObjectsV2(&s3.ListObjectsV2Input{Bucket: c.bucket(), MaxKeys: aws.Int64(0)})
	mustSucceed(t, err)
	if *none.IsTruncated || *none.KeyCount != 0 {
		t.Errorf("%v for MaxKeys 0", none)
	}
	_, err = c.ListObjectsV2(&s3.ListObjectsV2Input{Bucket: c.bucket(), MaxKeys: aws.Int64(-1)})
	wantCode(t, err, http.StatusBadRequest, "InvalidArgument")
	_, err = c.ListObjectsV2(&s3.ListObjectsV2Input{Bucket: c.bucket(), ContinuationToken: aws.String("~")})
	wantCode(t, err, http.StatusBadRequest, "InvalidArgument")
}

func TestPageSize(t *testing.T) {
	c := start(t, s3server.Quirks{PageSize: 2})
	for _, key := range []string{"a", "b", "c"} {
		c.server.Put(key, nil)
	}
	if entries, pages := c.list(s3.ListObjectsV2Input{}); len(entries) != 3 || pages != 2 {
		t.Errorf("%d entries on %d pages, want 3 on 2", len(entries), pages)
	}
}

func TestListUploads(t *testing.T) {
	c := start(t, small)
	want := []string{}
	for _, key := range []string{"b", "a", "a", "c"} {
		want = append(want, key+" "+c.begin(key))
	}
	slices.Sort(want[1:3])
	var got []string
	in := &s3.ListMultipartUploadsInput{Bucket: c.bucket(), MaxUploads: aws.Int64(1)}
	mustSucceed(t, c.ListMultipartUploadsPages(in, func(page *s3.ListMultipartUploadsOutput, _ bool) bool {
		for _, u := range page.Uploads {
			got = append(got, *u.Key+" "+*u.UploadId)
		}
		return true
	}))
	slices.Sort(got[:2]) // of one key, ordered by age
	if want := fmt.Sprint(want[1], want[2], want[0], want[3]); fmt.Sprint(got[0], got[1], got[2], got[3]) != want {
		t.Errorf("%q, want %s", got, want)
	}
	out, err := c.ListMultipartUploads(&s3.ListMultipartUploadsInput{Bucket: c.bucket(), Prefix: aws.String("c")})
	mustSucceed(t, err)
	if len(out.Uploads) != 1 {
		t.Errorf("%d uploads with the prefix, want 1", len(out.Uploads))
	}
}
