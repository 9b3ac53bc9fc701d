package s3server_test

import (
	"net/http"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/internal/s3server"
)

// startQuirky starts a server with quirks and parts of any size.
func startQuirky(t *testing.T, quirks s3server.Quirks) *client {
	t.Helper()
	quirks.MinPart = 1
	return start(t, quirks)
}

func TestCompleteAgain(t *testing.T) {
	c := startQuirky(t, s3server.Quirks{})
	id := c.begin("a")
	parts := c.parts("a", id, []byte("1"), []byte("2"))
	first, err := c.complete("a", id, parts...)
	mustSucceed(t, err)
	second, err := c.complete("a", id, parts...)
	mustSucceed(t, err)
	if first != second {
		t.Errorf("ETags %s and %s", first, second)
	}
	_, err = c.complete("a", id, &s3.CompletedPart{PartNumber: aws.Int64(3), ETag: parts[0].ETag})
	wantCode(t, err, http.StatusBadRequest, "InvalidPart")
	c.server.Put("a", []byte("other"))
	_, err = c.complete("a", id, parts...)
	wantCode(t, err, http.StatusNotFound, "NoSuchUpload")
}

func TestCompleteOnce(t *testing.T) {
	c := startQuirky(t, s3server.MinIO())
	id := c.begin("a")
	parts := c.parts("a", id, []byte("1"))
	_, err := c.complete("a", id, parts...)
	mustSucceed(t, err)
	_, err = c.complete("a", id, parts...)
	wantCode(t, err, http.StatusNotFound, "NoSuchUpload")
}

func TestAbortTwice(t *testing.T) {
	c := startQuirky(t, s3server.MinIO())
	id := c.begin("a")
	mustSucceed(t, c.abort("a", id))
	mustSucceed(t, c.abort("a", id))
	wantCode(t, c.abort("a", "none"), http.StatusNotFound, "NoSuchUpload")
}

func TestListEnded(t *testing.T) {
	c := startQuirky(t, s3server.Swift())
	id := c.begin("a")
	_, err := c.complete("a", id, c.parts("a", id, []byte("1"), []byte("23"))...)
	mustSucceed(t, err)
	out, err := c.ListParts(&s3.ListPartsInput{Bucket: c.bucket(), Key: aws.String("a"), UploadId: &id})
	mustSucceed(t, err)
	if len(out.Parts) != 2 || *out.Parts[1].Size != 2 {
		t.Errorf("%v, want two parts", out.Parts)
	}
}

func TestUnknownUploadKey(t *testing.T) {
	c := startQuirky(t, s3server.Ceph())
	_, err := c.ListParts(&s3.ListPartsInput{Bucket: c.bucket(), Key: aws.String("a"), UploadId: aws.String("none")})
	wantCode(t, err, http.StatusNotFound, "NoSuchKey")
}

func TestUnsupportedConditions(t *testing.T) {
	c := startQuirky(t, s3server.Swift())
	for name, value := range map[string]string{"If-None-Match": "*", "If-Match": `"any"`} {
		_, err := c.put("a", nil, header(name, value))
		wantCode(t, err, http.StatusNotImplemented, "NotImplemented")
	}
	c = startQuirky(t, s3server.Quirks{IgnoreConditions: true})
	c.server.Put("a", []byte("old"))
	for name, value := range map[string]string{"If-None-Match": "*", "If-Match": `"any"`} {
		_, err := c.put("a", []byte("new"), header(name, value))
		mustSucceed(t, err)
	}
	c.wantContent("a", []byte("new"))
}

func TestEqualParts(t *testing.T) {
	c := startQuirky(t, s3server.R2())
	id := c.begin("a")
	parts := c.parts("a", id, content(1, 100), content(2, 100), content(3, 99), content(4, 101))
	for _, unequal := range [][]*s3.CompletedPart{{parts[0], parts[2], parts[3]}, {parts[0], parts[1], parts[3]}} {
		_, err := c.complete("a", id, unequal...)
		wantCode(t, err, http.StatusBadRequest, "InvalidPart")
	}
	_, err := c.complete("a", id, parts[:3]...)
	mustSucceed(t, err)
}

// A service that stores objects as files has no keys above or below an object's key.
func TestFiles(t *testing.T) {
	c := startQuirky(t, s3server.Versity())
	c.server.Put("a", []byte("x"))
	_, err := c.put("a/b", nil)
	wantCode(t, err, http.StatusConflict, "ObjectParentIsFile")
	c.server.Put("d/e", nil)
	_, err = c.put("d", nil)
	wantCode(t, err, http.StatusConflict, "ExistingObjectIsDirectory")
	id := c.begin("d")
	_, err = c.complete("d", id, c.parts("d", id, []byte("1"))...)
	wantCode(t, err, http.StatusConflict, "ExistingObjectIsDirectory")
	_, err = c.put("ab", nil)
	mustSucceed(t, err)
}

func TestCleansKeys(t *testing.T) {
	c := startQuirky(t, s3server.Versity())
	for asked, stored := range map[string]string{"/a": "a", "b//c": "b/c", "d/../e": "e", "./f": "f", "g/h": "g/h"} {
		_, err := c.put(asked, []byte("x"))
		mustSucceed(t, err)
		c.wantContent(asked, []byte("x"))
		if _, ok := c.server.Object(stored); !ok {
			t.Errorf("%s is not stored as %s", asked, stored)
		}
		page, err := c.ListObjectsV2(&s3.ListObjectsV2Input{Bucket: c.bucket(), Prefix: &asked})
		mustSucceed(t, err)
		if len(page.Contents) > 0 != (asked == stored) {
			t.Errorf("%s: %d objects are listed", asked, len(page.Contents))
		}
	}
}

func TestHidesBelow(t *testing.T) {
	c := startQuirky(t, s3server.MinIO())
	for _, key := range []string{"a/b", "a", "d/e", "a.info"} {
		c.server.Put(key, []byte("x"))
	}
	page, err := c.ListObjectsV2(&s3.ListObjectsV2Input{Bucket: c.bucket()})
	mustSucceed(t, err)
	var keys []string
	for _, o := range page.Contents {
		keys = append(keys, *o.Key)
	}
	if want := []string{"a", "a.info", "d/e"}; !slices.Equal(keys, want) {
		t.Errorf("listed are %q, want %q", keys, want)
	}
	c.wantContent("a/b", []byte("x"))
}

func TestUnsupportedCalls(t *testing.T) {
	c := startQuirky(t, s3server.Quirks{NoDeleteObjects: true, NoUploadPartCopy: true, NoTagging: true})
	c.server.Put("a", []byte("x"))
	_, err := c.deleteAll(true, "a")
	wantCode(t, err, http.StatusNotImplemented, "NotImplemented")
	_, err = c.copyPart("b", c.begin("b"), "a", "")
	wantCode(t, err, http.StatusNotImplemented, "NotImplemented")
	_, err = c.put("a", nil, header("X-Amz-Tagging", "a=b"))
	wantCode(t, err, http.StatusNotImplemented, "NotImplemented")
	c.wantContent("a", []byte("x"))
}
