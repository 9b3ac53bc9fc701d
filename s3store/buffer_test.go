package s3store

import (
	"bytes"
	"io"
	"testing"
)

// filledBuffer holds content, in a small block and several of the pool.
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

// Wherever a reader is, it writes what is left, as often as it is wanted.
func TestBufferWritesWhatIsLeft(t *testing.T) {
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
			t.Errorf("behind it: %d bytes, %v", len(rest), err)
		}
	}
}

// failing takes so many bytes.
type failing struct{ room int }

func (f *failing) Write(p []byte) (int, error) {
	if len(p) > f.room {
		return f.room, io.ErrShortWrite
	}
	f.room -= len(p)
	return len(p), nil
}

func TestBufferReportsAWriterThatFails(t *testing.T) {
	b := filledBuffer(t, make([]byte, blockSize))
	if n, err := b.reader().WriteTo(&failing{room: smallBlock + 5}); n != smallBlock+5 || err != io.ErrShortWrite {
		t.Errorf("%d bytes, %v", n, err)
	}
}
