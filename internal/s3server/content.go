package s3server

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"hash/crc32"
	"io"
)

// content is the bytes of an object or of a part. It never changes, so objects,
// parts and snapshots share the bytes.
type content struct {
	size    int64
	digest  []byte // MD5, or for discarded bytes some other hash of that size
	extents []extent
}

// extent is a range of a content.
type extent struct {
	size int64
	data []byte // nil if it was discarded: it reads as zeros
}

// newContent returns data as content. It keeps data.
func newContent(data []byte) content {
	digest := md5.Sum(data)
	return content{size: int64(len(data)), digest: digest[:], extents: []extent{{int64(len(data)), data}}}
}

// castagnoli has its own instruction on most processors.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// discard reads size bytes and keeps only their length and a cheap checksum.
func discard(r io.Reader, size int64) (content, error) {
	sum := crc32.New(castagnoli)
	if _, err := io.CopyN(sum, r, size); err != nil {
		return content{}, err
	}
	return discarded(size, fmt.Sprintf("%d %x", size, sum.Sum32())), nil
}

// discarded returns size bytes that read as zeros, with a digest that depends
// on seed.
func discarded(size int64, seed string) content {
	digest := md5.Sum([]byte(seed))
	return content{size: size, digest: digest[:], extents: []extent{{size: size}}}
}

// etag returns the content's ETag, with its quotes.
func (c content) etag() string {
	return `"` + hex.EncodeToString(c.digest) + `"`
}

// slice returns size bytes from offset on, without copying them and without a
// digest.
func (c content) slice(offset, size int64) content {
	sliced := content{size: size}
	for _, p := range c.extents {
		if size == 0 {
			break
		}
		if offset >= p.size {
			offset -= p.size
			continue
		}
		taken := min(size, p.size-offset)
		if p.data == nil {
			sliced.extents = append(sliced.extents, extent{size: taken})
		} else {
			sliced.extents = append(sliced.extents, extent{taken, p.data[offset : offset+taken]})
		}
		offset, size = 0, size-taken
	}
	return sliced
}

// copied returns size bytes from offset on as a content of its own.
func (c content) copied(offset, size int64) content {
	part := c.slice(offset, size)
	sum := md5.New()
	for _, p := range part.extents {
		if p.data == nil {
			zeroed := discarded(size, fmt.Sprintf("%x %d %d", c.digest, offset, size))
			part.digest = zeroed.digest
			return part
		}
		sum.Write(p.data)
	}
	part.digest = sum.Sum(nil)
	return part
}

// reader returns a reader of all bytes.
func (c content) reader() io.Reader {
	readers := make([]io.Reader, len(c.extents))
	for i, p := range c.extents {
		if p.data == nil {
			readers[i] = io.LimitReader(zeros{}, p.size)
		} else {
			readers[i] = bytes.NewReader(p.data)
		}
	}
	return io.MultiReader(readers...)
}

// bytes returns a copy of the content.
func (c content) bytes() []byte {
	data := make([]byte, 0, c.size)
	for _, p := range c.extents {
		if p.data == nil {
			data = append(data, make([]byte, p.size)...)
		} else {
			data = append(data, p.data...)
		}
	}
	return data
}

// zeros is an endless reader.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}
