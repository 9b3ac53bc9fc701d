package filestore

import (
	"sync"
	"sync/atomic"
)

const (
	// smallBuffer is what a connection that trickles holds, in bytes: what
	// net/http has read ahead fits.
	smallBuffer = 4 << 10
	// largeBuffer is what one that delivers holds, as long as each read
	// brings at least worthLarge bytes.
	largeBuffer = 128 << 10
	worthLarge  = 8 << 10
	// maxLarge is how many connections hold a large buffer at most, which
	// bounds the memory when many deliver at once, to 8 MiB. The others go on
	// with their small one.
	maxLarge = 64
)

// bufferPools has the buffers that bodies are read into. The zero value is ready
// to use.
type bufferPools struct {
	small, large sync.Pool
	larges       atomic.Int32 // in use
}

// readBuffer follows a connection: small while it trickles, large while it
// delivers.
type readBuffer struct {
	space []byte // to read into
	from  *bufferPools
	small *[smallBuffer]byte
	large *[largeBuffer]byte // nil: none is held
	fresh bool               // large has not been read into
}

// acquire returns a buffer for a body that begins.
func (b *bufferPools) acquire() readBuffer {
	small, ok := b.small.Get().(*[smallBuffer]byte)
	if !ok {
		small = new([smallBuffer]byte)
	}
	return readBuffer{space: small[:], from: b, small: small}
}

// acquireLarge returns nil if enough are in use.
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

// adapt is told how many bytes the last read brought. The first one into a
// large buffer may be short: it brings what net/http had read ahead.
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

// release ends the use of b.
func (b *readBuffer) release() {
	b.releaseLarge()
	b.from.small.Put(b.small)
	b.small = nil
}
