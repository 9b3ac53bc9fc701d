package s3store

import "syscall"

// newBlock returns memory that is not of Go's heap. The garbage collector lets
// as much garbage pile up as there is memory in use, which with the pool in
// the heap would double it.
func newBlock() []byte {
	block, err := syscall.Mmap(-1, 0, blockSize, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		return make([]byte, 0, blockSize)
	}
	return block[:0]
}

// returnMemory gives the memory of a block that is not in use to the system, until
// it is written to again. The block itself stays: a connection that is about
// to fail may still read it.
func returnMemory(block []byte) {
	_ = syscall.Madvise(block[:blockSize], syscall.MADV_DONTNEED) // or it stays in memory
}
