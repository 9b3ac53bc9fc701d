package s3store

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"strings"
)

// Bytes that are read back are verified before they are stored again: they may
// have changed on the way, or belong to another object.

// checksumName is the metadata with the CRC-32C of all bytes of an object, as
// eight hexadecimal digits. Objects of tusd v2, of earlier versions and those
// made of parts have none.
const checksumName = "tusd-crc32c"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// withChecksum returns the call with a checksum in its metadata, which it does
// not share with in.
func withChecksum(in PutObject) (PutObject, error) {
	sum := crc32.New(castagnoli)
	if _, err := in.Body.Seek(0, io.SeekStart); err != nil {
		return in, err
	}
	if _, err := io.Copy(sum, in.Body); err != nil {
		return in, err
	}
	metadata := make(map[string]string, len(in.Attributes.Metadata)+2)
	maps.Copy(metadata, in.Attributes.Metadata)
	metadata[checksumName] = fmt.Sprintf("%08x", sum.Sum32())
	in.Attributes.Metadata = metadata
	return in, nil
}

// verifyChecksum compares the checksum of the bytes that were read with that of
// o, and reports whether o has one.
func verifyChecksum(key string, o *Object, sum uint32) (verified bool, err error) {
	want, ok := o.Attributes.Metadata[checksumName]
	if got := fmt.Sprintf("%08x", sum); ok && got != want {
		return false, fmt.Errorf("%w: %s has the CRC-32C %s, not %s", errWrongObject, key, got, want)
	}
	return ok, nil
}

// checkAnswer refuses an answer that does not come from the service: all its
// objects have ETags.
func checkAnswer(key string, o *Object) error {
	if o.ETag == "" {
		return fmt.Errorf("%w: the answer for %s has no ETag", errWrongObject, key)
	}
	return nil
}

// objectRange is a range of an object that is read back.
type objectRange struct {
	key          string
	offset, size int64
	total        int64  // bytes of the object
	etag         string // "": not known
	proof        string // "": it has none, or it is not known
}

// after returns the range without its first n bytes.
func (r objectRange) after(n int64) objectRange {
	r.offset, r.size = r.offset+n, r.size-n
	return r
}

// first returns the first n bytes of the range.
func (r objectRange) first(n int64) objectRange {
	r.size = n
	return r
}

// smallObject is the size, in bytes, up to which the whole object is read
// although only a range is needed: its checksum is that of all its bytes.
const smallObject = 8 * mib

// usesRange reports whether the call asks only for the range. If neither ETag
// nor proof identifies the object, Content-Range confirms its range.
func (r objectRange) usesRange() bool {
	if r.etag == "" && r.proof == "" {
		return true
	}
	return r.size < r.total && r.total > smallObject
}

// rangeHeader returns the value of Range; "": the whole object.
func (r objectRange) rangeHeader() string {
	if !r.usesRange() {
		return ""
	}
	return fmt.Sprintf("bytes=%d-%d", r.offset, r.offset+r.size-1)
}

// check returns an error if an answer is not about the object. It is called
// before its bytes are read.
func (r objectRange) check(o *Object) error {
	want := r.total
	if r.usesRange() {
		want = r.size
	}
	if err := checkAnswer(r.key, o); err != nil {
		return err
	}
	switch {
	case o.Size != want:
		return fmt.Errorf("%w: %s has %d bytes, not %d", errWrongObject, r.key, o.Size, want)
	case r.etag != "" && !sameETag(o.ETag, r.etag):
		return fmt.Errorf("%w: %s has the ETag %q, not %q", errWrongObject, r.key, o.ETag, r.etag)
	case r.proof != "" && o.Attributes.Metadata[proofName] != r.proof:
		return fmt.Errorf("%w: %s is not the object of its upload", errWrongObject, r.key)
	case r.size < want || !r.usesRange():
		return nil
	}
	if prefix := fmt.Sprintf("bytes %d-%d/", r.offset, r.offset+r.size-1); !strings.HasPrefix(o.ContentRange, prefix) {
		return fmt.Errorf("%w: %s has the Content-Range %q, not one that begins with %q", errWrongObject, r.key, o.ContentRange, prefix)
	}
	return nil
}

// readRange copies the bytes of r into memory. After an error the memory has no
// valid bytes.
//
// An object that the service has made of parts has no checksum. It is read
// until the same bytes have arrived twice.
func (b *bucket) readRange(ctx context.Context, r objectRange, into *io.OffsetWriter) error {
	got, err := b.readOnce(ctx, r, into)
	if err != nil || got.verified || r.proof == "" {
		return err
	}
	for range wrongObjectTries {
		before := got.sum
		if got, err = b.readOnce(ctx, r, into); err != nil || got.sum == before {
			return err
		}
		b.log.Warn("what is read back has other bytes each time", "key", r.key)
	}
	return fmt.Errorf("%w: %s has other bytes each time", errWrongObject, r.key)
}

// readResult is what is known of bytes that were read.
type readResult struct {
	sum      uint32 // CRC-32C
	verified bool   // by the checksum of the object
}

func (b *bucket) readOnce(ctx context.Context, r objectRange, into *io.OffsetWriter) (readResult, error) {
	in := GetObject{Key: r.key, Range: r.rangeHeader()}
	return retry(ctx, b, "GetObject", r.size, func(ctx context.Context) (got readResult, err error) {
		if _, err := into.Seek(0, io.SeekStart); err != nil {
			return got, err
		}
		o, err := b.client.GetObject(ctx, in)
		if err != nil {
			return got, err
		}
		defer o.Body.Close()
		if err = r.check(o); err == nil {
			got, err = r.copy(into, o)
		}
		if errors.Is(err, errWrongObject) {
			b.log.Warn("what is read back is not what was stored", "key", r.key, "err", err)
		}
		return got, err
	})
}

// copy copies the bytes of r, and verifies them if o has a checksum and all its
// bytes are read.
func (r objectRange) copy(into io.Writer, o *Object) (got readResult, err error) {
	sum := crc32.New(castagnoli)
	body := io.TeeReader(o.Body, sum)
	before, behind := r.offset, r.total-r.offset-r.size
	if r.usesRange() {
		before, behind = 0, 0
	}
	if _, err := io.CopyN(io.Discard, body, before); err != nil {
		return got, err
	}
	if _, err := io.CopyN(into, body, r.size); err != nil {
		return got, err
	}
	if _, err := io.CopyN(io.Discard, body, behind); err != nil {
		return got, err
	}
	got.sum = sum.Sum32()
	if r.size == r.total || !r.usesRange() {
		got.verified, err = verifyChecksum(r.key, o, got.sum)
	}
	return got, err
}
