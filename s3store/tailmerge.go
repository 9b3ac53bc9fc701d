package s3store

import (
	"context"
	"fmt"
	"slices"
)

// manyTailObjects is the length of a tail from which on objects are merged: a
// longer tail would make listing the upload and making a part slow.
const manyTailObjects = 64

// mergeable returns the tail objects at the end of a tail that should be merged. The first of
// them has no more bytes than all after it, so that with each copy of a byte its object at
// least doubles in size.
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
		tail = tail[1:] // it is that of tusd v2, with another key
	}
	merging := mergeable(tail)
	if st.hasObject || len(merging) == 0 {
		return nil
	}
	p, err := u.b.mergeTailObjects(ctx, merging)
	if err != nil {
		u.invalidate()
		return fmt.Errorf("merge %d tail objects: %w", len(merging), err)
	}
	st.tailObjects = withTailObject(withoutTailObjects(st.tailObjects, merging[:1]), p)
	st.setChanged()
	u.setState(st)
	return nil
}

// mergeTailObjects stores the bytes of consecutive tail objects in place of the
// first. The others are orphans then. All bytes are stored at every moment,
// also if another process appends meanwhile.
func (b *bucket) mergeTailObjects(ctx context.Context, objects []tailObject) (tailObject, error) {
	first := objects[0]
	o, err := b.head(ctx, first.key)
	if err != nil {
		return tailObject{}, err
	}
	body := buffer{pool: b.memory}
	defer body.discard()
	merged := tailObject{start: first.start, size: sizeOfTail(objects), key: first.key}
	if err := body.reserve(ctx, merged.size, merged.size); err != nil {
		return tailObject{}, err
	}
	if err := b.readTail(ctx, objects, &body); err != nil {
		return tailObject{}, err
	}
	merged.etag, err = b.put(ctx, PutObject{Key: merged.key, Body: body.reader(), Size: merged.size, IfMatch: o.ETag})
	return merged, err
}
