//go:build !linux

package s3store

func newBlock() []byte { return make([]byte, 0, blockSize) }

// vacate can do nothing with memory of Go's heap.
func vacate([]byte) {}
