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

// takenOver is what the record says of an upload that tusd v2 has begun.
type takenOver struct {
	// Tail is where the bytes of v2's tail begin.
	Tail int64
}

// splitForeign takes an id of tusd v2 apart.
func splitForeign(id string) (object, multipart string, ok bool) {
	i := strings.LastIndexByte(id, '+')
	if i <= 0 || i == len(id)-1 {
		return "", "", false
	}
	return id[:i], id[i+1:], true
}

// isAnothers tells whether a record with the id found is not broken, but that
// of another upload: of one of tusd v2 with the same object's name as id.
func isAnothers(found, id string) bool {
	object, _, ok := splitForeign(found)
	if !ok || found == id {
		return false
	}
	other, _, _ := splitForeign(id)
	return object == id || object == other
}

// loadForeign is load for an upload that tusd v2 has begun. ours are the
// pieces that this program has put for it.
func (b *bucket) loadForeign(ctx context.Context, id string, ours []piece, missing error) (state, error) {
	object, multipart, ok := splitForeign(id)
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
		st.content = *r.S3
	} else if err := b.takeOver(ctx, &st, multipart); err != nil {
		return state{}, err
	}
	if err := b.addForeignTail(ctx, &st, b.prefix+object+pieceSuffix, ours); err != nil {
		return state{}, err
	}
	return st, b.settle(ctx, &st, true)
}

// takeOver lists the parts that tusd v2 has uploaded: those up to the first
// that is missing.
func (b *bucket) takeOver(ctx context.Context, st *state, multipart string) error {
	st.content = newContent()
	st.content.TakenOver = &takenOver{}
	parts, err := b.parts(ctx, st.dataKey(), multipart)
	if isGone(err) {
		return b.takeOverEnded(ctx, st)
	}
	if err != nil {
		return err
	}
	st.content.Multipart = multipart
	for i, p := range parts {
		if p.Number != i+1 {
			break
		}
		st.content.Parts = append(st.content.Parts, p)
	}
	if b.plan.equal {
		st.content.PartSize = b.plan.equalSize(st.length())
		if len(parts) > 0 {
			st.content.PartSize = parts[0].Size
		}
	}
	st.content.TakenOver.Tail = st.content.end()
	if len(st.content.Parts) < len(parts) {
		st.content.TakenOver.Tail = -1 // it follows parts that do not count
	}
	return nil
}

// takeOverEnded takes over an upload whose multipart upload is no more: it was
// completed, or its bytes are gone.
func (b *bucket) takeOverEnded(ctx context.Context, st *state) error {
	o, err := b.head(ctx, st.dataKey())
	switch {
	case err == nil && !st.info.SizeIsDeferred && o.Size == st.info.Size:
		st.content.ETag = o.ETag
		return nil
	case err == nil || isMissing(err):
		st.info.State, st.info.Failure = tusd.StateFailed, bytesGone()
		return nil
	}
	return fmt.Errorf("look for the data: %w", err)
}

// addForeignTail puts v2's tail, if there is one, among the pieces.
func (b *bucket) addForeignTail(ctx context.Context, st *state, key string, ours []piece) error {
	st.pieces = slices.Clone(ours)
	if st.content.TakenOver == nil {
		return broken(st.recordKey, "it is not an upload of tusd v2")
	}
	o, err := b.head(ctx, key)
	if isMissing(err) || hasStatus(err, http.StatusForbidden) { // as tusd v2 reads it
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for the tail: %w", err)
	}
	st.pieces = withPiece(st.pieces, piece{start: st.content.TakenOver.Tail, size: o.Size, key: key, etag: o.ETag})
	return nil
}

// owns tells whether an object is the data of the upload. The objects of
// multipart uploads that tusd v2 has begun carry no proof.
func (s *state) owns(o *Object) bool {
	return o.Attributes.Metadata[proofName] == s.content.Proof || s.content.TakenOver != nil && o.Size == s.info.Size
}

// finishEmptyForeign finishes an upload of nothing that tusd v2 has begun: a
// multipart upload without parts cannot be completed. Cut short, it can be done
// again: the object alone is taken for complete when the multipart upload is
// gone.
func (u *upload) finishEmptyForeign(ctx context.Context, st state) error {
	held, stop := u.underLease(ctx)
	defer stop()
	attributes, err := u.b.dataAttributes(&st)
	if err != nil {
		return err
	}
	etag, err := u.b.putPlain(held, PutObject{Key: st.dataKey(), Body: strings.NewReader(""), Attributes: attributes})
	if err != nil {
		return err
	}
	if err := u.b.abort(held, st.dataKey(), st.content.Multipart); err != nil {
		return err
	}
	return u.completeWith(held, st, etag)
}
