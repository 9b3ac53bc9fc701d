package s3store

import (
	"context"
	"errors"
	"io"
	"slices"
	"sync"
)

// tailObject is an object with bytes of the upload that are not in a part,
// because they are too few.
type tailObject struct {
	start, size int64
	key         string
	etag        string // "": not known
}

func (p tailObject) end() int64 { return p.start + p.size }

func (p tailObject) wholeRange() objectRange {
	return objectRange{key: p.key, size: p.size, total: p.size, etag: p.etag}
}

func sizeOfTail(tail []tailObject) int64 {
	if len(tail) == 0 {
		return 0
	}
	return tail[len(tail)-1].end() - tail[0].start
}

func keysOf(objects []tailObject) []string {
	keys := make([]string, len(objects))
	for i, p := range objects {
		keys[i] = p.key
	}
	return keys
}

// withTailObject returns tail with one more object.
func withTailObject(tail []tailObject, p tailObject) []tailObject {
	i, _ := slices.BinarySearchFunc(tail, p.start, func(q tailObject, start int64) int {
		return int(min(max(q.start-start, -1), 1))
	})
	return slices.Insert(slices.Clone(tail), i, p)
}

// withoutTailObjects returns tail without the objects in removed.
func withoutTailObjects(tail, removed []tailObject) []tailObject {
	return slices.DeleteFunc(slices.Clone(tail), func(p tailObject) bool { return slices.Contains(removed, p) })
}

// sameTailObjects reports whether two listings have the same tail objects.
func sameTailObjects(a, b []tailObject) bool {
	return slices.EqualFunc(a, b, func(p, q tailObject) bool {
		return p.start == q.start && p.size == q.size && p.key == q.key && sameETag(p.etag, q.etag)
	})
}

// putTailObject stores the bytes of body as the tail object that begins at start. It also
// returns the tail object if it is not known whether the call was executed.
func (b *bucket) putTailObject(ctx context.Context, id string, start int64, body *buffer) (tailObject, error) {
	p := tailObject{start: start, size: body.size, key: b.tailKey(id, start)}
	var err error
	p.etag, err = b.put(ctx, PutObject{Key: p.key, Body: body.reader(), Size: p.size, IfNoneMatch: true})
	return p, err
}

// parallelTailReads is how many objects of one tail are read at the same time.
const parallelTailReads = 8

// readTail reads the bytes of a tail into memory that body has reserved, and
// puts them before the bytes of body.
func (b *bucket) readTail(ctx context.Context, tail []tailObject, body *buffer) error {
	if len(tail) == 0 {
		return nil
	}
	head := body.split(sizeOfTail(tail))
	errs := make([]error, len(tail))
	slots := make(chan struct{}, parallelTailReads)
	var work sync.WaitGroup
	for i, p := range tail {
		slots <- struct{}{}
		work.Go(func() {
			errs[i] = b.readRange(ctx, p.wholeRange(), io.NewOffsetWriter(&head, p.start-tail[0].start))
			<-slots
		})
	}
	work.Wait()
	body.prepend(head)
	return errors.Join(errs...)
}
