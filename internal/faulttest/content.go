//go:build linux

package faulttest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
)

// Source is a sequence of bytes that depend on a seed and their offset. Any range of it can
// be made again to compare it, and differs from every other range and every other source.
type Source struct {
	Seed   uint64
	Length int64
}

// Content is the content of an upload: one source, or those of its partial uploads.
type Content []Source

// Length is the number of bytes.
func (c Content) Length() (sum int64) {
	for _, s := range c {
		sum += s.Length
	}
	return sum
}

// Reader returns the bytes from offset to the end.
func (c Content) Reader(offset int64) io.Reader {
	var rest []io.Reader
	for _, s := range c {
		if offset >= s.Length {
			offset -= s.Length
			continue
		}
		rest = append(rest, io.NewSectionReader(s, offset, s.Length-offset))
		offset = 0
	}
	return io.MultiReader(rest...)
}

// Bytes returns n bytes from offset, or fewer at the end.
func (c Content) Bytes(offset, n int64) []byte {
	b := make([]byte, max(min(n, c.Length()-offset), 0))
	io.ReadFull(c.Reader(offset), b) // cannot fail
	return b
}

// Compare reads got to its end and reports the first difference.
func (c Content) Compare(got io.Reader) error {
	want := c.Reader(0)
	a, b := make([]byte, 64<<10), make([]byte, 64<<10)
	for offset := int64(0); ; {
		n, err := io.ReadFull(want, a)
		m, gotErr := io.ReadFull(got, b[:n])
		if i := mismatch(a[:m], b[:m]); i >= 0 {
			return fmt.Errorf("byte %d is wrong", offset+int64(i))
		}
		if m < n {
			return fmt.Errorf("ends after %d of %d bytes: %w", offset+int64(m), c.Length(), gotErr)
		}
		offset += int64(n)
		if err != nil {
			return atEnd(got, offset)
		}
	}
}

// atEnd returns an error if got has more bytes.
func atEnd(got io.Reader, offset int64) error {
	n, err := io.Copy(io.Discard, got)
	if n > 0 {
		return fmt.Errorf("%d bytes too many behind byte %d", n, offset)
	}
	return err
}

// mismatch is the index of the first difference of two slices of one length,
// -1 if there is none.
func mismatch(a, b []byte) int {
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

// ReadAt implements io.ReaderAt. It shares nothing, and the race detector would make it ten
// times slower.
//
//go:norace
func (s Source) ReadAt(p []byte, offset int64) (n int, err error) {
	if left := s.Length - offset; int64(len(p)) > left {
		p, err = p[:max(left, 0)], io.EOF
	}
	for n < len(p) {
		at := offset + int64(n)
		if at%8 == 0 && len(p)-n >= 8 {
			binary.LittleEndian.PutUint64(p[n:], s.word(at/8))
			n += 8
			continue
		}
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], s.word(at/8))
		n += copy(p[n:], word[at%8:])
	}
	return n, err
}

// word returns the i-th eight bytes.
func (s Source) word(i int64) uint64 {
	x := s.Seed + uint64(i+1)*0x9e3779b97f4a7c15 // the generator splitmix64
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
