package s3store

import (
	"slices"
	"sync"
	"time"
)

// idleAfter is how long memory is kept that nobody uses: once to twice that
// time.
const idleAfter = 10 * time.Second

// freeBlocks are the blocks of a pool that are not in use. The zero value is ready
// to use: blocks are made when they are needed.
type freeBlocks struct {
	mu     sync.Mutex
	free   [][]byte    // that last used at the end
	idle   int         // how many of free were not used since returnIdle ran
	vacant [][]byte    // without memory
	timer  *time.Timer // calls returnIdle; nil: there is nothing for it
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

// put takes back a block that is not used any more.
func (b *freeBlocks) put(block []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.free = append(b.free, block[:0])
	b.watchIdle()
}

// returnIdle gives the memory of blocks that nobody has used for a while back
// to the system.
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

// watchIdle lets returnIdle run in a while if there may be something for it.
// The caller holds b.mu.
func (b *freeBlocks) watchIdle() {
	if b.timer == nil && len(b.free) > 0 {
		b.timer = time.AfterFunc(idleAfter, b.returnIdle)
	}
}
