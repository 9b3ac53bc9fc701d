package s3store

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/tus/tusd"
)

// Uploads of tusd v2 are taken over as they are. Their id is the object's name
// and the multipart upload's, with a plus between; the record belongs to the
// object's name and does not list parts, and the tail is one object. The first
// change of the record makes it one of ours, which lists the parts.

// v2Takeover is what the record says of an upload that tusd v2 has begun.
type v2Takeover struct {
	// Tail is where the bytes of v2's tail begin.
	Tail int64
}

// splitV2ID takes an id of tusd v2 apart.
func splitV2ID(id string) (object, multipart string, ok bool) {
	i := strings.LastIndexByte(id, '+')
	if i <= 0 || i == len(id)-1 {
		return "", "", false
	}
	return id[:i], id[i+1:], true
}

// isRecordOfOther tells whether a record with the id found is not broken, but that
// of another upload: of one of tusd v2 with the same object's name as id.
func isRecordOfOther(found, id string) bool {
	object, _, ok := splitV2ID(found)
	if !ok || found == id {
		return false
	}
	other, _, _ := splitV2ID(id)
	return object == id || object == other
}

// loadV2 is load for an upload that tusd v2 has begun. ours are the
// pieces that this program has put for it.
func (b *bucket) loadV2(ctx context.Context, id string, ours []tailObject, missing error) (state, error) {
	object, multipart, ok := splitV2ID(id)
	if !ok {
		return state{}, tusd.ErrNotFound.With(missing)
	}
	key := b.recordKey(object)
	stored, etag, err := b.readSmall(ctx, key, maxRecord)
	if isMissing(err) {
		return state{}, tusd.ErrNotFound.With(missing)
	}
	if err != nil {
		return state{}, err
	}
	r, err := parseRecord(key, id, stored)
	if err != nil {
		return state{}, err
	}
	st := state{info: r.FileInfo, recordKey: key, etag: etag}
	if r.S3 != nil {
		st.layout = *r.S3
	} else if err := b.takeOver(ctx, &st, multipart); err != nil {
		return state{}, err
	}
	if err := b.addV2Tail(ctx, &st, b.prefix+object+tailSuffix, ours); err != nil {
		return state{}, err
	}
	return st, b.setOffset(ctx, &st, true)
}

// takeOver lists the parts that tusd v2 has uploaded: those up to the first
// that is missing.
func (b *bucket) takeOver(ctx context.Context, st *state, multipart string) error {
	st.layout = newLayout()
	st.layout.TakenOver = &v2Takeover{}
	parts, err := b.listParts(ctx, st.dataKey(), multipart)
	if isMultipartGone(err) {
		return b.takeOverEnded(ctx, st)
	}
	if err != nil {
		return err
	}
	st.layout.Multipart = multipart
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
		st.layout.TakenOver.Tail = -1 // it follows parts that do not count
	}
	return nil
}

// takeOverEnded takes over an upload whose multipart upload is no more: it was
// completed, or its bytes are gone.
func (b *bucket) takeOverEnded(ctx context.Context, st *state) error {
	o, err := b.head(ctx, st.dataKey())
	switch {
	case err == nil && !st.info.SizeIsDeferred && o.Size == st.info.Size:
		st.layout.ETag = o.ETag
		return nil
	case err == nil || isMissing(err):
		st.info.State, st.info.Failure = tusd.StateFailed, bytesLost()
		return nil
	}
	return fmt.Errorf("look for the data: %w", err)
}

// addV2Tail puts v2's tail, if there is one, among the pieces.
func (b *bucket) addV2Tail(ctx context.Context, st *state, key string, ours []tailObject) error {
	st.tailObjects = slices.Clone(ours)
	if st.layout.TakenOver == nil {
		return brokenRecord(st.recordKey, "it is not an upload of tusd v2")
	}
	o, err := b.head(ctx, key)
	if isMissing(err) || hasStatus(err, http.StatusForbidden) { // as tusd v2 reads it
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the tail: %w", err)
	}
	st.tailObjects = withTailObject(st.tailObjects, tailObject{start: st.layout.TakenOver.Tail, size: o.Size, key: key, etag: o.ETag})
	return nil
}

// owns tells whether an object is the data of the upload. The objects of
// multipart uploads that tusd v2 has begun carry no proof.
func (s *state) owns(o *Object) bool {
	return o.Attributes.Metadata[proofName] == s.layout.Proof || s.layout.TakenOver != nil && o.Size == s.info.Size
}

// finishEmptyV2 finishes an upload of nothing that tusd v2 has begun: a
// multipart upload without parts cannot be completed. Cut short, it can be done
// again: the object alone is taken for complete when the multipart upload is
// gone.
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
