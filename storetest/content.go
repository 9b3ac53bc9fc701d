package storetest

import (
	"encoding/binary"
	"hash/fnv"
	"io"
)

// Content fills p with the test data of upload id from offset on. The data depends only
// on both, so that any part of it can be made and checked. Different ids have different
// data, and no byte range repeats within an id.
func Content(id string, offset int64, p []byte) {
	seed := contentSeed(id)
	for len(p) > 0 {
		var word [8]byte
		binary.LittleEndian.PutUint64(word[:], contentWord(seed, uint64(offset/8)))
		n := copy(p, word[offset%8:])
		p = p[n:]
		offset += int64(n)
	}
}

// ContentReader reads the test data of upload id from offset from (included)
// to offset to (not included).
func ContentReader(id string, from, to int64) *io.SectionReader {
	return io.NewSectionReader(contentAt(id), from, to-from)
}

// contentAt is the endless content of an upload.
type contentAt string

func (c contentAt) ReadAt(p []byte, offset int64) (int, error) {
	Content(string(c), offset, p)
	return len(p), nil
}

func contentSeed(id string) uint64 {
	h := fnv.New64a()
	io.WriteString(h, id) // a hash never fails
	return h.Sum64()
}

// contentWord returns one output of the splitmix64 generator, by its index.
func contentWord(seed, index uint64) uint64 {
	z := seed + (index+1)*0x9e3779b97f4a7c15
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}
