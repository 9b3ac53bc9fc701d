package s3store

import (
	"context"
	"fmt"
	"io"

	"github.com/tus/tusd"
)

// Concat implements tusd.Concater. The service copies the bytes; only ranges
// that are smaller than a part go through memory.
func (s *Store) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	u, err := asUpload(final)
	if err != nil {
		return err
	}
	loaded := make([]*upload, len(partials))
	for i, p := range partials {
		if loaded[i], err = asUpload(p); err != nil {
			return err
		}
	}
	return wrapError("concatenate upload", u.id, u.concat(ctx, loaded))
}

func (u *upload) concat(ctx context.Context, partials []*upload) error {
	st, err := u.freshState(ctx)
	if err != nil || st.info.Full() && st.info.Size > 0 {
		return err // an earlier call has built it
	}
	ranges, total, err := rangesOf(ctx, partials)
	if err != nil {
		return err
	}
	if total != st.info.Size {
		return fmt.Errorf("the partial uploads have %d bytes together, not %d", total, st.info.Size)
	}
	leased, stop := u.underLease(ctx)
	defer stop()
	b := &builder{u: u, bucket: u.b, ctx: leased, parts: u.newPartWriter(leased, st, false)}
	defer b.parts.close(u.lease.Context())
	if err := b.build(ranges); err != nil {
		b.parts.fail(err)
		return err
	}
	if err := b.parts.wait(); err != nil {
		return err
	}
	return b.parts.record(leased)
}

// rangesOf returns the data objects of complete partials.
func rangesOf(ctx context.Context, partials []*upload) (ranges []objectRange, total int64, err error) {
	for _, p := range partials {
		if err := p.finish(ctx); err != nil {
			return nil, 0, fmt.Errorf("partial upload %s: %w", p.id, err)
		}
		st := p.current()
		if st.info.Size == 0 {
			continue
		}
		r := objectRange{key: st.dataKey(), size: st.info.Size, total: st.info.Size}
		if st.layout.TakenOver == nil {
			r.proof = st.layout.Proof
		}
		ranges = append(ranges, r)
		total += st.info.Size
	}
	return ranges, total, nil
}

// builder makes the parts of a final upload.
type builder struct {
	u      *upload
	bucket *bucket
	ctx    context.Context
	parts  *partWriter

	pending []objectRange // ranges that are too small to be copied as a part
	size    int64         // of pending
}

// build makes parts of all ranges.
func (b *builder) build(ranges []objectRange) error {
	st := b.parts.state()
	unit, err := b.bucket.partSizes.minSize(1, 0, st.info.Size)
	if err != nil {
		return err
	}
	if st.info.Size < unit {
		b.pending, b.size = ranges, st.info.Size
		return b.putDataObject()
	}
	largest := b.bucket.profile.MaxPart
	if st.layout.PartSize > 0 {
		unit, largest = st.layout.PartSize, st.layout.PartSize
	}
	for _, r := range ranges {
		if err := b.addRange(r, unit, largest); err != nil {
			return err
		}
	}
	return b.sendPending()
}

// addRange makes parts of a range. Its start fills up the pending ranges, the
// rest is copied, and an end that is too small becomes pending.
func (b *builder) addRange(r objectRange, unit, largest int64) error {
	for r.size > 0 {
		var err error
		switch {
		case b.size > 0 || r.size < unit:
			n := min(r.size, unit-b.size)
			b.pending, b.size = append(b.pending, r.first(n)), b.size+n
			if r = r.after(n); b.size == unit {
				err = b.sendPending()
			}
		default:
			n := min(r.size, largest)
			err = b.parts.copy(r.key, r.offset, n)
			r = r.after(n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sendPending uploads the pending ranges as a part.
func (b *builder) sendPending() error {
	if b.size == 0 {
		return nil
	}
	body, err := b.readPending()
	if err != nil {
		return err
	}
	return b.parts.send(body)
}

// putDataObject stores the pending ranges as the data object.
func (b *builder) putDataObject() error {
	if err := b.parts.own(b.ctx); err != nil {
		return err
	}
	body, err := b.readPending()
	if err != nil {
		return err
	}
	defer body.discard()
	st := b.parts.state()
	if err := b.bucket.putDataObject(b.ctx, &st, &body); err != nil {
		b.u.invalidate()
		return err
	}
	st.hasObject = true
	b.parts.setState(st)
	return nil
}

// readPending reads the pending ranges into memory. It reads a range that
// occurs twice only once.
func (b *builder) readPending() (buffer, error) {
	reserved := buffer{pool: b.bucket.memory}
	if err := reserved.reserve(b.ctx, b.size, b.size); err != nil {
		return buffer{}, err
	}
	body := reserved.split(b.size)
	at := int64(0)
	readAt := make(map[objectRange]int64) // offset in body
	for _, r := range b.pending {
		var err error
		if from, ok := readAt[r]; ok {
			_, err = io.Copy(io.NewOffsetWriter(&body, at), io.NewSectionReader(&body, from, r.size))
		} else {
			err = b.bucket.readRange(b.ctx, r, io.NewOffsetWriter(&body, at))
			readAt[r] = at
		}
		if err != nil {
			body.discard()
			return buffer{}, err
		}
		at += r.size
	}
	b.pending, b.size = nil, 0
	return body, nil
}
