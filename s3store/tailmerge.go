package s3store

import (
	"context"
	"fmt"
	"slices"
)

// manyTailObjects is the length of a tail from which on objects are merged: a
// longer tail would make listing the upload and making a part slow.
const manyTailObjects = 64

// mergeable returns the tail objects at the end of a tail that are worth
// merging. The first of them has no more bytes than all behind it: so each time
// a byte is copied, its object at least doubles in size.
func mergeable(tail []tailObject) []tailObject {
	if len(tail) < manyTailObjects {
		return nil
	}
	end := tail[len(tail)-1].end()
	first := slices.IndexFunc(tail, func(p tailObject) bool { return p.size <= end-p.end() })
	if first < 0 {
		return nil
	}
	return tail[first:]
}

// mergeTail merges tail objects if the upload has many.
func (u *upload) mergeTail(ctx context.Context) error {
	st := u.current()
	tail := st.tail(st.layout.end())
	if len(tail) > 0 && tail[0].key != u.b.tailKey(u.id, tail[0].start) {
		tail = tail[1:] // it is tusd v2's
	}
	joined := mergeable(tail)
	if st.hasObject || len(joined) == 0 {
		return nil
	}
	p, err := u.b.mergeTailObjects(ctx, joined)
	if err != nil {
		u.invalidate()
		return fmt.Errorf("join %d pieces: %w", len(joined), err)
	}
	st.tailObjects = withTailObject(withoutTailObjects(st.tailObjects, joined[:1]), p)
	u.setState(st)
	return nil
}

// mergeTailObjects stores the bytes of consecutive tail objects in place of the
// first. The others are orphans then. All bytes are stored at every moment,
// also if another process appends meanwhile.
func (b *bucket) mergeTailObjects(ctx context.Context, pieces []tailObject) (tailObject, error) {
	first := pieces[0]
	o, err := b.head(ctx, first.key)
	if err != nil {
		return tailObject{}, err
	}
	body := buffer{pool: b.memory}
	defer body.discard()
	joined := tailObject{start: first.start, size: sizeOfTail(pieces), key: first.key}
	if err := body.reserve(ctx, joined.size, joined.size); err != nil {
		return tailObject{}, err
	}
	if err := b.readTail(ctx, pieces, &body); err != nil {
		return tailObject{}, err
	}
	joined.etag, err = b.put(ctx, PutObject{Key: joined.key, Body: body.reader(), Size: joined.size, IfMatch: o.ETag})
	return joined, err
}
