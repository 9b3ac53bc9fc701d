package s3store

import (
	"slices"
	"sync"
	"time"
)

// idleAfter is how long unused blocks keep their memory: once to twice that
// time.
const idleAfter = 10 * time.Second

// freeBlocks are the blocks of a pool that are not in use. The zero value is
// ready to use: blocks are allocated when they are needed.
type freeBlocks struct {
	mu     sync.Mutex
	free   [][]byte    // the last used at the end
	idle   int         // how many of free were not used since returnIdle ran
	vacant [][]byte    // without memory
	timer  *time.Timer // calls returnIdle; nil: no block is free
}

// get returns an empty block.
func (b *freeBlocks) get() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	block, ok := pop(&b.free)
	if !ok {
		block, ok = pop(&b.vacant)
	}
	if !ok {
		block = newBlock()
	}
	b.idle = min(b.idle, len(b.free))
	return block
}

func pop(blocks *[][]byte) ([]byte, bool) {
	last := len(*blocks) - 1
	if last < 0 {
		return nil, false
	}
	block := (*blocks)[last]
	*blocks = (*blocks)[:last]
	return block, true
}

// put makes a block available again.
func (b *freeBlocks) put(block []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, block[:0])
	b.watchIdle()
}

// returnIdle returns the memory of blocks that are idle to the system.
func (b *freeBlocks) returnIdle() {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, block := range b.free[:b.idle] {
		returnMemory(block)
	}
	b.vacant = append(b.vacant, b.free[:b.idle]...)
	b.free = slices.Delete(b.free, 0, b.idle)
	b.idle, b.timer = len(b.free), nil
	b.watchIdle()
}

// watchIdle schedules returnIdle if blocks are free. The caller holds b.mu.
func (b *freeBlocks) watchIdle() {
	if b.timer == nil && len(b.free) > 0 {
		b.timer = time.AfterFunc(idleAfter, b.returnIdle)
	}
}
