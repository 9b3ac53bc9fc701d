package s3store

import (
	"slices"

	"github.com/tus/tusd"
)

// state is all that is known of an upload: its record and the objects beside
// it. It is a value: what it refers to is not changed but replaced.
type state struct {
	info          tusd.FileInfo // Offset: as offset() says
	layout        layout
	recordKey     string
	etag          string       // of the record; "": it is not stored yet
	tailObjects   []tailObject // that are stored, by start, those that do not count included
	hasObject     bool         // the data object is there with all bytes
	maxLateNumber int          // parts that nobody waits for may still arrive, with numbers up to this
}

// offset counts the bytes that are stored without a gap.
func (s *state) offset() int64 {
	if s.hasObject {
		return s.info.Size
	}
	end := s.layout.end()
	return end + sizeOfTail(s.tail(end))
}

// tail returns the pieces that follow from an offset on without a gap.
func (s *state) tail(from int64) []tailObject {
	var tail []tailObject
	for _, p := range s.tailObjects {
		if p.start == from {
			tail, from = append(tail, p), p.end()
		}
	}
	return tail
}

// orphans returns the pieces that do not count: their bytes are in a part by
// now, or they were put for a chunk that never became one.
func (s *state) orphans() []tailObject {
	if s.hasObject {
		return s.tailObjects
	}
	tail := s.tail(s.layout.end())
	return slices.DeleteFunc(slices.Clone(s.tailObjects), func(p tailObject) bool { return slices.Contains(tail, p) })
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
