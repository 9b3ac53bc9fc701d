package s3store

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/tus/tusd"
)

// Uploads of tusd v2 are taken over as they are stored. Their id consists of the
// object's name, a plus and the id of the multipart upload. The record is stored
// under the object's name and has no part list, and the tail is one object. The
// first change of the record adds the part list.

// v2Takeover is the part of the record about an upload that tusd v2 has
// created.
type v2Takeover struct {
	// Tail is the offset of v2's tail object; -1: a part before it is missing, so it
	// does not count.
	Tail int64
}

// splitV2ID splits an id of tusd v2.
func splitV2ID(id string) (object, multipart string, ok bool) {
	i := strings.LastIndexByte(id, '+')
	if i <= 0 || i == len(id)-1 {
		return "", "", false
	}
	return id[:i], id[i+1:], true
}

// loadV2 is load for an upload of tusd v2. ours are the objects that this program
// has stored for it; missing is the error of its record.
func (b *bucket) loadV2(ctx context.Context, id string, ours uploadObjects, missing error) (state, error) {
	object, multipart, ok := splitV2ID(id)
	if !ok {
		return state{}, tusd.ErrNotFound.With(missing)
	}
	key := b.recordKey(object)
	stored, err := b.readSmall(ctx, key, maxRecord)
	if isMissing(err) {
		return state{}, tusd.ErrNotFound.With(missing)
	}
	if err != nil {
		return state{}, err
	}
	r, err := parseRecord(key, id, stored.content)
	if err != nil {
		return state{}, err
	}
	st := state{info: r.FileInfo, recordKey: key, etag: stored.etag}
	st.noteChange(later(stored.modified, ours.changed))
	if r.S3 != nil {
		st.layout = *r.S3
	} else if err := b.takeOver(ctx, &st, multipart); err != nil {
		return state{}, err
	}
	if err := b.addV2Tail(ctx, &st, b.prefix+object+tailSuffix, ours.tailObjects); err != nil {
		return state{}, err
	}
	return st, b.setOffset(ctx, &st, true)
}

// takeOver makes the part list from the parts that tusd v2 has uploaded, up to
// the first that is missing.
func (b *bucket) takeOver(ctx context.Context, st *state, multipart string) error {
	st.layout = newLayout()
	st.layout.TakenOver = &v2Takeover{}
	parts, uploaded, err := b.listParts(ctx, st.dataKey(), multipart)
	if isMultipartGone(err) {
		return b.takeOverEnded(ctx, st)
	}
	if err != nil {
		return err
	}
	st.layout.Multipart = multipart
	st.noteChange(uploaded)
	for i, p := range parts {
		if p.Number != i+1 {
			break
		}
		st.layout.Parts = append(st.layout.Parts, p)
	}
	if b.partSizes.equal {
		st.layout.PartSize = b.partSizes.equalSize(st.length())
		if len(parts) > 0 {
			st.layout.PartSize = parts[0].Size
		}
	}
	st.layout.TakenOver.Tail = st.layout.end()
	if len(st.layout.Parts) < len(parts) {
		st.layout.TakenOver.Tail = -1 // it follows parts behind a missing one
	}
	return nil
}

// takeOverEnded takes over an upload without its multipart upload: that was
// completed, or its bytes are gone.
func (b *bucket) takeOverEnded(ctx context.Context, st *state) error {
	o, err := b.head(ctx, st.dataKey())
	switch {
	case err == nil && !st.info.SizeIsDeferred && o.Size == st.info.Size:
		st.layout.ETag = o.ETag
		st.noteChange(o.Modified)
		return nil
	case err == nil || isMissing(err):
		st.info.State, st.info.Failure = tusd.StateFailed, bytesLost()
		return nil
	}
	return fmt.Errorf("look for the data: %w", err)
}

// addV2Tail adds v2's tail object, if there is one.
func (b *bucket) addV2Tail(ctx context.Context, st *state, key string, tail []tailObject) error {
	st.tailObjects = slices.Clone(tail)
	if st.layout.TakenOver == nil {
		return brokenRecord(st.recordKey, "it is not an upload of tusd v2")
	}
	o, err := b.head(ctx, key)
	if isMissing(err) || hasStatus(err, http.StatusForbidden) { // tusd v2 treats both alike
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the tail: %w", err)
	}
	st.noteChange(o.Modified)
	st.tailObjects = withTailObject(st.tailObjects, tailObject{start: st.layout.TakenOver.Tail, size: o.Size, key: key, etag: o.ETag})
	return nil
}

// owns reports whether an object is the data object of the upload. Objects of
// multipart uploads that tusd v2 has started carry no proof.
func (s *state) owns(o *Object) bool {
	return o.Attributes.Metadata[proofName] == s.layout.Proof || s.layout.TakenOver != nil && o.Size == s.info.Size
}

// finishEmptyV2 finishes an empty upload of tusd v2: a multipart upload without
// parts cannot be completed. If it is interrupted, it can be repeated: the
// object alone counts as complete only after the multipart upload is gone.
func (u *upload) finishEmptyV2(ctx context.Context, st state) error {
	leased, stop := u.underLease(ctx)
	defer stop()
	attributes, err := u.b.dataAttributes(&st)
	if err != nil {
		return err
	}
	etag, err := u.b.putUnconditional(leased, PutObject{Key: st.dataKey(), Body: strings.NewReader(""), Attributes: attributes})
	if err != nil {
		return err
	}
	if err := u.b.abort(leased, st.dataKey(), st.layout.Multipart); err != nil {
		return err
	}
	return u.completeWith(leased, st, etag)
}
