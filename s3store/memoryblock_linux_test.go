package s3store

import (
	"runtime"
	"testing"
)

// The memory of the pool is outside of Go's heap, which would grow to twice its size.
func TestBlocksAreNotGarbageCollected(t *testing.T) {
	const made = 256
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	var b freeBlocks
	for range made {
		returnMemory(append(b.get(), "content"...))
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapSys) - int64(before.HeapSys); grown > made*blockSize/2 {
		t.Errorf("%d blocks add %d bytes to the heap", made, grown)
	}
}
