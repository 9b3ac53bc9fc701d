package awsv1

import (
	"context"
	"fmt"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/s3store"
)

// The names of the operations in S3.
const (
	createMultipart   = "CreateMultipartUpload"
	uploadPart        = "UploadPart"
	copyPart          = "UploadPartCopy"
	listParts         = "ListParts"
	listMultiparts    = "ListMultipartUploads"
	completeMultipart = "CompleteMultipartUpload"
	abortMultipart    = "AbortMultipartUpload"
)

// CreateMultipart implements s3store.Client.
func (c *Client) CreateMultipart(ctx context.Context, key string, a s3store.Attributes) (multipart string, err error) {
	input := &s3.CreateMultipartUploadInput{
		Bucket:               &c.bucket,
		Key:                  &key,
		ContentType:          optional(a.ContentType),
		ContentDisposition:   optional(a.ContentDisposition),
		CacheControl:         optional(a.CacheControl),
		StorageClass:         optional(a.StorageClass),
		ServerSideEncryption: optional(a.Encryption),
		SSEKMSKeyId:          optional(a.EncryptionKey),
		Tagging:              tagging(a.Tags),
		Metadata:             aws.StringMap(a.Metadata),
	}
	out, err := do(ctx, c, Call{Operation: createMultipart, Key: key}, c.api.CreateMultipartUploadWithContext, input)
	if err != nil {
		return "", err
	}
	return required(createMultipart, out.UploadId)
}

// UploadPart implements s3store.Client.
func (c *Client) UploadPart(ctx context.Context, in s3store.UploadPart) (etag string, err error) {
	input := &s3.UploadPartInput{
		Bucket:        &c.bucket,
		Key:           &in.Key,
		UploadId:      &in.Multipart,
		PartNumber:    aws.Int64(int64(in.Number)),
		Body:          in.Body,
		ContentLength: &in.Size,
	}
	call := Call{Operation: uploadPart, Key: in.Key, Sent: in.Size}
	out, err := do(ctx, c, call, c.api.UploadPartWithContext, input, c.payload(in.Body))
	if err != nil {
		return "", err
	}
	return required(uploadPart, out.ETag)
}

// CopyPart implements s3store.Client.
func (c *Client) CopyPart(ctx context.Context, in s3store.CopyPart) (etag string, err error) {
	input := &s3.UploadPartCopyInput{
		Bucket:     &c.bucket,
		Key:        &in.Key,
		UploadId:   &in.Multipart,
		PartNumber: aws.Int64(int64(in.Number)),
		CopySource: aws.String(copySource(c.bucket, in.Source)),
	}
	if in.Size >= 0 {
		input.CopySourceRange = aws.String(fmt.Sprintf("bytes=%d-%d", in.Offset, in.Offset+in.Size-1))
	}
	out, err := do(ctx, c, Call{Operation: copyPart, Key: in.Key}, c.api.UploadPartCopyWithContext, input)
	if err != nil {
		return "", err
	}
	if out.CopyPartResult == nil {
		return required(copyPart, nil)
	}
	return required(copyPart, out.CopyPartResult.ETag)
}

// copySource returns the value of the header field x-amz-copy-source: bucket and key. A plus is
// escaped, because some services decode it as a space.
func copySource(bucket, key string) string {
	escaped := url.QueryEscape(bucket + "/" + key)
	return strings.NewReplacer("+", "%20", "%2F", "/").Replace(escaped)
}

// ListParts implements s3store.Client.
func (c *Client) ListParts(ctx context.Context, key, multipart string, after int) (*s3store.PartPage, error) {
	input := &s3.ListPartsInput{Bucket: &c.bucket, Key: &key, UploadId: &multipart}
	if after > 0 {
		input.PartNumberMarker = aws.Int64(int64(after))
	}
	out, err := do(ctx, c, Call{Operation: listParts, Key: key}, c.api.ListPartsWithContext, input)
	if err != nil {
		return nil, err
	}
	if out.UploadId == nil && out.IsTruncated == nil { // the answer is no listing
		return nil, fmt.Errorf("s3: %s: %w", listParts, errIncomplete)
	}
	page := &s3store.PartPage{More: aws.BoolValue(out.IsTruncated)}
	for _, p := range out.Parts {
		page.Parts = append(page.Parts, s3store.Part{
			Number: int(aws.Int64Value(p.PartNumber)),
			Size:   aws.Int64Value(p.Size),
			ETag:   text(p.ETag),
		})
		if stored := aws.TimeValue(p.LastModified); stored.After(page.Modified) {
			page.Modified = stored
		}
	}
	return page, nil
}

// ListMultiparts implements s3store.MultipartLister.
func (c *Client) ListMultiparts(ctx context.Context, in s3store.ListMultiparts) (*s3store.MultipartPage, error) {
	input := &s3.ListMultipartUploadsInput{Bucket: &c.bucket, Prefix: &in.Prefix}
	if in.AfterKey != "" {
		input.KeyMarker, input.UploadIdMarker = &in.AfterKey, optional(in.AfterMultipart)
	}
	out, err := do(ctx, c, Call{Operation: listMultiparts, Key: in.Prefix}, c.api.ListMultipartUploadsWithContext, input)
	if err != nil {
		return nil, err
	}
	if out.Bucket == nil && out.IsTruncated == nil { // the answer is no listing
		return nil, fmt.Errorf("s3: %s: %w", listMultiparts, errIncomplete)
	}
	page := &s3store.MultipartPage{
		More:    aws.BoolValue(out.IsTruncated),
		NextKey: text(out.NextKeyMarker), NextMultipart: text(out.NextUploadIdMarker),
	}
	for _, u := range out.Uploads {
		page.Multiparts = append(page.Multiparts, s3store.PendingMultipart{
			Key: text(u.Key), ID: text(u.UploadId), Initiated: aws.TimeValue(u.Initiated),
		})
	}
	return page, nil
}

// CompleteMultipart implements s3store.Client.
func (c *Client) CompleteMultipart(ctx context.Context, key, multipart string, parts []s3store.Part) (etag string, err error) {
	completed := make([]*s3.CompletedPart, len(parts))
	for i, p := range parts {
		completed[i] = &s3.CompletedPart{PartNumber: aws.Int64(int64(p.Number)), ETag: &p.ETag}
	}
	input := &s3.CompleteMultipartUploadInput{
		Bucket:          &c.bucket,
		Key:             &key,
		UploadId:        &multipart,
		MultipartUpload: &s3.CompletedMultipartUpload{Parts: completed},
	}
	call := Call{Operation: completeMultipart, Key: key}
	out, err := do(ctx, c, call, c.api.CompleteMultipartUploadWithContext, input)
	if err != nil {
		return "", err
	}
	return required(completeMultipart, out.ETag)
}

// AbortMultipart implements s3store.Client.
func (c *Client) AbortMultipart(ctx context.Context, key, multipart string) error {
	input := &s3.AbortMultipartUploadInput{Bucket: &c.bucket, Key: &key, UploadId: &multipart}
	_, err := do(ctx, c, Call{Operation: abortMultipart, Key: key}, c.api.AbortMultipartUploadWithContext, input)
	return err
}
