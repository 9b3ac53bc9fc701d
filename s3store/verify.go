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

// What is read back is verified: bytes that changed on their way, or that are
// not those of the object, must not be stored again as the upload's.

// sumName is the metadata that has the CRC-32C of all bytes of an object, as
// eight hexadecimal digits. Objects of tusd v2, of earlier versions and those
// made of parts have none.
const sumName = "tusd-crc32c"

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// summed returns the call with a checksum in the object's metadata, which it
// does not share with in.
func summed(in PutObject) (PutObject, error) {
	sum := crc32.New(castagnoli)
	if _, err := in.Body.Seek(0, io.SeekStart); err != nil {
		return in, err
	}
	if _, err := io.Copy(sum, in.Body); err != nil {
		return in, err
	}
	metadata := make(map[string]string, len(in.Attributes.Metadata)+2)
	maps.Copy(metadata, in.Attributes.Metadata)
	metadata[sumName] = fmt.Sprintf("%08x", sum.Sum32())
	in.Attributes.Metadata = metadata
	return in, nil
}

// checkSum tells whether sum is that of the bytes that were put, as far as o
// says it.
func checkSum(key string, o *Object, sum uint32) error {
	want, ok := o.Attributes.Metadata[sumName]
	if got := fmt.Sprintf("%08x", sum); ok && got != want {
		return fmt.Errorf("%w: %s has the CRC-32C %s, not %s", errOtherObject, key, got, want)
	}
	return nil
}

// objectRange is a stretch of an object that is read back.
type objectRange struct {
	key          string
	offset, size int64
	total        int64  // bytes of the object
	etag         string // "": not known
	proof        string // "": it has none, or it is not known
}

func (p piece) all() objectRange {
	return objectRange{key: p.key, size: p.size, total: p.size, etag: p.etag}
}

// behind is what follows the first n bytes.
func (r objectRange) behind(n int64) objectRange {
	r.offset, r.size = r.offset+n, r.size-n
	return r
}

// first is the first n bytes.
func (r objectRange) first(n int64) objectRange {
	r.size = n
	return r
}

// smallObject is up to which size an object is read to its end although only
// a range of it is needed: its checksum is that of all its bytes.
const smallObject = 8 * mib

// ranged tells whether only the range is asked for. Where nothing else tells
// the object from another, Content-Range does.
func (r objectRange) ranged() bool {
	if r.etag == "" && r.proof == "" {
		return true
	}
	return r.size < r.total && r.total > smallObject
}

// rangeHeader is the value of Range; "": all.
func (r objectRange) rangeHeader() string {
	if !r.ranged() {
		return ""
	}
	return fmt.Sprintf("bytes=%d-%d", r.offset, r.offset+r.size-1)
}

// check tells whether an answer is about the object, before its bytes are
// read.
func (r objectRange) check(o *Object) error {
	want := r.total
	if r.ranged() {
		want = r.size
	}
	switch {
	case o.Size != want:
		return fmt.Errorf("%w: %s has %d bytes, not %d", errOtherObject, r.key, o.Size, want)
	case r.etag != "" && !sameETag(o.ETag, r.etag):
		return fmt.Errorf("%w: %s has the ETag %q, not %q", errOtherObject, r.key, o.ETag, r.etag)
	case r.proof != "" && o.Attributes.Metadata[proofName] != r.proof:
		return fmt.Errorf("%w: %s is not the object of its upload", errOtherObject, r.key)
	case r.size < want || !r.ranged():
		return nil
	}
	if prefix := fmt.Sprintf("bytes %d-%d/", r.offset, r.offset+r.size-1); !strings.HasPrefix(o.ContentRange, prefix) {
		return fmt.Errorf("%w: %s has the Content-Range %q, not %s...", errOtherObject, r.key, o.ContentRange, prefix)
	}
	return nil
}

// readRange copies the bytes of r to a place in memory. If they cannot be
// verified, what is there is worth nothing.
func (b *bucket) readRange(ctx context.Context, r objectRange, into *io.OffsetWriter) error {
	in := GetObject{Key: r.key, Range: r.rangeHeader()}
	_, err := retry(ctx, b, "GetObject", r.size, func(ctx context.Context) (nothing, error) {
		if _, err := into.Seek(0, io.SeekStart); err != nil {
			return nothing{}, err
		}
		o, err := b.client.GetObject(ctx, in)
		if err != nil {
			return nothing{}, err
		}
		defer o.Body.Close()
		if err = r.check(o); err == nil {
			err = r.copy(into, o)
		}
		if errors.Is(err, errOtherObject) {
			b.log.Warn("what is read back is not what was stored", "key", r.key, "err", err)
		}
		return nothing{}, err
	})
	return err
}

// copy copies the bytes of r, and verifies them if o has a checksum and all
// its bytes are there to be read.
func (r objectRange) copy(into io.Writer, o *Object) error {
	sum := crc32.New(castagnoli)
	body := io.TeeReader(o.Body, sum)
	if r.ranged() {
		if _, err := io.CopyN(into, body, r.size); err != nil || r.size < r.total {
			return err
		}
		return checkSum(r.key, o, sum.Sum32())
	}
	if _, err := io.CopyN(io.Discard, body, r.offset); err != nil {
		return err
	}
	if _, err := io.CopyN(into, body, r.size); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, body, r.total-r.offset-r.size); err != nil {
		return err
	}
	return checkSum(r.key, o, sum.Sum32())
}
