package load

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Content is the content of the upload of that number: a function of the number and the
// offset. So no content is stored, any range can be generated and compared anywhere, and
// bytes that are lost, doubled, moved or of another upload are detected.
type Content uint64

// Fill generates the bytes from offset on.
func (c Content) Fill(p []byte, offset int64) {
	for len(p) > 0 {
		if offset%8 == 0 {
			words := len(p) / 8
			c.fillWords(p[:words*8], uint64(offset/8))
			p, offset = p[words*8:], offset+int64(words*8)
		}
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], c.word(uint64(offset/8)))
		n := copy(p, word[offset%8:])
		p, offset = p[n:], offset+int64(n)
	}
}

// fillWords generates whole words, from the first on.
func (c Content) fillWords(p []byte, first uint64) {
	for ; len(p) >= 8; p = p[8:] {
		binary.LittleEndian.PutUint64(p, c.word(first))
		first++
	}
}

// word returns the i-th eight bytes, from the generator splitmix64 with a seed for each
// upload.
func (c Content) word(i uint64) uint64 {
	x := uint64(c)*0xd1342543de82ef95 + (i+1)*0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// Compare reads got to its end, which must be at length, and returns an error about the
// first difference.
func (c Content) Compare(got io.Reader, length int64) error {
	want, have := make([]byte, min(length, 64<<10)), make([]byte, min(length, 64<<10))
	for offset := int64(0); offset < length; {
		n := min(length-offset, int64(len(want)))
		c.Fill(want[:n], offset)
		m, err := io.ReadFull(got, have[:n])
		if i := firstDifference(want[:m], have[:m]); i >= 0 {
			return fmt.Errorf("byte %d is wrong", offset+int64(i))
		}
		if err != nil {
			return fmt.Errorf("ends after %d of %d bytes: %w", offset+int64(m), length, err)
		}
		offset += n
	}
	switch n, err := io.ReadFull(got, make([]byte, 1)); {
	case n > 0:
		return fmt.Errorf("goes on behind its %d bytes", length)
	case !errors.Is(err, io.EOF):
		return err
	}
	return nil
}

// firstDifference returns an index in two slices of one length, or -1 if they are
// equal.
func firstDifference(a, b []byte) int {
	if bytes.Equal(a, b) {
		return -1
	}
	for i := range a {
		if a[i] != b[i] {
			return i
		}
	}
	return -1
}
