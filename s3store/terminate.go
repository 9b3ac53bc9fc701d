package s3store

import (
	"context"
	"errors"
	"fmt"

	"github.com/tus/tusd"
)

// Terminate implements tusd.Terminater.
func (s *Store) Terminate(ctx context.Context, lease tusd.Lease, id string) error {
	b, err := s.bucket()
	if err != nil {
		return err
	}
	if err := tusd.ValidateID(id); err != nil {
		return err
	}
	u := &upload{b: b, id: id, lease: lease}
	if err := u.checkLease(ctx); err != nil {
		return wrapError("terminate upload", id, err)
	}
	b.cache.invalidate(id)
	defer b.cache.invalidate(id)
	leased, stop := u.underLease(ctx)
	defer stop()
	return wrapError("terminate upload", id, b.terminate(leased, id))
}

// terminate removes an upload, the record last, so that an interrupted removal can be
// repeated. It marks the record before it removes any byte: otherwise the upload would look
// empty.
func (b *bucket) terminate(ctx context.Context, id string) error {
	st, err := b.loadAny(ctx, id)
	if errors.Is(err, tusd.ErrBroken) {
		return b.terminateBroken(ctx, id)
	}
	if err != nil {
		return err
	}
	if err := b.announceRemoval(ctx, st); err != nil {
		return err
	}
	if st.layout.Multipart != "" {
		if err := b.abort(ctx, st.dataKey(), st.layout.Multipart); err != nil {
			return err
		}
	}
	keys := keysOf(st.tailObjects)
	isThere, err := b.hasData(ctx, &st)
	if err != nil {
		return err
	}
	if isThere {
		keys = append(keys, st.dataKey())
	}
	if err := b.remove(ctx, keys...); err != nil {
		return err
	}
	return b.remove(ctx, st.recordKey)
}

// announceRemoval marks the record of an upload that is being removed, if it
// has bytes, or may have some by now: the lock was a lease, and may be lost.
func (b *bucket) announceRemoval(ctx context.Context, st state) error {
	hasBytes := st.hasObject || st.layout.Multipart != "" || len(st.tailObjects) > 0
	if st.layout.Removed || !hasBytes && b.scope != tusd.ScopeLease {
		return nil
	}
	st.layout.Removed = true
	err := b.putRecord(ctx, &st)
	if isRefusedCondition(err) {
		return b.concurrentChange(st.info.ID, err)
	}
	return err
}

// hasData reports whether there is a data object of this upload. Another upload may have its
// data under a key that is not that of the record: since an interrupted removal removed this
// one's.
func (b *bucket) hasData(ctx context.Context, st *state) (bool, error) {
	if st.hasObject && st.isDataBesideRecord() {
		return true, nil
	}
	o, err := b.head(ctx, st.dataKey())
	if isMissing(err) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the data: %w", err)
	}
	if st.layout.TakenOver != nil && st.layout.ETag != "" { // it may have no proof
		return sameETag(o.ETag, st.layout.ETag), nil
	}
	return st.owns(o), nil
}

// terminateBroken removes the objects that certainly belong to an upload whose
// record cannot be read: those with its name.
func (b *bucket) terminateBroken(ctx context.Context, id string) error {
	found, err := b.listUpload(ctx, id)
	if err != nil {
		return err
	}
	keys := keysOf(found.tailObjects)
	if found.data != "" {
		keys = append(keys, b.prefix+id)
	}
	if err := b.remove(ctx, keys...); err != nil {
		return err
	}
	return b.remove(ctx, b.recordKey(id))
}
