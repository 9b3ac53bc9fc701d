package s3store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/datakey"
)

// maxKey is the length of the longest key of S3, in bytes.
const maxKey = 1024

// CheckKey returns what is wrong with a value for Key of a Store.
func CheckKey(template string) error { return datakey.Check(template) }

// newDataKey returns the data key of a new upload.
func (b *bucket) newDataKey(info tusd.FileInfo) (string, error) {
	key := info.Storage["Key"]
	if key == "" {
		key = info.ID
		if b.key != "" {
			key = expandKey(b.key, info)
		}
	}
	if longest := max(len(b.prefix)+len(key), len(b.tailKey(info.ID, 0))); longest > maxKey {
		return "", tusd.ErrInvalidName.With(fmt.Errorf("a key of %d bytes is too long", longest))
	}
	if key == info.ID {
		return b.prefix + key, nil
	}
	err := checkDataKey(key)
	if err == nil && !b.allowsNesting {
		err = checkSegmentLengths(key)
	}
	if err != nil {
		return "", tusd.ErrInvalidName.With(fmt.Errorf("the key %q: %w", key, err))
	}
	return b.prefix + key, nil
}

// checkSegmentLengths refuses a key with a segment that cannot be the name of a
// file. A service that keeps objects as files would refuse the object after all
// of its bytes were acknowledged.
func checkSegmentLengths(key string) error {
	for segment := range strings.SplitSeq(key, "/") {
		if len(segment) > datakey.MaxSegment {
			return fmt.Errorf("a segment of %d bytes is too long where objects are files", len(segment))
		}
	}
	return nil
}

// checkDataKey refuses keys that the store uses itself, or that services do not
// treat alike.
func checkDataKey(key string) error {
	if err := datakey.CheckPath(key); err != nil {
		return err
	}
	for segment := range strings.SplitSeq(key, "/") {
		if datakey.Reserved(segment) {
			return errors.New("a segment is like those of the store's own keys")
		}
	}
	if isUnlistable(key) {
		return errors.New("it has control characters or is not UTF-8")
	}
	return nil
}

// checkKeyFree refuses a data key that another upload may share, if there is an
// object, or the record of an upload that will have its object there.
func (b *bucket) checkKeyFree(ctx context.Context, key string) error {
	if err := b.checkAbsent(ctx, key); err != nil {
		return err
	}
	return b.checkAbsent(ctx, key+recordSuffix)
}

func expandKey(template string, info tusd.FileInfo) string {
	created := info.Created
	if created.IsZero() {
		created = time.Now()
	}
	return datakey.Expand(template, datakey.Upload{ID: info.ID, Created: created, Filename: info.MetaData["filename"]})
}

// idOfDataKey returns the id whose record may name a data key: that which the template has
// put into it, or the key itself. isMade reports that the server has made the id: then no
// other record can name the key, unless a callback has chosen it.
func (b *bucket) idOfDataKey(key string) (id string, isMade bool) {
	name := strings.TrimPrefix(key, b.prefix)
	if id, ok := datakey.IDIn(b.key, name); ok && isRandomID(id) {
		return id, true
	}
	return name, isRandomID(name)
}
