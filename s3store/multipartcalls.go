package s3store

import (
	"context"
	"io"
	"time"
)

func (b *bucket) uploadPart(ctx context.Context, in UploadPart, body io.ReadSeeker) (etag string, err error) {
	return retry(ctx, b, "UploadPart", in.Size, func(ctx context.Context) (string, error) {
		if _, err := body.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
		in.Body = body
		return b.client.UploadPart(ctx, in)
	})
}

func (b *bucket) createMultipart(ctx context.Context, st *state) (string, error) {
	attributes, err := b.dataAttributes(st)
	if err != nil {
		return "", err
	}
	return retry(ctx, b, "CreateMultipartUpload", 0, func(ctx context.Context) (string, error) {
		return b.client.CreateMultipart(ctx, st.dataKey(), attributes)
	})
}

// abort ends a multipart upload. It is no error if there is none.
func (b *bucket) abort(ctx context.Context, key, multipart string) error {
	_, err := retry(ctx, b, "AbortMultipartUpload", 0, func(ctx context.Context) (nothing, error) {
		return nothing{}, b.client.AbortMultipart(ctx, key, multipart)
	})
	if isMissing(err) {
		return nil
	}
	return err
}

// listParts lists all parts of a multipart upload, and tells when the last one was stored.
func (b *bucket) listParts(ctx context.Context, key, multipart string) (all []Part, uploaded time.Time, err error) {
	for after := 0; ; {
		page, err := retry(ctx, b, "ListParts", 0, func(ctx context.Context) (*PartPage, error) {
			return b.client.ListParts(ctx, key, multipart, after)
		})
		if err != nil {
			return nil, uploaded, err
		}
		all, uploaded = append(all, page.Parts...), later(uploaded, page.Modified)
		if page.More && len(page.Parts) == 0 {
			return nil, uploaded, errEmptyPage
		}
		if !page.More {
			return all, uploaded, nil
		}
		after = page.Parts[len(page.Parts)-1].Number
	}
}
