package s3server_test

import (
	"net/http"
	"strconv"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/internal/s3server"
)

func (c *client) deleteAll(quiet bool, keys ...string) (*s3.DeleteObjectsOutput, error) {
	named := make([]*s3.ObjectIdentifier, len(keys))
	for i := range keys {
		named[i] = &s3.ObjectIdentifier{Key: &keys[i]}
	}
	return c.DeleteObjects(&s3.DeleteObjectsInput{
		Bucket: c.bucket(), Delete: &s3.Delete{Objects: named, Quiet: &quiet},
	})
}

func TestDeleteObjects(t *testing.T) {
	c := start(t, s3server.Quirks{})
	for _, key := range []string{"a", "b&<", "c", "d"} {
		c.server.Put(key, nil)
	}
	out, err := c.deleteAll(false, "a", "b&<", "none")
	mustSucceed(t, err)
	if len(out.Deleted) != 3 || len(out.Errors) != 0 {
		t.Errorf("%v, want three deleted keys", out)
	}
	out, err = c.deleteAll(true, "c")
	mustSucceed(t, err)
	if len(out.Deleted) != 0 || len(out.Errors) != 0 {
		t.Errorf("%v from a quiet call", out)
	}
	if left := c.server.Objects(); len(left) != 1 || left[0].Key != "d" {
		t.Errorf("%v are left, want d", left)
	}
}

func TestDeleteObjectsIsRefused(t *testing.T) {
	c := start(t, s3server.Quirks{})
	keys := make([]string, 1001)
	for i := range keys {
		keys[i] = strconv.Itoa(i)
	}
	_, err := c.deleteAll(true, keys...)
	wantCode(t, err, http.StatusBadRequest, "MalformedXML")
	_, err = c.deleteAll(true, keys[1:]...)
	mustSucceed(t, err)

	digestless, _ := c.DeleteObjectsRequest(&s3.DeleteObjectsInput{
		Bucket: c.bucket(), Delete: &s3.Delete{Objects: []*s3.ObjectIdentifier{{Key: aws.String("a")}}},
	})
	digestless.Handlers.Sign.PushFront(func(r *request.Request) { r.HTTPRequest.Header.Del("Content-Md5") })
	wantCode(t, digestless.Send(), http.StatusBadRequest, "InvalidRequest")
}
