package s3server_test

import (
	"bytes"
	"crypto/md5"
	"fmt"
	"net/http"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/internal/s3server"
)

func TestMultipart(t *testing.T) {
	c := start(t, small)
	_, err := c.put("a", []byte("before"))
	mustSucceed(t, err)
	id := c.begin("a")
	contents := [][]byte{content(1, 1024), content(2, 2000), content(3, 7)}
	parts := c.parts("a", id, contents...)
	c.wantContent("a", []byte("before"))

	etag, err := c.complete("a", id, parts...)
	mustSucceed(t, err)
	c.wantContent("a", slices.Concat(contents...))
	var digests []byte
	for _, data := range contents {
		digest := md5.Sum(data)
		digests = append(digests, digest[:]...)
	}
	if want := fmt.Sprintf(`"%x-3"`, md5.Sum(digests)); etag != want {
		t.Errorf("ETag %s, want %s", etag, want)
	}
	if pending := c.server.Uploads(); len(pending) != 0 {
		t.Errorf("%d uploads are pending", len(pending))
	}
	_, err = c.part("a", id, 4, nil)
	wantCode(t, err, http.StatusNotFound, "NoSuchUpload")
}

func TestCompletionIsRefused(t *testing.T) {
	c := start(t, small)
	id := c.begin("a")
	parts := c.parts("a", id, content(1, 1024), content(2, 1023), content(3, 1024))
	strange := &s3.CompletedPart{PartNumber: aws.Int64(1), ETag: parts[1].ETag}
	missing := &s3.CompletedPart{PartNumber: aws.Int64(9), ETag: parts[1].ETag}
	for code, named := range map[string][]*s3.CompletedPart{
		"MalformedXML":     {},
		"InvalidPartOrder": {parts[2], parts[0]},
		"InvalidPart":      {strange},
		"EntityTooSmall":   parts,
	} {
		t.Run(code, func(t *testing.T) {
			_, err := c.complete("a", id, named...)
			wantCode(t, err, http.StatusBadRequest, code)
		})
	}
	_, err := c.complete("a", id, missing)
	wantCode(t, err, http.StatusBadRequest, "InvalidPart")
	_, err = c.complete("a", id, parts[0], parts[0])
	wantCode(t, err, http.StatusBadRequest, "InvalidPartOrder")
	_, err = c.complete("b", id, parts[0])
	wantCode(t, err, http.StatusNotFound, "NoSuchUpload")

	_, err = c.complete("a", id, parts[0], parts[1]) // omits part 3, ends with the small part
	mustSucceed(t, err)
	c.wantContent("a", slices.Concat(content(1, 1024), content(2, 1023)))
}

func TestPartReplacesPart(t *testing.T) {
	c := start(t, small)
	id := c.begin("a")
	old := c.parts("a", id, []byte("old"))
	replacing := c.parts("a", id, []byte("new"))
	_, err := c.complete("a", id, old...)
	wantCode(t, err, http.StatusBadRequest, "InvalidPart")
	_, err = c.complete("a", id, replacing...)
	mustSucceed(t, err)
	c.wantContent("a", []byte("new"))
}

func TestLimitsOfParts(t *testing.T) {
	c := start(t, s3server.Quirks{MinPart: 1, MaxPart: 100, MaxParts: 3, MaxObject: 250})
	id := c.begin("a")
	_, err := c.part("a", id, 1, content(1, 101))
	wantCode(t, err, http.StatusBadRequest, "EntityTooLarge")
	for _, number := range []int{0, 4, -1} {
		_, err = c.part("a", id, number, nil)
		wantCode(t, err, http.StatusBadRequest, "InvalidArgument")
	}
	parts := c.parts("a", id, content(1, 100), content(2, 100), content(3, 100))
	_, err = c.complete("a", id, parts...)
	wantCode(t, err, http.StatusBadRequest, "EntityTooLarge")
	_, err = c.complete("a", id, parts[1:]...)
	mustSucceed(t, err)
}

func TestAbort(t *testing.T) {
	c := start(t, small)
	id := c.begin("a")
	c.parts("a", id, content(1, 10))
	wantCode(t, c.abort("b", id), http.StatusNotFound, "NoSuchUpload")
	mustSucceed(t, c.abort("a", id))
	wantCode(t, c.abort("a", id), http.StatusNotFound, "NoSuchUpload")
	_, err := c.ListParts(&s3.ListPartsInput{Bucket: c.bucket(), Key: aws.String("a"), UploadId: &id})
	wantCode(t, err, http.StatusNotFound, "NoSuchUpload")
}

