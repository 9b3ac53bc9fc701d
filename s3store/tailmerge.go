package s3store

import (
	"context"
	"fmt"
	"slices"
)

// manyPieces is from how many pieces on some of them are joined: more would
// make it slow to list an upload and to make a part of it.
const manyPieces = 64

// joinable returns those at the end of a tail that are worth joining: the
// first of them has no more bytes than all behind it, so that a byte is not
// joined again before the piece that it is in has twice the size.
func joinable(tail []piece) []piece {
	if len(tail) < manyPieces {
		return nil
	}
	end := tail[len(tail)-1].end()
	first := slices.IndexFunc(tail, func(p piece) bool { return p.size <= end-p.end() })
	if first < 0 {
		return nil
	}
	return tail[first:]
}

// joinPieces makes one piece of several, if the upload has many.
func (u *upload) joinPieces(ctx context.Context) error {
	st := u.current()
	tail := st.tail(st.content.end())
	if len(tail) > 0 && tail[0].key != u.b.pieceKey(u.id, tail[0].start) {
		tail = tail[1:] // it is tusd v2's
	}
	joined := joinable(tail)
	if st.whole || len(joined) == 0 {
		return nil
	}
	p, err := u.b.join(ctx, joined)
	if err != nil {
		u.doubt()
		return fmt.Errorf("join %d pieces: %w", len(joined), err)
	}
	st.pieces = withPiece(without(st.pieces, joined[:1]), p)
	u.become(st)
	return nil
}

// join puts the bytes of pieces that follow one another in the place of the
// first. The others do not count any more then. All bytes are stored before
// and after, also if another process has stored more behind them.
func (b *bucket) join(ctx context.Context, pieces []piece) (piece, error) {
	first := pieces[0]
	o, err := b.head(ctx, first.key)
	if err != nil {
		return piece{}, err
	}
	body := buffer{pool: b.memory}
	defer body.discard()
	joined := piece{start: first.start, size: sizeOf(pieces), key: first.key}
	if err := body.reserve(ctx, joined.size, joined.size); err != nil {
		return piece{}, err
	}
	if err := b.readPieces(ctx, pieces, &body); err != nil {
		return piece{}, err
	}
	joined.etag, err = b.put(ctx, PutObject{Key: joined.key, Body: body.reader(), Size: joined.size, IfMatch: o.ETag})
	return joined, err
}
