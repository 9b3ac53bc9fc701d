package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// putPiece stores the bytes of body as the piece that begins at start. It
// reports the piece also if it cannot be told whether it is stored.
func (b *bucket) putPiece(ctx context.Context, id string, start int64, body *buffer) (piece, error) {
	p := piece{start: start, size: body.size, key: b.pieceKey(id, start)}
	_, err := b.put(ctx, PutObject{Key: p.key, Body: body.reader(), Size: p.size, IfNoneMatch: true})
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
			errs[i] = b.readPiece(ctx, p, io.NewOffsetWriter(&head, p.start-pieces[0].start))
			<-turns
		})
	}
	work.Wait()
	body.prepend(head)
	return errors.Join(errs...)
}

func (b *bucket) readPiece(ctx context.Context, p piece, into *io.OffsetWriter) error {
	return b.readRange(ctx, GetObject{Key: p.key}, p.size, into)
}

// readRange copies size bytes, all that in asks for, to a place in memory.
func (b *bucket) readRange(ctx context.Context, in GetObject, size int64, into *io.OffsetWriter) error {
	_, err := retry(ctx, b, "GetObject", size, func(ctx context.Context) (nothing, error) {
		if _, err := into.Seek(0, io.SeekStart); err != nil {
			return nothing{}, err
		}
		o, err := b.client.GetObject(ctx, in)
		if err != nil {
			return nothing{}, err
		}
		defer o.Body.Close()
		if o.Size != size {
			return nothing{}, fmt.Errorf("%w: %s has %d bytes, not %d", errOtherObject, in.Key, o.Size, size)
		}
		_, err = io.CopyN(into, o.Body, size)
		return nothing{}, err
	})
	return err
}
