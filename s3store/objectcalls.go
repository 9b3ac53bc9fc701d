package s3store

import (
	"context"
	"crypto/rand"
	"errors"
	"hash/crc32"
	"io"
	"net/http"
	"time"
)

// Calls on objects, with retries.

// proofName is the metadata with which an object proves that it belongs to an
// upload.
const proofName = "tusd-proof"

// nothing is the result of a call that returns only an error.
type nothing = struct{}

// errEmptyPage means that a listing is not complete: it continues behind the last entry of a
// page, and the page has none.
var errEmptyPage = errors.New("the service says that more follows an empty page of a listing")

// list returns a page of a listing. If more follows, the page is not empty.
func (b *bucket) list(ctx context.Context, in ListObjects) (*ObjectPage, error) {
	page, err := retry(ctx, b, "ListObjectsV2", 0, func(ctx context.Context) (*ObjectPage, error) {
		return b.client.ListObjects(ctx, in)
	})
	if err == nil && page.More && len(page.Objects) == 0 {
		return nil, errEmptyPage
	}
	return page, err
}

func (b *bucket) head(ctx context.Context, key string) (*Object, error) {
	return retry(ctx, b, "HeadObject", 0, func(ctx context.Context) (*Object, error) {
		return b.client.HeadObject(ctx, key)
	})
}

// readObject is an object that was read as a whole.
type readObject struct {
	content  []byte
	etag     string
	modified time.Time
}

// readSmall reads the first limit bytes of an object. It verifies the checksum if the
// object is shorter.
func (b *bucket) readSmall(ctx context.Context, key string, limit int64) (readObject, error) {
	return retry(ctx, b, "GetObject", 0, func(ctx context.Context) (readObject, error) {
		o, err := b.client.GetObject(ctx, GetObject{Key: key})
		if err != nil {
			return readObject{}, err
		}
		defer o.Body.Close()
		if err := checkAnswer(key, o); err != nil {
			return readObject{}, err
		}
		content, err := io.ReadAll(io.LimitReader(o.Body, limit))
		if err == nil && int64(len(content)) < limit {
			_, err = verifyChecksum(key, o, crc32.Checksum(content, castagnoli))
		}
		return readObject{content, o.ETag, o.Modified}, err
	})
}

// putUnconditional stores an object, with its checksum.
func (b *bucket) putUnconditional(ctx context.Context, in PutObject) (etag string, err error) {
	if in, err = withChecksum(in); err != nil {
		return "", err
	}
	return b.putChecksummed(ctx, in)
}

func (b *bucket) putChecksummed(ctx context.Context, in PutObject) (etag string, err error) {
	return retry(ctx, b, "PutObject", in.Size, func(ctx context.Context) (string, error) {
		if _, err := in.Body.Seek(0, io.SeekStart); err != nil {
			return "", err
		}
		return b.client.PutObject(ctx, in)
	})
}

// put stores an object with the conditions of in, if the service supports them.
// A refused condition counts as success if the stored object is this one,
// because the answer to an earlier attempt was lost: its metadata has the same
// proof.
func (b *bucket) put(ctx context.Context, in PutObject) (etag string, err error) {
	if !b.conditions.create {
		in.IfNoneMatch = false
	}
	if !b.conditions.replace {
		in.IfMatch = ""
	}
	if in, err = withChecksum(in); err != nil {
		return "", err
	}
	proof := in.Attributes.Metadata[proofName]
	if proof == "" {
		proof = rand.Text()
		in.Attributes.Metadata[proofName] = proof
	}
	etag, err = b.putChecksummed(ctx, in)
	if !isRefusedCondition(err) {
		return etag, err
	}
	if o, headErr := b.head(ctx, in.Key); headErr == nil && o.Attributes.Metadata[proofName] == proof && o.Size == in.Size {
		return o.ETag, nil
	}
	return "", err
}

// remove removes objects. If some cannot be removed, others may still be
// removed.
func (b *bucket) remove(ctx context.Context, keys ...string) error {
	const most = 1000
	for len(keys) > most && !b.profile.NoMultiDelete {
		if err := b.removeBatch(ctx, keys[:most]); err != nil {
			return err
		}
		keys = keys[most:]
	}
	return b.removeBatch(ctx, keys)
}

func (b *bucket) removeBatch(ctx context.Context, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	if len(keys) > 1 && !b.profile.NoMultiDelete {
		_, err := retry(ctx, b, "DeleteObjects", 0, func(ctx context.Context) (nothing, error) {
			return nothing{}, b.client.DeleteObjects(ctx, keys)
		})
		if !hasStatus(err, http.StatusNotImplemented) {
			return err
		}
	}
	for _, key := range keys {
		_, err := retry(ctx, b, "DeleteObject", 0, func(ctx context.Context) (nothing, error) {
			return nothing{}, b.client.DeleteObject(ctx, key)
		})
		if err != nil {
			return err
		}
	}
	return nil
}
