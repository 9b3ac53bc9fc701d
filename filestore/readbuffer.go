package filestore

import (
	"math"
	"sync"
	"sync/atomic"
)

// bufferSize is one size of buffer.
type bufferSize struct {
	bytes int   // a read that fills the whole buffer gets the next size
	worth int   // two reads of less, one after the other, get the previous size
	max   int32 // the number of connections that can have one at a time; the others keep a smaller one
}

// bufferSizes are the sizes of buffers: a small one while the server waits for a slow
// connection, that of the read-ahead of net/http, and at most 8 MiB for all others
// together. Each size divides the next.
var bufferSizes = [...]bufferSize{
	{bytes: 512, max: math.MaxInt32},
	{bytes: 4 << 10, worth: 512, max: math.MaxInt32},
	{bytes: 32 << 10, worth: 8 << 10, max: 64},
	{bytes: largestBuffer, worth: 32 << 10, max: 24},
}

// firstBuffer is the index of the size with which a body begins: a small upload is read at
// once.
const firstBuffer = 1

// largestBuffer is the largest size, in bytes. Writes end at its multiples.
const largestBuffer = 256 << 10

// bufferPools has the buffers that chunks are read into. The zero value is ready to
// use.
type bufferPools [len(bufferSizes)]struct {
	free  sync.Pool
	inUse atomic.Int32
}

// take returns a buffer of the size with this index, or nil if too many are in use.
func (b *bufferPools) take(size int) *[]byte {
	pool := &b[size]
	if pool.inUse.Add(1) > bufferSizes[size].max {
		pool.inUse.Add(-1)
		return nil
	}
	if free, ok := pool.free.Get().(*[]byte); ok {
		return free
	}
	fresh := make([]byte, bufferSizes[size].bytes)
	return &fresh
}

// giveBack takes a buffer back.
func (b *bufferPools) giveBack(size int, buffer *[]byte) {
	b[size].free.Put(buffer)
	b[size].inUse.Add(-1)
}

// readBuffer grows and shrinks with the rate of the connection.
type readBuffer struct {
	from  *bufferPools
	all   *[]byte
	size  int  // the index of its size
	short bool // the last read was not worth this size
}

// acquire returns a buffer for a body that begins.
func (b *bufferPools) acquire() readBuffer {
	return readBuffer{from: b, all: b.take(firstBuffer), size: firstBuffer}
}

// at returns the space for the read whose bytes are written at offset. It ends at the
// next multiple of largestBuffer, so that a fast body is in step again after a short read
// or an odd start: the kernel needs less time for a large write that begins at a multiple
// of its size.
func (b *readBuffer) at(offset int64) []byte {
	return (*b.all)[:min(int64(len(*b.all)), largestBuffer-offset%largestBuffer)]
}

// adapt chooses the buffer for the next read, after one that returned n bytes of the
// space it was given. One short read says nothing about the connection: net/http returns
// the rest of its read-ahead on its own.
func (b *readBuffer) adapt(n int, space []byte) {
	wasShort := b.short
	b.short = n < len(space) && n < bufferSizes[b.size].worth
	switch {
	case n == len(*b.all) && b.size+1 < len(bufferSizes):
		b.change(b.size + 1)
	case b.short && wasShort:
		b.shrink(n)
	}
}

// shrink chooses a smaller buffer, for reads of n bytes. There is always a small one.
func (b *readBuffer) shrink(n int) {
	size := b.size - 1
	for n < bufferSizes[size].worth || !b.change(size) {
		size--
	}
}

// change replaces the buffer by one of another size, and reports whether there is one.
func (b *readBuffer) change(size int) bool {
	other := b.from.take(size)
	if other == nil {
		return false
	}
	b.release()
	b.all, b.size, b.short = other, size, false
	return true
}

func (b *readBuffer) release() { b.from.giveBack(b.size, b.all) }
