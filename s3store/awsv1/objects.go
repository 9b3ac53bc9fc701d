package awsv1

import (
	"context"
	"fmt"
	"net/url"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/s3store"
)

// The names of the operations in S3.
const (
	putObject     = "PutObject"
	getObject     = "GetObject"
	headObject    = "HeadObject"
	deleteObject  = "DeleteObject"
	deleteObjects = "DeleteObjects"
	listObjects   = "ListObjectsV2"
)

// PutObject implements s3store.Client.
func (c *Client) PutObject(ctx context.Context, in s3store.PutObject) (etag string, err error) {
	a := in.Attributes
	input := &s3.PutObjectInput{
		Bucket:               &c.bucket,
		Key:                  &in.Key,
		Body:                 in.Body,
		ContentLength:        &in.Size,
		ContentType:          optional(a.ContentType),
		ContentDisposition:   optional(a.ContentDisposition),
		CacheControl:         optional(a.CacheControl),
		StorageClass:         optional(a.StorageClass),
		ServerSideEncryption: optional(a.Encryption),
		SSEKMSKeyId:          optional(a.EncryptionKey),
		Tagging:              tagging(a.Tags),
		Metadata:             aws.StringMap(a.Metadata),
	}
	ifNoneMatch := ""
	if in.IfNoneMatch {
		ifNoneMatch = "*"
	}
	out, err := do(ctx, c, Call{Operation: putObject, Key: in.Key, Sent: in.Size}, c.api.PutObjectWithContext, input,
		c.payload(in.Body), withHeader("If-Match", in.IfMatch), withHeader("If-None-Match", ifNoneMatch))
	if err != nil {
		return "", err
	}
	return required(putObject, out.ETag)
}

// tagging returns the value of the header x-amz-tagging.
func tagging(tags map[string]string) *string {
	values := url.Values{}
	for name, value := range tags {
		values.Set(name, value)
	}
	return optional(values.Encode())
}

// GetObject implements s3store.Client.
func (c *Client) GetObject(ctx context.Context, in s3store.GetObject) (*s3store.Object, error) {
	input := &s3.GetObjectInput{Bucket: &c.bucket, Key: &in.Key}
	out, err := do(ctx, c, Call{Operation: getObject, Key: in.Key}, c.api.GetObjectWithContext, input, asStored,
		withHeader("Range", in.Range),
		withHeader("If-Match", in.IfMatch))
	if err != nil {
		return nil, err
	}
	return &s3store.Object{
		Body:         out.Body,
		Size:         aws.Int64Value(out.ContentLength),
		ContentRange: text(out.ContentRange),
		ETag:         text(out.ETag),
		Modified:     aws.TimeValue(out.LastModified),
		Attributes: s3store.Attributes{
			ContentType:        text(out.ContentType),
			ContentDisposition: text(out.ContentDisposition),
			CacheControl:       text(out.CacheControl),
			StorageClass:       text(out.StorageClass),
			Encryption:         text(out.ServerSideEncryption),
			EncryptionKey:      text(out.SSEKMSKeyId),
			Metadata:           aws.StringValueMap(out.Metadata),
		},
	}, nil
}

// asStored prevents the transport from requesting gzip, which would change the length. The
// header field is not signed, because some services rewrite it before they check the
// signature.
func asStored(r *request.Request) {
	r.Handlers.Sign.PushBack(func(r *request.Request) {
		r.HTTPRequest.Header.Set("Accept-Encoding", "identity")
	})
}

// HeadObject implements s3store.Client.
func (c *Client) HeadObject(ctx context.Context, key string) (*s3store.Object, error) {
	input := &s3.HeadObjectInput{Bucket: &c.bucket, Key: &key}
	out, err := do(ctx, c, Call{Operation: headObject, Key: key}, c.api.HeadObjectWithContext, input)
	if err != nil {
		return nil, err
	}
	return &s3store.Object{
		Size:     aws.Int64Value(out.ContentLength),
		ETag:     text(out.ETag),
		Modified: aws.TimeValue(out.LastModified),
		Attributes: s3store.Attributes{
			ContentType:        text(out.ContentType),
			ContentDisposition: text(out.ContentDisposition),
			CacheControl:       text(out.CacheControl),
			StorageClass:       text(out.StorageClass),
			Encryption:         text(out.ServerSideEncryption),
			EncryptionKey:      text(out.SSEKMSKeyId),
			Metadata:           aws.StringValueMap(out.Metadata),
		},
	}, nil
}

// DeleteObject implements s3store.Client.
func (c *Client) DeleteObject(ctx context.Context, key string) error {
	input := &s3.DeleteObjectInput{Bucket: &c.bucket, Key: &key}
	_, err := do(ctx, c, Call{Operation: deleteObject, Key: key}, c.api.DeleteObjectWithContext, input)
	if isNoSuchKey(err) {
		return nil
	}
	return err
}

// DeleteObjects implements s3store.Client.
func (c *Client) DeleteObjects(ctx context.Context, keys []string) error {
	removal := &s3.Delete{Quiet: aws.Bool(true)}
	for _, key := range keys {
		removal.Objects = append(removal.Objects, &s3.ObjectIdentifier{Key: &key})
	}
	input := &s3.DeleteObjectsInput{Bucket: &c.bucket, Delete: removal}
	out, err := do(ctx, c, Call{Operation: deleteObjects}, c.api.DeleteObjectsWithContext, input)
	if err != nil {
		return err
	}
	return unremoved(out.Errors)
}

// ListObjects implements s3store.Client.
func (c *Client) ListObjects(ctx context.Context, in s3store.ListObjects) (*s3store.ObjectPage, error) {
	input := &s3.ListObjectsV2Input{
		Bucket:     &c.bucket,
		Prefix:     optional(in.Prefix),
		StartAfter: optional(in.After),
		MaxKeys:    aws.Int64(int64(in.Max)),
	}
	out, err := do(ctx, c, Call{Operation: listObjects, Key: in.Prefix}, c.api.ListObjectsV2WithContext, input)
	if err != nil {
		return nil, err
	}
	if out.Name == nil && out.IsTruncated == nil { // the answer is no listing
		return nil, fmt.Errorf("s3: %s: %w", listObjects, errIncomplete)
	}
	page := &s3store.ObjectPage{More: aws.BoolValue(out.IsTruncated)}
	for _, o := range out.Contents {
		page.Objects = append(page.Objects, s3store.ListedObject{
			Key:      text(o.Key),
			Size:     aws.Int64Value(o.Size),
			ETag:     text(o.ETag),
			Modified: aws.TimeValue(o.LastModified),
		})
	}
	return page, nil
}

// PresignGet implements s3store.Client. If the SDK has no credentials yet or
// they have ended, it fetches new ones first.
func (c *Client) PresignGet(key string, attributes s3store.Attributes, expires time.Duration) (string, error) {
	r, _ := c.api.GetObjectRequest(&s3.GetObjectInput{
		Bucket:                     &c.bucket,
		Key:                        &key,
		ResponseContentType:        optional(attributes.ContentType),
		ResponseContentDisposition: optional(attributes.ContentDisposition),
		ResponseCacheControl:       optional(attributes.CacheControl),
	})
	r.ApplyOptions(single)
	presigned, err := r.Presign(expires)
	if err != nil {
		return "", fmt.Errorf("s3: presigning %s: %w", getObject, innermost(err))
	}
	return presigned, nil
}
