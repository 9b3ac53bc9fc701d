package storetest

import (
	"bytes"
	"fmt"
	"io"
	"slices"
)

// blob has the bytes of an upload, or, in a synthetic store, only their number: they are
// Content. Segments grow only at their end, so a clone of the slice is a snapshot.
type blob []segment

// segment is a run of bytes: data, or the first length bytes of Content(id)
// if id is not empty.
type segment struct {
	data   []byte
	id     string
	length int64
}

func (s segment) size() int64 {
	if s.id != "" {
		return s.length
	}
	return int64(len(s.data))
}

func (s segment) readAt(p []byte, offset int64) int {
	p = p[:min(int64(len(p)), s.size()-offset)]
	if s.id != "" {
		Content(s.id, offset, p)
		return len(p)
	}
	return copy(p, s.data[offset:])
}

func (b blob) size() int64 {
	var n int64
	for _, s := range b {
		n += s.size()
	}
	return n
}

// ReadAt implements io.ReaderAt.
func (b blob) ReadAt(p []byte, offset int64) (n int, err error) {
	for _, s := range b {
		if offset >= s.size() {
			offset -= s.size()
			continue
		}
		n += s.readAt(p[n:], offset)
		offset = 0
		if n == len(p) {
			return n, nil
		}
	}
	return n, io.EOF
}

func (b blob) reader() *io.SectionReader { return io.NewSectionReader(b, 0, b.size()) }

func (b blob) snapshot() blob { return slices.Clone(b) }

// grow appends p. With a synthetic id, p must be its Content at that offset, and only its
// length is stored.
func (b blob) grow(p []byte, synthetic string) (blob, error) {
	if len(b) == 0 {
		b = blob{{id: synthetic}}
	}
	last := &b[len(b)-1]
	if synthetic == "" {
		last.data = append(last.data, p...)
		return b, nil
	}
	want := make([]byte, len(p))
	Content(synthetic, last.length, want)
	if !bytes.Equal(p, want) {
		return b, fmt.Errorf("bytes %d to %d are not those of upload %q", last.length, last.length+int64(len(p)), synthetic)
	}
	last.length += int64(len(p))
	return b, nil
}

// cut returns the first n bytes. They share memory with b, but never grow into it.
func (b blob) cut(n int64) blob {
	var all blob
	for _, s := range b {
		keep := min(n, s.size())
		if s.id != "" {
			s.length = keep
		} else {
			s.data = slices.Clip(s.data[:keep])
		}
		all, n = append(all, s), n-keep
	}
	return all
}

// join returns one blob with the bytes of several. It shares memory with them, but never
// grows into it.
func join(parts []blob) blob {
	var all blob
	for _, part := range parts {
		for _, s := range part {
			s.data = slices.Clip(s.data)
			all = append(all, s)
		}
	}
	return all
}
