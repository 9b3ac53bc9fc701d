package s3store

import (
	"context"
	"fmt"
	"io"

	"github.com/tus/tusd"
)

// Concat implements tusd.Concater. The service copies; only what is smaller
// than a part goes through memory.
func (s *Store) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	u, err := asUpload(final)
	if err != nil {
		return err
	}
	parts := make([]*upload, len(partials))
	for i, p := range partials {
		if parts[i], err = asUpload(p); err != nil {
			return err
		}
	}
	return wrapError("concatenate upload", u.id, u.concat(ctx, parts))
}

func (u *upload) concat(ctx context.Context, partials []*upload) error {
	st, err := u.freshState(ctx)
	if err != nil || st.info.Full() && st.info.Size > 0 {
		return err // an earlier call has done it
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
	j := &builder{u: u, b: u.b, ctx: leased, parts: u.newPartWriter(leased, st, false)}
	defer j.parts.close(u.lease.Context())
	if err := j.build(ranges); err != nil {
		j.parts.fail(err)
		return err
	}
	if err := j.parts.wait(); err != nil {
		return err
	}
	return j.parts.record(leased)
}

// rangesOf returns the objects of complete partials.
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
	u     *upload
	b     *bucket
	ctx   context.Context
	parts *partWriter

	pending []objectRange // too small to be copied as a part
	size    int64         // of pending
}

// build makes parts of all ranges.
func (j *builder) build(ranges []objectRange) error {
	st := j.parts.state()
	unit, err := j.b.partSizes.minSize(1, 0, st.info.Size)
	if err != nil {
		return err
	}
	if st.info.Size < unit {
		j.pending, j.size = ranges, st.info.Size
		return j.putDataObject()
	}
	largest := j.b.profile.MaxPart
	if st.layout.PartSize > 0 {
		unit, largest = st.layout.PartSize, st.layout.PartSize
	}
	for _, r := range ranges {
		if err := j.addRange(r, unit, largest); err != nil {
			return err
		}
	}
	return j.sendPending()
}

// addRange makes parts of a range: what is pending is filled up from its start, the
// rest is copied, and an end that is too small becomes pending.
func (j *builder) addRange(r objectRange, unit, largest int64) error {
	for r.size > 0 {
		var err error
		switch {
		case j.size > 0 || r.size < unit:
			n := min(r.size, unit-j.size)
			j.pending, j.size = append(j.pending, r.first(n)), j.size+n
			if r = r.after(n); j.size == unit {
				err = j.sendPending()
			}
		default:
			n := min(r.size, largest)
			err = j.parts.copy(r.key, r.offset, n)
			r = r.after(n)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// sendPending makes a part of what is pending.
func (j *builder) sendPending() error {
	if j.size == 0 {
		return nil
	}
	body, err := j.readPending()
	if err != nil {
		return err
	}
	return j.parts.send(body)
}

// putDataObject makes the object of what is pending.
func (j *builder) putDataObject() error {
	body, err := j.readPending()
	if err != nil {
		return err
	}
	defer body.discard()
	st := j.parts.state()
	if err := j.b.putDataObject(j.ctx, &st, &body); err != nil {
		j.u.invalidate()
		return err
	}
	st.hasObject = true
	j.parts.setState(st)
	return nil
}

// readPending reads what is pending into memory, the same bytes once.
func (j *builder) readPending() (buffer, error) {
	reserved := buffer{pool: j.b.memory}
	if err := reserved.reserve(j.ctx, j.size, j.size); err != nil {
		return buffer{}, err
	}
	body := reserved.split(j.size)
	at := int64(0)
	there := make(map[objectRange]int64) // where in body
	for _, r := range j.pending {
		var err error
		if from, ok := there[r]; ok {
			_, err = io.Copy(io.NewOffsetWriter(&body, at), io.NewSectionReader(&body, from, r.size))
		} else {
			err = j.b.readRange(j.ctx, r, io.NewOffsetWriter(&body, at))
			there[r] = at
		}
		if err != nil {
			body.discard()
			return buffer{}, err
		}
		at += r.size
	}
	j.pending, j.size = nil, 0
	return body, nil
}
