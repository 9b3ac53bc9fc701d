package s3store

import (
	"slices"

	"github.com/tus/tusd"
)

// state is all that is known of an upload: its record and the objects beside
// it. It is a value: what it refers to is not changed but replaced.
type state struct {
	info      tusd.FileInfo // Offset: as offset() says
	content   content
	recordKey string
	etag      string  // of the record; "": it is not stored yet
	pieces    []piece // that are stored, by start, those that do not count included
	whole     bool    // the data object is there with all bytes
	taken     int     // parts that nobody waits for may still arrive, with numbers up to this
}

// offset counts the bytes that are stored without a gap.
func (s *state) offset() int64 {
	if s.whole {
		return s.info.Size
	}
	end := s.content.end()
	return end + sizeOf(s.tail(end))
}

// tail returns the pieces that follow from an offset on without a gap.
func (s *state) tail(from int64) []piece {
	var tail []piece
	for _, p := range s.pieces {
		if p.start == from {
			tail, from = append(tail, p), p.end()
		}
	}
	return tail
}

// strays returns the pieces that do not count: their bytes are in a part by
// now, or they were put for a chunk that never became one.
func (s *state) strays() []piece {
	if s.whole {
		return s.pieces
	}
	tail := s.tail(s.content.end())
	return slices.DeleteFunc(slices.Clone(s.pieces), func(p piece) bool { return slices.Contains(tail, p) })
}

// dataKey is where the bytes lie in the end.
func (s *state) dataKey() string { return s.info.Storage["Key"] }

// length is that of the whole upload as far as it is known, else -1.
func (s *state) length() int64 {
	switch {
	case !s.info.SizeIsDeferred:
		return s.info.Size
	case s.info.KnownLength != nil:
		return *s.info.KnownLength
	}
	return -1
}
