package s3store

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"
)

// blockSize is the unit of the pool's memory, in bytes.
const blockSize = 256 << 10

// smallBlock is the size of the first block of a body, in bytes. It is not
// memory of the pool, so that a slow body does not keep memory from others.
const smallBlock = 16 << 10

// lowerAfter is how long a request waits for all the memory that it wants,
// before it accepts less.
const lowerAfter = 2 * time.Second

// memoryPool is the memory for bytes on their way to the service. Memory is
// reserved before it is used. Requests get memory in order of arrival. No
// request waits for memory while it has some, so there is no deadlock.
type memoryPool struct {
	size int64

	mu     sync.Mutex
	free   int64 // bytes that are not reserved
	pinned int64 // bytes of blocks that a Read fills
	queue  []*memoryWaiter
	waits  int64

	blocks freeBlocks
	smalls sync.Pool // of *[smallBlock]byte
}

type memoryWaiter struct {
	n     int64
	ready chan struct{}
}

func newMemoryPool(size int64) *memoryPool { return &memoryPool{size: size, free: size} }

// MemoryUse says how the memory pool is used.
type MemoryUse struct {
	Size     int64 // bytes
	Reserved int64 // bytes
	Waiting  int   // requests that wait for memory now
	Waits    int64 // requests that had to wait, since the start
}

// Memory returns the use of the memory pool.
func (s *Store) Memory() MemoryUse {
	b := s.opened.Load()
	if b == nil {
		return MemoryUse{}
	}
	return b.memory.use()
}

func (p *memoryPool) use() MemoryUse {
	p.mu.Lock()
	defer p.mu.Unlock()
	return MemoryUse{Size: p.size, Reserved: p.size - p.free, Waiting: len(p.queue), Waits: p.waits}
}

// reserve waits for memory until ctx ends: for the wanted bytes, or, after
// lowerAfter, for the least. The caller has no memory of the pool.
func (p *memoryPool) reserve(ctx context.Context, wanted, least int64) (int64, error) {
	if least > p.size {
		return 0, fmt.Errorf("%d bytes of buffer memory are needed at once, there are %d for all requests", least, p.size)
	}
	wanted = min(wanted, p.size)
	if p.tryReserve(wanted) {
		return wanted, nil
	}
	w := p.enqueue(wanted)
	long := time.NewTimer(lowerAfter)
	defer long.Stop()
	for {
		select {
		case <-w.ready:
			return w.n, nil
		case <-long.C:
			p.lower(w, least)
		case <-ctx.Done():
			p.abandon(w)
			return 0, context.Cause(ctx)
		}
	}
}

func (p *memoryPool) enqueue(n int64) *memoryWaiter {
	p.mu.Lock()
	defer p.mu.Unlock()
	w := &memoryWaiter{n, make(chan struct{})}
	p.queue = append(p.queue, w)
	p.waits++
	p.grant() // it may have become free
	return w
}

// lower lowers a waiting request to n bytes.
func (p *memoryPool) lower(w *memoryWaiter, n int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if slices.Contains(p.queue, w) {
		w.n = n
		p.grant()
	}
}

// abandon removes a request from the queue, or frees the memory that it was
// granted meanwhile.
func (p *memoryPool) abandon(w *memoryWaiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if i := slices.Index(p.queue, w); i >= 0 {
		p.queue = slices.Delete(p.queue, i, i+1)
	} else {
		p.free += w.n
	}
	p.grant()
}

// tryReserve reserves n bytes if they are free and no request waits. It reports
// whether it has.
func (p *memoryPool) tryReserve(n int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.queue) > 0 || n > p.free {
		return false
	}
	p.free -= n
	return true
}

// contended reports whether a request waits for memory.
func (p *memoryPool) contended() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.queue) > 0
}

// pin reports whether a Read may fill a block of the pool. The block cannot be
// freed before the Read returns, so at most a quarter of the memory is pinned.
// The caller calls unpin afterwards.
func (p *memoryPool) pin() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.pinned+blockSize > p.size/4 {
		return false
	}
	p.pinned += blockSize
	return true
}

func (p *memoryPool) unpin() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pinned -= blockSize
}

// release frees n reserved bytes, and blocks for reuse.
func (p *memoryPool) release(n int64, blocks [][]byte) {
	for _, block := range blocks {
		if cap(block) == smallBlock {
			p.smalls.Put((*[smallBlock]byte)(block[:smallBlock]))
		} else {
			p.blocks.put(block)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.free += n
	p.grant()
}

// grant gives free memory to the requests that have waited longest. The caller
// holds p.mu.
func (p *memoryPool) grant() {
	for len(p.queue) > 0 && p.queue[0].n <= p.free {
		p.free -= p.queue[0].n
		close(p.queue[0].ready)
		p.queue = p.queue[1:]
	}
}

// block returns an empty block of memory that the caller has reserved.
func (p *memoryPool) block() []byte { return p.blocks.get() }

// small returns an empty block that is not memory of the pool.
func (p *memoryPool) small() []byte {
	if block, ok := p.smalls.Get().(*[smallBlock]byte); ok {
		return block[:0]
	}
	return make([]byte, 0, smallBlock)
}

// roundToBlocks rounds n up to whole blocks.
func roundToBlocks(n int64) int64 { return ceilDiv(n, blockSize) * blockSize }
