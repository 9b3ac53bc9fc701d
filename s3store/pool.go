package s3store

import (
	"context"
	"fmt"
	"slices"
	"sync"
)

// blockSize is the unit in which memory for bodies is handed out, in bytes.
const blockSize = 256 << 10

// pool is the memory for bytes on their way to the service. It is reserved
// before it is used. Who waits for memory gets it in order of arrival; nobody
// waits while holding some, so that all get on.
type pool struct {
	size int64

	mu     sync.Mutex
	free   int64 // bytes that are not reserved
	queue  []*poolWaiter
	blocks [][]byte // made and not in use
	waits  int64
}

type poolWaiter struct {
	n     int64
	ready chan struct{}
}

func newPool(size int64) *pool { return &pool{size: size, free: size} }

// MemoryUse is how the memory for bodies is used.
type MemoryUse struct {
	Size     int64 // bytes
	Reserved int64 // bytes
	Waiting  int   // requests that wait for memory now
	Waits    int64 // requests that have had to, since the start
}

// Memory tells how the memory for bodies is used.
func (s *Store) Memory() MemoryUse {
	b := s.opened.Load()
	if b == nil {
		return MemoryUse{}
	}
	return b.memory.use()
}

func (p *pool) use() MemoryUse {
	p.mu.Lock()
	defer p.mu.Unlock()
	return MemoryUse{Size: p.size, Reserved: p.size - p.free, Waiting: len(p.queue), Waits: p.waits}
}

// reserve waits for n bytes, at most until ctx ends. The caller holds none.
func (p *pool) reserve(ctx context.Context, n int64) error {
	if n > p.size {
		return fmt.Errorf("%d bytes of memory are needed, there are %d for all requests", n, p.size)
	}
	p.mu.Lock()
	if len(p.queue) == 0 && n <= p.free {
		p.free -= n
		p.mu.Unlock()
		return nil
	}
	w := &poolWaiter{n, make(chan struct{})}
	p.queue = append(p.queue, w)
	p.waits++
	p.mu.Unlock()
	select {
	case <-w.ready:
		return nil
	case <-ctx.Done():
		p.abandon(w)
		return context.Cause(ctx)
	}
}

// abandon ends a wait, or gives back what came together with its end.
func (p *pool) abandon(w *poolWaiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.queue, w); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
	} else {
		p.free += w.n
	}
	p.serve()
}

// tryReserve reserves n bytes if they are free and nobody waits.
func (p *pool) tryReserve(n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 || n > p.free {
		return false
	}
	p.free -= n
	return true
}

// contended tells whether somebody waits.
func (p *pool) contended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) > 0
}

// release gives back n bytes and the blocks that were made of them.
func (p *pool) release(n int64, blocks [][]byte) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, block := range blocks {
		p.blocks = append(p.blocks, block[:0])
	}
	p.free += n
	p.serve()
}

// serve lets those go on that have waited longest. The caller holds p.mu.
func (p *pool) serve() {
	for len(p.queue) > 0 && p.queue[0].n <= p.free {
		p.free -= p.queue[0].n
		close(p.queue[0].ready)
		p.queue = p.queue[1:]
	}
}

// block returns an empty block of memory that the caller has reserved.
func (p *pool) block() []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if last := len(p.blocks) - 1; last >= 0 {
		block := p.blocks[last]
		p.blocks = p.blocks[:last]
		return block
	}
	return make([]byte, 0, blockSize)
}

// inBlocks rounds n up to whole blocks.
func inBlocks(n int64) int64 { return ceilDiv(n, blockSize) * blockSize }
