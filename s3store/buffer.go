package s3store

import (
	"context"
	"io"
	"time"
)

// buffer has bytes on their way to the service: first in a small block, then in
// blocks of a pool.
type buffer struct {
	pool     *memoryPool
	reserved int64     // bytes of the pool, those of blocks included
	since    time.Time // when it reserved memory
	blocks   [][]byte
	size     int64
}

// reserve reserves memory for the wanted bytes, or, if that takes long, for the
// least. It waits, so the buffer must have no memory of the pool.
func (b *buffer) reserve(ctx context.Context, wanted, least int64) error {
	n, err := b.pool.reserve(ctx, roundToBlocks(wanted), roundToBlocks(least))
	if err == nil {
		b.reserved, b.since = n, time.Now()
	}
	return err
}

// tryReserve reserves memory for n more bytes if that is possible at once.
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

// used returns how many bytes of the pool are in blocks.
func (b *buffer) used() int64 {
	var n int64
	for _, block := range b.blocks {
		n += pooled(block)
	}
	return n
}

// pooled returns how much memory of the pool a block takes.
func pooled(block []byte) int64 {
	if cap(block) == smallBlock {
		return 0
	}
	return blockSize
}

// lastPooled returns how much memory of the pool the last block takes.
func (b *buffer) lastPooled() int64 {
	if len(b.blocks) == 0 {
		return 0
	}
	return pooled(b.blocks[len(b.blocks)-1])
}

// write appends p, which fits into space() or into a small block.
func (b *buffer) write(p []byte) {
	b.filled(copy(b.space(), p))
}

// filled records that n bytes were written to space().
func (b *buffer) filled(n int) {
	if n == 0 {
		return
	}
	last := len(b.blocks) - 1
	b.blocks[last] = b.blocks[last][:len(b.blocks[last])+n]
	b.size += int64(n)
}

// split moves memory for size bytes, which b has reserved and not used, to a
// buffer of that size.
func (b *buffer) split(size int64) buffer {
	head := buffer{pool: b.pool, reserved: roundToBlocks(size), size: size}
	b.reserved -= head.reserved
	for left := size; left > 0; left -= blockSize {
		head.blocks = append(head.blocks, b.pool.block()[:min(left, blockSize)])
	}
	return head
}

// WriteAt implements io.WriterAt within the size of b.
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

// take moves the bytes and the memory of b to a buffer of their own.
func (b *buffer) take() buffer {
	taken := *b
	*b = buffer{pool: b.pool}
	return taken
}

// takeLast moves the last block, which a Read fills, to a buffer of its own.
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

// prepend puts the bytes of head before those of b, with their memory.
func (b *buffer) prepend(head buffer) {
	b.blocks = append(head.blocks, b.blocks...)
	b.size += head.size
	b.reserved += head.reserved
}

// discard frees the memory.
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

// reader returns a reader of all bytes. It can seek back to the start.
func (b *buffer) reader() *bufferReader {
	return &bufferReader{SectionReader: io.NewSectionReader(b, 0, b.size), b: b}
}

// bufferReader reads the bytes of a buffer.
type bufferReader struct {
	*io.SectionReader
	b *buffer
}

// WriteTo implements io.WriterTo: it writes the remaining bytes block by block,
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
