package s3store

import (
	"context"
	"io"
)

// buffer holds bytes on their way to the service, in blocks of a pool.
type buffer struct {
	pool     *pool
	reserved int64 // bytes, of which the blocks are a part
	blocks   [][]byte
	size     int64
}

// reserve makes sure of room for n bytes. It waits, so the buffer must be empty.
func (b *buffer) reserve(ctx context.Context, n int64) error {
	n = inBlocks(n)
	if err := b.pool.reserve(ctx, n); err != nil {
		return err
	}
	b.reserved += n
	return nil
}

// space returns where the next bytes go, at least one, beside room for others
// more. It returns nil if there is no memory.
func (b *buffer) space(others int64) []byte {
	if len(b.blocks) > 0 {
		if last := b.blocks[len(b.blocks)-1]; len(last) < cap(last) {
			return last[len(last):cap(last)]
		}
	}
	used := int64(len(b.blocks)+1) * blockSize
	if b.reserved < used+inBlocks(others) {
		if !b.pool.tryReserve(blockSize) {
			return nil
		}
		b.reserved += blockSize
	}
	b.blocks = append(b.blocks, b.pool.block())
	return b.blocks[len(b.blocks)-1][:blockSize]
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
	head := buffer{pool: b.pool, reserved: inBlocks(size), size: size}
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

// prepend puts the bytes of head before those of b, and its memory to b's.
func (b *buffer) prepend(head buffer) {
	b.blocks = append(head.blocks, b.blocks...)
	b.size += head.size
	b.reserved += head.reserved
}

// discard gives the memory back.
func (b *buffer) discard() {
	if b.reserved > 0 {
		b.pool.release(b.reserved, b.blocks)
	}
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
func (b *buffer) reader() *io.SectionReader { return io.NewSectionReader(b, 0, b.size) }
