package filestore

import (
	"sync"
	"sync/atomic"
)

const (
	// smallBuffer is the size of the buffer of a slow connection, in bytes: that of the
	// read-ahead of net/http.
	smallBuffer = 4 << 10
	// largeBuffer is the size of the buffer of a fast connection, in bytes. A read that
	// fills the small buffer gets it; a later read of less than worthLarge bytes gives
	// it back.
	largeBuffer = 128 << 10
	worthLarge  = 8 << 10
	// maxLarge is the number of connections that can have a large buffer at a time: 8 MiB
	// in all. The others keep their small one.
	maxLarge = 64
)

// bufferPools has the buffers that chunks are read into. The zero value is ready to
// use.
type bufferPools struct {
	small, large sync.Pool
	larges       atomic.Int32 // in use
}

// readBuffer is small while the connection is slow, and large while it is fast.
type readBuffer struct {
	space []byte // to read into
	from  *bufferPools
	small *[smallBuffer]byte
	large *[largeBuffer]byte // nil: none
	fresh bool               // large is unused
}

// acquire returns a buffer for a body that begins.
func (b *bufferPools) acquire() readBuffer {
	small, ok := b.small.Get().(*[smallBuffer]byte)
	if !ok {
		small = new([smallBuffer]byte)
	}
	return readBuffer{space: small[:], from: b, small: small}
}

// acquireLarge returns nil if maxLarge are in use.
func (b *bufferPools) acquireLarge() *[largeBuffer]byte {
	if b.larges.Add(1) > maxLarge {
		b.larges.Add(-1)
		return nil
	}
	if large, ok := b.large.Get().(*[largeBuffer]byte); ok {
		return large
	}
	return new([largeBuffer]byte)
}

// adapt chooses the buffer for the next read after one of n bytes. The first read
// into a large buffer may be short: it returns the read-ahead of net/http.
func (b *readBuffer) adapt(n int) {
	fresh := b.fresh
	b.fresh = false
	switch {
	case b.large == nil && n == smallBuffer:
		if b.large = b.from.acquireLarge(); b.large != nil {
			b.space, b.fresh = b.large[:], true
		}
	case b.large != nil && n < worthLarge && !fresh:
		b.releaseLarge()
		b.space = b.small[:]
	}
}

func (b *readBuffer) releaseLarge() {
	if b.large == nil {
		return
	}
	b.from.large.Put(b.large)
	b.from.larges.Add(-1)
	b.large = nil
}

func (b *readBuffer) release() {
	b.releaseLarge()
	b.from.small.Put(b.small)
	b.small = nil
}
