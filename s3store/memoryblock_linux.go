package s3store

import "syscall"

// newBlock allocates a block outside Go's heap. The garbage collector lets as
// much garbage accumulate as there is memory in use; with the pool in the heap
// that would double its memory.
func newBlock() []byte {
	block, err := syscall.Mmap(-1, 0, blockSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]byte, 0, blockSize)
	}
	return block[:0]
}

// returnMemory returns the memory of an unused block to the system until it is
// written to again. The block stays mapped: a connection that is about to fail
// may still read it.
func returnMemory(block []byte) {
	_ = syscall.Madvise(block[:blockSize], syscall.MADV_DONTNEED) // or it stays in memory
}
