package s3store

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
)

// putPiece stores the bytes of body as the piece that begins at start. It
// reports the piece also if it cannot be told whether it is stored.
func (b *bucket) putPiece(ctx context.Context, id string, start int64, body *buffer) (piece, error) {
	p := piece{start: start, size: body.size, key: b.pieceKey(id, start)}
	var err error
	p.etag, err = b.put(ctx, PutObject{Key: p.key, Body: body.reader(), Size: p.size, IfNoneMatch: true})
	return p, err
}

// withPiece is pieces with one more.
func withPiece(pieces []piece, p piece) []piece {
	i, _ := slices.BinarySearchFunc(pieces, p.start, func(q piece, start int64) int {
		return int(min(max(q.start-start, -1), 1))
	})
	return slices.Insert(slices.Clone(pieces), i, p)
}

// readersAtOnce is how many pieces of one tail are read at the same time.
const readersAtOnce = 8

// readPieces reads the bytes of pieces into memory that body has reserved,
// and puts them before the bytes that body has.
func (b *bucket) readPieces(ctx context.Context, pieces []piece, body *buffer) error {
	if len(pieces) == 0 {
		return nil
	}
	head := body.split(sizeOf(pieces))
	errs := make([]error, len(pieces))
	turns := make(chan struct{}, readersAtOnce)
	var work sync.WaitGroup
	for i, p := range pieces {
		turns <- struct{}{}
		work.Go(func() {
			errs[i] = b.readRange(ctx, p.all(), io.NewOffsetWriter(&head, p.start-pieces[0].start))
			<-turns
		})
	}
	work.Wait()
	body.prepend(head)
	return errors.Join(errs...)
}
