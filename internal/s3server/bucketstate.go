package s3server

import (
	"maps"
	"slices"
	"time"
)

// bucketState is the content of a bucket.
type bucketState struct {
	objects map[string]*object // by key; an object never changes
	uploads map[string]*upload // pending multipart uploads, by id
	ended   map[string]*upload // completed or aborted uploads, without contents
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

func newState() bucketState {
	return bucketState{objects: make(map[string]*object), uploads: make(map[string]*upload), ended: make(map[string]*upload)}
}

// clone returns an independent copy. Contents are shared.
func (s bucketState) clone() bucketState {
	cloned := bucketState{objects: maps.Clone(s.objects), uploads: make(map[string]*upload), ended: maps.Clone(s.ended)}
	for id, u := range s.uploads {
		copied := *u
		copied.parts = maps.Clone(u.parts)
		cloned.uploads[id] = &copied
	}
	return cloned
}

// keys returns the keys of all objects, sorted.
func (s bucketState) keys() []string { return slices.Sorted(maps.Keys(s.objects)) }

// pending returns the pending uploads, by key and age.
func (s bucketState) pending() []*upload {
	return slices.SortedFunc(maps.Values(s.uploads), compareUploads)
}

// upload returns a pending upload of key.
func (s bucketState) upload(id, key string) (*upload, error) {
	u, ok := s.uploads[id]
	if !ok || u.key != key {
		return nil, noSuchUpload()
	}
	return u, nil
}

// end ends a pending upload. etag is that of its object, or "" if it was
// aborted. The upload is remembered without its contents.
func (s bucketState) end(u *upload, etag string) {
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
