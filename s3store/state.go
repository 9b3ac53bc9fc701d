package s3store

import (
	"slices"
	"time"

	"github.com/tus/tusd"
)

// state is the state of an upload: its record and its objects. It is a value: slices and
// maps in it are replaced, not changed.
type state struct {
	info          tusd.FileInfo // Offset is that of offset(), Changed that of the newest object that is known
	layout        layout
	recordKey     string
	etag          string       // of the record; "": it is not stored yet
	ours          bool         // this process has stored the record: no other one knows its ETag, unless it was loaded since
	tailObjects   []tailObject // all that are stored, by start, orphans included
	hasObject     bool         // the data object is stored with all bytes
	maxLateNumber int          // unrecorded parts with numbers up to this may still arrive
}

// offset returns how many bytes are stored without a gap.
func (s *state) offset() int64 {
	if s.hasObject {
		return s.info.Size
	}
	end := s.layout.end()
	return end + sizeOfTail(s.tail(end))
}

// tail returns the tail objects that follow an offset without a gap.
func (s *state) tail(from int64) []tailObject {
	var tail []tailObject
	for _, p := range s.tailObjects {
		if p.start == from {
			tail, from = append(tail, p), p.end()
		}
	}
	return tail
}

// orphans returns the tail objects that are no part of the upload: their bytes
// are in a recorded part by now, or belong to a chunk that failed.
func (s *state) orphans() []tailObject {
	if s.hasObject {
		return s.tailObjects
	}
	tail := s.tail(s.layout.end())
	return slices.DeleteFunc(slices.Clone(s.tailObjects), func(p tailObject) bool { return slices.Contains(tail, p) })
}

// setChanged sets the time of the last change to now.
func (s *state) setChanged() { s.info.Changed = time.Now().Round(0) }

// noteChange takes into account that an object of the upload was stored at this time.
func (s *state) noteChange(stored time.Time) { s.info.Changed = later(s.info.Changed, stored) }

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// isDataBesideRecord reports whether the data key is that of the record without its suffix.
func (s *state) isDataBesideRecord() bool { return s.dataKey()+recordSuffix == s.recordKey }

// dataKey returns the key of the data object.
func (s *state) dataKey() string { return s.info.Storage["Key"] }

// length returns the length of the whole upload, or -1 if it is not known.
func (s *state) length() int64 {
	switch {
	case !s.info.SizeIsDeferred:
		return s.info.Size
	case s.info.KnownLength != nil:
		return *s.info.KnownLength
	}
	return -1
}
