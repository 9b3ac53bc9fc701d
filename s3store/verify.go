package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/tus/tusd"
)

// Verify implements tusd.Verifier. It compares the record with the data object, with the
// parts that the service lists, and with the tail objects. It reads objects that have a
// checksum in their metadata; the others are compared by size and ETag.
func (s *Store) Verify(ctx context.Context, id string) (faults []string, err error) {
	b, err := s.bucket()
	if err != nil {
		return nil, err
	}
	if err := tusd.ValidateID(id); err != nil {
		return nil, err
	}
	faults, err = b.verify(ctx, id)
	return faults, wrapError("verify upload", id, err)
}

// verifyTries is how often an upload is verified that changes meanwhile.
const verifyTries = 5

// verify looks again if the upload has changed since it was loaded: then what does not agree
// may be the change.
func (b *bucket) verify(ctx context.Context, id string) (faults []string, err error) {
	var before state
	for try := range verifyTries {
		st, err := b.load(ctx, id)
		if errors.Is(err, errRemoving) {
			return nil, tusd.ErrNotFound.With(errRemoving)
		}
		switch {
		case errors.Is(err, tusd.ErrBroken):
			return []string{err.Error()}, nil
		case isMissing(err) && !errors.Is(err, tusd.ErrNotFound) && try < verifyTries-1:
			continue // the listing had the data object, which is gone: is the record, too?
		case err != nil:
			return nil, err
		}
		if try > 0 && sameStored(&before, &st) {
			return faults, nil
		}
		if faults, err = b.verifyState(ctx, &st); err != nil || len(faults) == 0 {
			return nil, err
		}
		before = st
	}
	return nil, errors.New("the upload changes faster than it can be verified")
}

// sameStored reports whether two states of an upload are the same.
func sameStored(a, b *state) bool {
	return sameETag(a.etag, b.etag) && a.hasObject == b.hasObject && sameTailObjects(a.tailObjects, b.tailObjects)
}

func (b *bucket) verifyState(ctx context.Context, st *state) (faults []string, err error) {
	if st.info.State == tusd.StateFailed {
		return nil, nil // its bytes may be gone
	}
	if st.hasObject {
		return b.verifyData(ctx, st)
	}
	if said := saysFull(&st.info); said != "" && !st.info.Full() {
		faults = append(faults, fmt.Sprintf("the record says that the upload %s, but only %d of %d bytes are stored", said, st.info.Offset, st.info.Size))
	}
	foreign, err := b.verifyNoData(ctx, st)
	if err != nil {
		return nil, err
	}
	parts, err := b.verifyParts(ctx, st)
	if err != nil {
		return nil, err
	}
	tail, err := b.verifyTail(ctx, st)
	return slices.Concat(faults, foreign, parts, tail), err
}

// saysFull returns what a record says that only that of a full upload does; "": nothing. That
// of a tus upload that was stored in one call, without digests and callbacks, says nothing.
func saysFull(info *tusd.FileInfo) string {
	switch {
	case info.State == tusd.StateComplete:
		return "is complete"
	case slices.ContainsFunc(info.Digests, func(d tusd.Digest) bool { return d.Sum != nil }):
		return "has a digest of all bytes"
	}
	return ""
}

// verifyNoData looks for an object of another program in the place of the data object of an
// incomplete upload.
func (b *bucket) verifyNoData(ctx context.Context, st *state) (faults []string, err error) {
	o, err := b.head(ctx, st.dataKey())
	switch {
	case err == nil && !st.owns(o):
		return []string{fmt.Sprintf("the object %s is not the data object of this upload: it has another %s", st.dataKey(), proofName)}, nil
	case isMissing(err):
		return nil, nil
	}
	return nil, err
}

// verifyData compares the data object of a complete upload with its record.
func (b *bucket) verifyData(ctx context.Context, st *state) (faults []string, err error) {
	key := st.dataKey()
	o, err := b.head(ctx, key)
	switch {
	case isMissing(err):
		return []string{fmt.Sprintf("the data object %s is missing", key)}, nil
	case err != nil:
		return nil, err
	case o.Size != st.info.Size:
		return []string{fmt.Sprintf("the data object %s has %d bytes, and the length is %d", key, o.Size, st.info.Size)}, nil
	case !st.owns(o):
		return []string{fmt.Sprintf("the object %s is not the data object of this upload: it has another %s", key, proofName)}, nil
	case st.layout.ETag != "" && !sameETag(o.ETag, st.layout.ETag):
		return []string{fmt.Sprintf("the data object %s has the ETag %s, and the record says %s", key, o.ETag, st.layout.ETag)}, nil
	}
	return b.verifyBytes(ctx, objectRange{key: key, size: o.Size, total: o.Size, etag: o.ETag}, o)
}

// verifyBytes reads an object that has a checksum, and compares its bytes with that.
func (b *bucket) verifyBytes(ctx context.Context, r objectRange, o *Object) (faults []string, err error) {
	if o.Attributes.Metadata[checksumName] == "" || r.size == 0 {
		return nil, nil
	}
	_, err = b.readOnce(ctx, r, io.NewOffsetWriter(discardAt{}, 0))
	if errors.Is(err, errWrongObject) {
		return []string{err.Error()}, nil
	}
	return nil, err
}

// discardAt is io.Discard as an io.WriterAt.
type discardAt struct{}

func (discardAt) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }

// verifyParts compares the recorded parts with those that the service has.
func (b *bucket) verifyParts(ctx context.Context, st *state) (faults []string, err error) {
	if st.layout.Multipart == "" {
		return nil, nil
	}
	stored, _, err := b.listParts(ctx, st.dataKey(), st.layout.Multipart)
	if isMultipartGone(err) {
		etag, err := b.completed(ctx, st) // a record may not know of its completion yet
		if err == nil && etag == "" {
			faults = append(faults, "the service does not have the multipart upload of the record")
		}
		return faults, err
	}
	if err != nil {
		return nil, err
	}
	byNumber := make(map[int]Part, len(stored))
	for _, p := range stored {
		byNumber[p.Number] = p
	}
	for _, want := range st.layout.Parts {
		switch got, ok := byNumber[want.Number]; {
		case !ok:
			faults = append(faults, fmt.Sprintf("part %d is missing", want.Number))
		case got.Size != want.Size:
			faults = append(faults, fmt.Sprintf("part %d has %d bytes, and the record says %d", want.Number, got.Size, want.Size))
		case !sameETag(got.ETag, want.ETag):
			faults = append(faults, fmt.Sprintf("part %d has the ETag %s, and the record says %s", want.Number, got.ETag, want.ETag))
		}
	}
	return faults, nil
}

// verifyTail reads the tail objects that count.
func (b *bucket) verifyTail(ctx context.Context, st *state) (faults []string, err error) {
	for _, p := range st.tail(st.layout.end()) {
		o, err := b.head(ctx, p.key)
		switch {
		case isMissing(err):
			faults = append(faults, fmt.Sprintf("the tail object %s is missing", p.key))
			continue
		case err != nil:
			return nil, err
		case o.Size != p.size:
			faults = append(faults, fmt.Sprintf("the tail object %s has %d bytes, and the listing says %d", p.key, o.Size, p.size))
			continue
		}
		wrong, err := b.verifyBytes(ctx, p.wholeRange(), o)
		if err != nil && !isMissing(err) {
			return nil, err
		}
		faults = append(faults, wrong...)
	}
	return faults, nil
}
