package s3server_test

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/internal/s3server"
)

func TestObject(t *testing.T) {
	c := start(t, s3server.Quirks{})
	for _, key := range []string{"plain", "a/b c+d", "ü?&=%2F", "trailing/"} {
		data := content(1, 3000)
		etag, err := c.put(key, data)
		mustSucceed(t, err)
		if want := fmt.Sprintf(`"%x"`, md5.Sum(data)); etag != want {
			t.Errorf("%s: ETag %s, want %s", key, etag, want)
		}
		c.wantContent(key, data)
		head, err := c.HeadObject(&s3.HeadObjectInput{Bucket: c.bucket(), Key: &key})
		mustSucceed(t, err)
		if *head.ContentLength != 3000 || *head.ETag != etag || time.Since(*head.LastModified) > time.Hour {
			t.Errorf("%s: head %v", key, head)
		}
		_, err = c.DeleteObject(&s3.DeleteObjectInput{Bucket: c.bucket(), Key: &key})
		mustSucceed(t, err)
		_, _, err = c.get(key)
		wantCode(t, err, http.StatusNotFound, "NoSuchKey")
		_, err = c.HeadObject(&s3.HeadObjectInput{Bucket: c.bucket(), Key: &key})
		wantCode(t, err, http.StatusNotFound, "NotFound")
	}
}

func TestBucket(t *testing.T) {
	c := start(t, s3server.Quirks{})
	_, err := c.HeadBucket(&s3.HeadBucketInput{Bucket: c.bucket()})
	mustSucceed(t, err)
	_, err = c.HeadBucket(&s3.HeadBucketInput{Bucket: aws.String("other")})
	wantCode(t, err, http.StatusNotFound, "NotFound")
	_, err = c.GetObject(&s3.GetObjectInput{Bucket: aws.String("other"), Key: aws.String("a")})
	wantCode(t, err, http.StatusNotFound, "NoSuchBucket")
	_, err = c.GetBucketPolicy(&s3.GetBucketPolicyInput{Bucket: c.bucket()})
	wantCode(t, err, http.StatusNotImplemented, "NotImplemented")
}

func TestAttributes(t *testing.T) {
	c := start(t, s3server.Quirks{})
	_, err := c.PutObject(&s3.PutObjectInput{
		Bucket: c.bucket(), Key: aws.String("a"), Body: strings.NewReader("x"),
		ContentType: aws.String("text/plain"), ContentDisposition: aws.String("attachment"), CacheControl: aws.String("no-store"),
		StorageClass: aws.String("STANDARD_IA"), ServerSideEncryption: aws.String("aws:kms"), SSEKMSKeyId: aws.String("k"),
		Metadata: aws.StringMap(map[string]string{"File-Name": "a b"}), Tagging: aws.String("one=1&two=%262"),
	})
	mustSucceed(t, err)
	_, got, err := c.get("a")
	mustSucceed(t, err)
	attributes := []string{
		*got.ContentType, *got.ContentDisposition, *got.CacheControl, *got.StorageClass, *got.ServerSideEncryption,
		*got.SSEKMSKeyId, *got.Metadata["File-Name"], fmt.Sprint(*got.TagCount),
	}
	if want := "text/plain attachment no-store STANDARD_IA aws:kms k a b 2"; strings.Join(attributes, " ") != want {
		t.Errorf("%q, want %s", attributes, want)
	}
	seen, ok := c.server.Object("a")
	if !ok || seen.Tags["two"] != "&2" || seen.Metadata["file-name"] != "a b" || seen.Header.Get("Content-Type") != "text/plain" {
		t.Errorf("seen %+v", seen)
	}
}

func TestAttributesAreRefused(t *testing.T) {
	c := start(t, s3server.Quirks{})
	for name, test := range map[string]struct{ header, value, code string }{
		"metadata":   {"X-Amz-Meta-A", strings.Repeat("m", 2<<10), "MetadataTooLarge"},
		"class":      {"X-Amz-Storage-Class", "COLD", "InvalidStorageClass"},
		"encryption": {"X-Amz-Server-Side-Encryption", "rot13", "InvalidEncryptionAlgorithmError"},
		"tag":        {"X-Amz-Tagging", "=1", "InvalidTag"},
		"tags":       {"X-Amz-Tagging", "a=&b=&c=&d=&e=&f=&g=&h=&i=&j=&k=", "BadRequest"},
		"digest":     {"Content-Md5", "AAAAAAAAAAAAAAAAAAAAAA==", "BadDigest"},
		"no digest":  {"Content-Md5", "A", "InvalidDigest"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := c.put("a", []byte("x"), header(test.header, test.value))
			wantCode(t, err, http.StatusBadRequest, test.code)
		})
	}
	if objects := c.server.Objects(); len(objects) != 0 {
		t.Errorf("%d objects after errors only", len(objects))
	}
}