func TestAttributesOfMultipart(t *testing.T) {
	c := start(t, small)
	created, err := c.CreateMultipartUpload(&s3.CreateMultipartUploadInput{
		Bucket: c.bucket(), Key: aws.String("a"), ContentType: aws.String("text/plain"),
		Metadata: aws.StringMap(map[string]string{"n": "v"}), Tagging: aws.String("t=1"),
	})
	mustSucceed(t, err)
	_, err = c.complete("a", *created.UploadId, c.parts("a", *created.UploadId, []byte("x"))...)
	mustSucceed(t, err)
	seen, _ := c.server.Object("a")
	if seen.Header.Get("Content-Type") != "text/plain" || seen.Metadata["n"] != "v" || seen.Tags["t"] != "1" {
		t.Errorf("%+v", seen)
	}
}

func (c *client) copyPart(key, id, source, span string) (*s3.CompletedPart, error) {
	in := &s3.UploadPartCopyInput{
		Bucket: c.bucket(), Key: &key, UploadId: &id, PartNumber: aws.Int64(1),
		CopySource: aws.String(c.server.Bucket() + "/" + source),
	}
	if span != "" {
		in.CopySourceRange = &span
	}
	out, err := c.UploadPartCopy(in)
	if err != nil {
		return nil, err
	}
	return &s3.CompletedPart{PartNumber: in.PartNumber, ETag: out.CopyPartResult.ETag}, nil
}

func TestCopyPart(t *testing.T) {
	c := start(t, s3server.Quirks{MinPart: 1, MaxPart: 2500})
	id := c.begin("source")
	whole := slices.Concat(content(1, 1000), content(2, 1000), content(3, 1000))
	_, err := c.complete("source", id, c.parts("source", id, whole[:1000], whole[1000:2000], whole[2000:])...)
	mustSucceed(t, err)
	last, _, err := c.get("source", header("Range", "bytes=2000-2500"))
	if err != nil || !bytes.Equal(last, whole[2000:2501]) {
		t.Errorf("%d bytes of the last part and %v", len(last), err)
	}

	id = c.begin("copy")
	part, err := c.copyPart("copy", id, "source", "bytes=500-2499")
	mustSucceed(t, err)
	if want := fmt.Sprintf(`"%x"`, md5.Sum(whole[500:2500])); *part.ETag != want {
		t.Errorf("ETag %s, want %s", *part.ETag, want)
	}
	for _, test := range []struct {
		source, span string
		status       int
		code         string
	}{
		{"none", "", http.StatusNotFound, "NoSuchKey"},
		{"source", "bytes=2999-3000", http.StatusBadRequest, "InvalidRange"},
		{"source", "bytes=1-", http.StatusBadRequest, "InvalidArgument"},
		{"source", "", http.StatusBadRequest, "EntityTooLarge"},
	} {
		_, err := c.copyPart("copy", id, test.source, test.span)
		wantCode(t, err, test.status, test.code)
	}
	_, err = c.complete("copy", id, part)
	mustSucceed(t, err)
	c.wantContent("copy", whole[500:2500])
}

func TestListParts(t *testing.T) {
	c := start(t, small)
	id := c.begin("a")
	for _, number := range []int{7, 1, 5, 3} {
		_, err := c.part("a", id, number, bytes.Repeat([]byte("x"), number))
		mustSucceed(t, err)
	}
	var pages int
	var numbers []int64
	err := c.ListPartsPages(&s3.ListPartsInput{Bucket: c.bucket(), Key: aws.String("a"), UploadId: &id, MaxParts: aws.Int64(2)},
		func(page *s3.ListPartsOutput, _ bool) bool {
			pages++
			for _, part := range page.Parts {
				numbers = append(numbers, *part.PartNumber)
				if *part.Size != *part.PartNumber {
					t.Errorf("part %d has %d bytes", *part.PartNumber, *part.Size)
				}
			}
			return true
		})
	mustSucceed(t, err)
	if !slices.Equal(numbers, []int64{1, 3, 5, 7}) || pages != 2 {
		t.Errorf("%v on %d pages, want 1 3 5 7 on 2", numbers, pages)
	}
	_, err = c.ListParts(&s3.ListPartsInput{Bucket: c.bucket(), Key: aws.String("a"), UploadId: aws.String("none")})
	wantCode(t, err, http.StatusNotFound, "NoSuchUpload")
}
