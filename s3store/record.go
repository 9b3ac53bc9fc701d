package s3store

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"math"

	"github.com/tus/tusd"
)

const (
	// maxRecord bounds what is read as a record, in bytes.
	maxRecord = 4 << 20
	// maxSize bounds lengths, so that their sums cannot overflow.
	maxSize = math.MaxInt64 / 2
)

// record is the stored record of an upload: the JSON of tusd v2 with one more
// member.
type record struct {
	tusd.FileInfo
	S3 *layout `json:",omitempty"`
}

// layout says which objects and parts contain an upload's bytes.
type layout struct {
	// Proof is in the metadata of the data object, whose key other uploads may
	// use, too.
	Proof string
	// Writer names the request that stored the record, at random, so that the record has
	// another ETag than those that others know.
	Writer string `json:",omitempty"`
	// PartSize is the size of all parts, if the service requires equal ones.
	PartSize int64 `json:",omitempty"`
	// Multipart is the id of the pending multipart upload; "": none.
	Multipart string `json:",omitempty"`
	Parts     []Part `json:",omitempty"` // by number, without a gap in the bytes
	// TakenOver is set if tusd v2 has created the upload.
	TakenOver *v2Takeover `json:",omitempty"`
	// ETag is that of the data object that was made of parts; "": it was not made
	// of parts, or is not complete.
	ETag string `json:",omitempty"`
	// Removed means that the bytes are being removed, and then the record.
	Removed bool `json:",omitempty"`
}

func newLayout() layout { return layout{Proof: rand.Text()} }

// end returns the offset behind the recorded parts.
func (c *layout) end() int64 {
	var n int64
	for _, p := range c.Parts {
		n += p.Size
	}
	return n
}

// nextNumber returns the number of the part behind the recorded ones.
func (c *layout) nextNumber() int {
	if len(c.Parts) == 0 {
		return 1
	}
	return c.Parts[len(c.Parts)-1].Number + 1
}

// parseRecord reads the record of id.
func parseRecord(key, id string, stored []byte) (record, error) {
	var r record
	if err := json.Unmarshal(stored, &r); err != nil && mayBeRecordOf(id, stored) {
		return record{}, brokenRecord(key, "%w", err)
	} else if err != nil {
		return record{}, tusd.ErrNotFound.With(fmt.Errorf("%s is of another program: %w", key, err))
	}
	if r.Version > tusd.RecordVersion {
		return record{}, fmt.Errorf("%s: %w: it has version %d, this one reads up to %d", key, errNewerRecord, r.Version, tusd.RecordVersion)
	}
	if r.ID != id {
		return record{}, tusd.ErrNotFound.With(fmt.Errorf("%s is the record of %q", key, r.ID))
	}
	if err := r.check(id); err != nil {
		return record{}, brokenRecord(key, "%w", err)
	}
	r.Offset = 0
	return r, nil
}

// mayBeRecordOf reports whether a record that cannot be read may be one of this program or of
// tusd v2: it begins as that of id does, or its content is lost.
func mayBeRecordOf(id string, stored []byte) bool {
	if object, _, ok := splitV2ID(id); ok {
		id = object
	}
	quoted, _ := json.Marshal(id)
	begin := append([]byte(`{"ID":`), quoted[:len(quoted)-1]...)
	start := bytes.Join(bytes.Fields(stored[:min(len(stored), len(begin)+64)]), nil)
	return bytes.HasPrefix(start, begin) || bytes.HasPrefix(begin, start)
}

// check returns an error if a record is not a valid record of id.
func (r *record) check(id string) error {
	switch {
	case r.Size < 0 || r.Size > maxSize || r.SizeIsDeferred && r.Size != 0:
		return fmt.Errorf("it has a length of %d, deferred %t", r.Size, r.SizeIsDeferred)
	case r.Storage["Key"] == "":
		return fmt.Errorf("it has no key")
	case r.S3 == nil:
		return nil
	case r.S3.Proof == "":
		return fmt.Errorf("it has no proof")
	}
	return r.S3.check()
}

func (c *layout) check() error {
	last, total := 0, int64(0)
	for _, p := range c.Parts {
		if p.Number <= last || p.Size <= 0 || p.Size > maxSize-total {
			return fmt.Errorf("its part %d has %d bytes", p.Number, p.Size)
		}
		last, total = p.Number, total+p.Size
	}
	if len(c.Parts) > 0 && c.Multipart == "" {
		return fmt.Errorf("it has parts of no multipart upload")
	}
	return nil
}

// formatRecord is the inverse of parseRecord. The offset in it is always 0: it is
// computed from the stored bytes.
func formatRecord(st *state) ([]byte, error) {
	r := record{st.info, &st.layout}
	r.Offset = 0
	stored, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if stored = hintOf(st).padded(stored); len(stored) > maxRecord {
		return nil, fmt.Errorf("a record of %d bytes is too long", len(stored))
	}
	return stored, nil
}

// putRecord stores the record of st, on the condition that the stored record is
// still the one that st knows. It sets the new ETag and the time of the change in st.
func (b *bucket) putRecord(ctx context.Context, st *state) error {
	stored, err := formatRecord(st)
	if err != nil {
		return err
	}
	in := PutObject{
		Key: st.recordKey, Body: bytes.NewReader(stored), Size: int64(len(stored)),
		IfMatch: st.etag, IfNoneMatch: st.etag == "",
		Attributes: Attributes{ContentType: "application/json"},
	}
	etag, err := b.put(ctx, in)
	if err == nil {
		st.etag = etag
		st.setChanged()
	}
	return err
}