func TestLargestMetadata(t *testing.T) {
	c := start(t, s3server.Quirks{})
	_, err := c.put("a", nil, header("X-Amz-Meta-A", strings.Repeat("m", 2<<10-1)))
	mustSucceed(t, err)
}

func TestUnsupportedBodies(t *testing.T) {
	c := start(t, s3server.Quirks{})
	_, err := c.put("a", []byte("x"), header("X-Amz-Content-Sha256", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"))
	wantCode(t, err, http.StatusNotImplemented, "NotImplemented")
	endless, err := http.NewRequestWithContext(t.Context(), http.MethodPut, c.server.URL+"/bucket/a", io.MultiReader())
	mustSucceed(t, err)
	answer, err := http.DefaultClient.Do(endless)
	mustSucceed(t, err)
	answer.Body.Close()
	if answer.StatusCode != http.StatusLengthRequired {
		t.Errorf("status %d without a length, want %d", answer.StatusCode, http.StatusLengthRequired)
	}
}

func TestLargestPut(t *testing.T) {
	c := start(t, s3server.Quirks{MaxPut: 100})
	_, err := c.put("a", content(1, 100))
	mustSucceed(t, err)
	_, err = c.put("a", content(1, 101))
	wantCode(t, err, http.StatusBadRequest, "EntityTooLarge")
}

func TestRanges(t *testing.T) {
	c := start(t, s3server.Quirks{})
	data := content(1, 1000)
	c.server.Put("a", data)
	for _, test := range []struct {
		header      string
		first, past int
		answered    string
	}{
		{"bytes=0-0", 0, 1, "bytes 0-0/1000"},
		{"bytes=10-99", 10, 100, "bytes 10-99/1000"},
		{"bytes=990-", 990, 1000, "bytes 990-999/1000"},
		{"bytes=990-5000", 990, 1000, "bytes 990-999/1000"},
		{"bytes=-10", 990, 1000, "bytes 990-999/1000"},
		{"bytes=-5000", 0, 1000, "bytes 0-999/1000"},
		{"bytes=0-1,5-6", 0, 1000, ""},
		{"bytes=5-4", 0, 1000, ""},
		{"bytes=-", 0, 1000, ""},
		{"lines=1-2", 0, 1000, ""},
	} {
		got, out, err := c.get("a", header("Range", test.header))
		mustSucceed(t, err)
		if !bytes.Equal(got, data[test.first:test.past]) || aws.StringValue(out.ContentRange) != test.answered {
			t.Errorf("%s: %d bytes, %s", test.header, len(got), aws.StringValue(out.ContentRange))
		}
	}
	for _, unsatisfiable := range []string{"bytes=1000-", "bytes=-0"} {
		_, _, err := c.get("a", header("Range", unsatisfiable))
		wantCode(t, err, http.StatusRequestedRangeNotSatisfiable, "InvalidRange")
	}
}

func TestConditionsOfReads(t *testing.T) {
	c := start(t, s3server.Quirks{})
	etag, err := c.put("a", []byte("x"))
	mustSucceed(t, err)
	before, after := "Mon, 01 Jan 2001 00:00:00 GMT", time.Now().Add(time.Hour).UTC().Format(http.TimeFormat)
	for _, test := range []struct {
		name, value string
		status      int
	}{
		{"If-Match", etag, http.StatusOK},
		{"If-Match", `"other"`, http.StatusPreconditionFailed},
		{"If-None-Match", etag, http.StatusNotModified},
		{"If-None-Match", `"other"`, http.StatusOK},
		{"If-Modified-Since", before, http.StatusOK},
		{"If-Modified-Since", after, http.StatusNotModified},
		{"If-Unmodified-Since", after, http.StatusOK},
		{"If-Unmodified-Since", before, http.StatusPreconditionFailed},
	} {
		_, _, err := c.get("a", header(test.name, test.value))
		switch test.status {
		case http.StatusOK:
			mustSucceed(t, err)
		case http.StatusNotModified:
			wantCode(t, err, test.status, "NotModified")
		default:
			wantCode(t, err, test.status, "PreconditionFailed")
		}
	}
}

func TestConditionsOfWrites(t *testing.T) {
	c := start(t, s3server.Quirks{})
	_, err := c.put("a", []byte("0"), header("If-Match", `"any"`))
	wantCode(t, err, http.StatusNotFound, "NoSuchKey")
	first, err := c.put("a", []byte("1"), header("If-None-Match", "*"))
	mustSucceed(t, err)
	_, err = c.put("a", []byte("2"), header("If-None-Match", "*"))
	wantCode(t, err, http.StatusPreconditionFailed, "PreconditionFailed")
	_, err = c.put("a", []byte("3"), header("If-Match", first))
	mustSucceed(t, err)
	_, err = c.put("a", []byte("4"), header("If-Match", first))
	wantCode(t, err, http.StatusPreconditionFailed, "PreconditionFailed")
	c.wantContent("a", []byte("3"))
}
