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

// piece is an object with bytes of the upload that are not in a part.
type piece struct {
	start, size int64
	key         string
	etag        string // "": not known
}

func (p piece) end() int64 { return p.start + p.size }

func sizeOf(pieces []piece) int64 {
	if len(pieces) == 0 {
		return 0
	}
	return pieces[len(pieces)-1].end() - pieces[0].start
}

// without returns the pieces that are not in removed.
func without(pieces, removed []piece) []piece {
	return slices.DeleteFunc(slices.Clone(pieces), func(p piece) bool { return slices.Contains(removed, p) })
}

func keysOf(pieces []piece) []string {
	keys := make([]string, len(pieces))
	for i, p := range pieces {
		keys[i] = p.key
	}
	return keys
}

// samePieces tells whether a listing has the same objects.
func samePieces(a, b []piece) bool {
	return slices.EqualFunc(a, b, func(p, q piece) bool {
		return p.start == q.start && p.size == q.size && p.key == q.key && sameETag(p.etag, q.etag)
	})
}

func (p piece) all() objectRange {
	return objectRange{key: p.key, size: p.size, total: p.size, etag: p.etag}
}
