package s3store

import (
	"context"
	"io"
	"time"
)

// buffer holds bytes on their way to the service: in a small block, then in
// blocks of a pool.
type buffer struct {
	pool     *memoryPool
	reserved int64     // bytes of the pool, of which its blocks are a part
	since    time.Time // when it got memory of the pool
	blocks   [][]byte
	size     int64
}

// reserve makes sure of room for wanted bytes, or, if that takes long, for the
// least that helps. It waits, so the buffer must have nothing of the pool.
func (b *buffer) reserve(ctx context.Context, wanted, least int64) error {
	n, err := b.pool.reserve(ctx, roundToBlocks(wanted), roundToBlocks(least))
	if err == nil {
		b.reserved, b.since = n, time.Now()
	}
	return err
}

// tryReserve makes sure of room for n bytes more, if there is some at once.
func (b *buffer) tryReserve(n int64) bool {
	n = roundToBlocks(n)
	if n > 0 && !b.pool.tryReserve(n) {
		return false
	}
	if b.reserved == 0 {
		b.since = time.Now()
	}
	b.reserved += n
	return true
}

// space returns where the next bytes go, at least one. It returns nil if there
// is no memory.
func (b *buffer) space() []byte {
	if last := len(b.blocks) - 1; last >= 0 && len(b.blocks[last]) < cap(b.blocks[last]) {
		block := b.blocks[last]
		return block[len(block):cap(block)]
	}
	block := b.nextBlock()
	if block == nil {
		return nil
	}
	b.blocks = append(b.blocks, block)
	return block[:cap(block)]
}

func (b *buffer) nextBlock() []byte {
	switch {
	case len(b.blocks) == 0:
		return b.pool.small()
	case b.used() < b.reserved, b.tryReserve(blockSize):
		return b.pool.block()
	}
	return nil
}

// used counts the bytes of the pool that are in blocks.
func (b *buffer) used() int64 {
	var n int64
	for _, block := range b.blocks {
		n += pooled(block)
	}
	return n
}

// pooled is how much of the pool a block takes.
func pooled(block []byte) int64 {
	if cap(block) == smallBlock {
		return 0
	}
	return blockSize
}

// lastPooled is how much of the pool the block takes that is being filled.
func (b *buffer) lastPooled() int64 {
	if len(b.blocks) == 0 {
		return 0
	}
	return pooled(b.blocks[len(b.blocks)-1])
}

// write adds p, for which there is space, or which a small block holds.
func (b *buffer) write(p []byte) {
	b.filled(copy(b.space(), p))
}

// filled tells that n bytes of the space have been written to.
func (b *buffer) filled(n int) {
	if n == 0 {
		return
	}
	last := len(b.blocks) - 1
	b.blocks[last] = b.blocks[last][:len(b.blocks[last])+n]
	b.size += int64(n)
}

// split moves the memory for size bytes, which b has reserved and not used, to
// a buffer of so many bytes.
func (b *buffer) split(size int64) buffer {
	head := buffer{pool: b.pool, reserved: roundToBlocks(size), size: size}
	b.reserved -= head.reserved
	for left := size; left > 0; left -= blockSize {
		head.blocks = append(head.blocks, b.pool.block()[:min(left, blockSize)])
	}
	return head
}

// WriteAt implements io.WriterAt within the bytes that b has.
func (b *buffer) WriteAt(p []byte, at int64) (n int, err error) {
	for _, block := range b.blocks {
		if at >= int64(len(block)) {
			at -= int64(len(block))
			continue
		}
		n += copy(block[at:], p[n:])
		if at = 0; n == len(p) {
			return n, nil
		}
	}
	return n, io.ErrShortBuffer
}

// take moves all that b has, its memory included, to a buffer of its own.
func (b *buffer) take() buffer {
	taken := *b
	*b = buffer{pool: b.pool}
	return taken
}

// takeLast moves the block that is being filled to a buffer of its own.
func (b *buffer) takeLast() buffer {
	last := len(b.blocks) - 1
	block := b.blocks[last]
	taken := buffer{
		pool: b.pool, reserved: pooled(block), since: time.Now(),
		blocks: [][]byte{block}, size: int64(len(block)),
	}
	b.blocks, b.size, b.reserved = b.blocks[:last], b.size-taken.size, b.reserved-taken.reserved
	return taken
}

// prepend puts the bytes of head before those of b, and its memory to b's.
func (b *buffer) prepend(head buffer) {
	b.blocks = append(head.blocks, b.blocks...)
	b.size += head.size
	b.reserved += head.reserved
}

// discard gives the memory back.
func (b *buffer) discard() {
	b.pool.release(b.reserved, b.blocks)
	*b = buffer{pool: b.pool}
}

// ReadAt implements io.ReaderAt.
func (b *buffer) ReadAt(p []byte, at int64) (n int, err error) {
	for _, block := range b.blocks {
		if at >= int64(len(block)) {
			at -= int64(len(block))
			continue
		}
		n += copy(p[n:], block[at:])
		if at = 0; n == len(p) {
			return n, nil
		}
	}
	return n, io.EOF
}

// reader reads all bytes, as often as it is wanted.
func (b *buffer) reader() *bufferReader {
	return &bufferReader{SectionReader: io.NewSectionReader(b, 0, b.size), b: b}
}

// bufferReader reads the bytes of a buffer.
type bufferReader struct {
	*io.SectionReader
	b *buffer
}

// WriteTo implements io.WriterTo: w gets what is left, block by block and
// without a copy.
func (r *bufferReader) WriteTo(w io.Writer) (n int64, err error) {
	at, err := r.Seek(0, io.SeekCurrent)
	if err != nil {
		return 0, err
	}
	for _, block := range r.b.blocks {
		skipped := min(at, int64(len(block)))
		at -= skipped
		written, err := w.Write(block[skipped:])
		n += int64(written)
		if err != nil {
			return n, err
		}
	}
	_, err = r.Seek(0, io.SeekEnd)
	return n, err
}
