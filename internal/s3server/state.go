package s3server

import (
	"maps"
	"slices"
	"time"
)

// state is what a bucket holds.
type state struct {
	objects map[string]*object // by key; an object never changes
	uploads map[string]*upload // that are pending, by id
	ended   map[string]*upload // that were completed or aborted, without contents
}

// object is a stored object.
type object struct {
	content
	etag       string
	modified   time.Time
	attributes attributes
}

// upload is a multipart upload.
type upload struct {
	id, key    string
	initiated  time.Time
	attributes attributes
	parts      map[int]*part // by number; a part never changes
	completed  string        // ETag of the object that it became
}

// part is a stored part.
type part struct {
	content
	modified time.Time
}

func newState() state {
	return state{objects: make(map[string]*object), uploads: make(map[string]*upload), ended: make(map[string]*upload)}
}

// clone returns a copy that changes on its own. Contents are shared.
func (s state) clone() state {
	cloned := state{objects: maps.Clone(s.objects), uploads: make(map[string]*upload), ended: maps.Clone(s.ended)}
	for id, u := range s.uploads {
		copied := *u
		copied.parts = maps.Clone(u.parts)
		cloned.uploads[id] = &copied
	}
	return cloned
}

// keys returns the keys of all objects, sorted.
func (s state) keys() []string { return slices.Sorted(maps.Keys(s.objects)) }

// pending returns the uploads that are pending, by key and age.
func (s state) pending() []*upload {
	return slices.SortedFunc(maps.Values(s.uploads), compareUploads)
}

// upload returns a pending upload of key.
func (s state) upload(id, key string) (*upload, error) {
	u, ok := s.uploads[id]
	if !ok || u.key != key {
		return nil, noSuchUpload()
	}
	return u, nil
}

// end lets a pending upload be over. What became of it is remembered, but not
// its contents.
func (s state) end(u *upload, etag string) {
	remembered := *u
	remembered.completed = etag
	remembered.parts = make(map[int]*part, len(u.parts))
	for number, p := range u.parts {
		remembered.parts[number] = &part{content{size: p.size, digest: p.digest}, p.modified}
	}
	delete(s.uploads, u.id)
	s.ended[u.id] = &remembered
}

// numbers returns the numbers of the parts, sorted.
func (u *upload) numbers() []int { return slices.Sorted(maps.Keys(u.parts)) }
