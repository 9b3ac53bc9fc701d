package s3store

import (
	"runtime"
	"testing"
	"testing/synctest"
	"time"
)

// The memory of idle blocks is returned to the system, but not that of blocks in use.
func TestIdleBlocksLoseTheirMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b freeBlocks
		var used [][]byte
		for range 8 {
			used = append(used, append(b.get(), "content"...))
		}
		for _, block := range used[1:] {
			b.put(block)
		}
		for range 10 { // one block stays in use, another is used at times
			time.Sleep(idleAfter / 3)
			b.put(append(b.get(), "content"...))
		}
		synctest.Wait()
		if len(b.free) != 1 || len(b.vacant) != 6 {
			t.Fatalf("%d blocks have memory, %d have none, want 1 and 6", len(b.free), len(b.vacant))
		}
		if string(used[0]) != "content" {
			t.Error("a block that is in use has lost its bytes")
		}
		if block := b.vacant[0][:1]; runtime.GOOS == "linux" && block[0] != 0 {
			t.Error("a vacant block still has its bytes")
		}
		if made := b.get(); cap(made) != blockSize || len(b.vacant) != 6 {
			t.Error("a vacant block is used although another is free")
		}
	})
}
