package s3store

import (
	"bytes"
	"io"
	"testing"
)

// filledBuffer returns a buffer with content, in a small block and several blocks of the pool.
func filledBuffer(t *testing.T, content []byte) *buffer {
	t.Helper()
	b := &buffer{pool: newMemoryPool(16 * blockSize)}
	for left := content; len(left) > 0; {
		space := b.space()
		if space == nil {
			t.Fatal("no memory")
		}
		n := copy(space, left)
		b.filled(n)
		left = left[n:]
	}
	return b
}

// WriteTo writes the rest from any offset, and can be repeated after a Seek.
func TestBufferWritesTheRest(t *testing.T) {
	content := make([]byte, 3*blockSize+1000)
	for i := range content {
		content[i] = byte(i * 7 >> 3)
	}
	b := filledBuffer(t, content)
	r := b.reader()
	for _, at := range []int64{0, 1, smallBlock - 1, smallBlock, smallBlock + 1, 2 * blockSize, b.size - 1, b.size, 0} {
		if _, err := r.Seek(at, io.SeekStart); err != nil {
			t.Fatal(err)
		}
		var got bytes.Buffer
		n, err := r.WriteTo(&got)
		if err != nil || n != b.size-at || !bytes.Equal(got.Bytes(), content[at:]) {
			t.Errorf("from %d on: %d bytes, %v; want %d, the same", at, n, err, b.size-at)
		}
		if rest, err := io.ReadAll(r); err != nil || len(rest) > 0 {
			t.Errorf("after the end: %d bytes, %v", len(rest), err)
		}
	}
}

// shortWriter fails after its limit of bytes.
type shortWriter struct{ limit int }

func (f *shortWriter) Write(p []byte) (int, error) {
	if len(p) > f.limit {
		return f.limit, io.ErrShortWrite
	}
	f.limit -= len(p)
	return len(p), nil
}

func TestBufferReturnsErrorOfWriter(t *testing.T) {
	b := filledBuffer(t, make([]byte, blockSize))
	if n, err := b.reader().WriteTo(&shortWriter{limit: smallBlock + 5}); n != smallBlock+5 || err != io.ErrShortWrite {
		t.Errorf("%d bytes, %v", n, err)
	}
}
