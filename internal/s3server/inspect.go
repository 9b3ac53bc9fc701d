package s3server

import (
	"io"
	"maps"
	"net/http"
	"time"
)

// Object is a stored object, for tests.
type Object struct {
	Key      string
	Size     int64
	ETag     string
	Modified time.Time
	Header   http.Header       // Content-Type and the like, x-amz-storage-class, x-amz-server-side-encryption
	Metadata map[string]string // by the name behind x-amz-meta-, in lower case
	Tags     map[string]string
	content  content
}

// Bytes returns a copy of the content.
func (o Object) Bytes() []byte { return o.content.bytes() }

// Open returns a reader of the content, without a copy of it.
func (o Object) Open() io.Reader { return o.content.reader() }

// Upload is a pending multipart upload, for tests.
type Upload struct {
	ID, Key   string
	Initiated time.Time
	Parts     []Part // by number
}

// Part is a part of a pending upload.
type Part struct {
	Number  int
	Size    int64
	ETag    string
	content content
}

// Bytes returns a copy of the content.
func (p Part) Bytes() []byte { return p.content.bytes() }

// Objects returns all objects, sorted by key.
func (s *Server) Objects() []Object {
	s.mu.Lock()
	defer s.mu.Unlock()
	objects := make([]Object, 0, len(s.state.objects))
	for _, key := range s.state.keys() {
		objects = append(objects, describe(key, s.state.objects[key]))
	}
	return objects
}

// Object returns the object of that key, if there is one.
func (s *Server) Object(key string) (Object, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	o, ok := s.state.objects[key]
	if !ok {
		return Object{}, false
	}
	return describe(key, o), true
}

func describe(key string, o *object) Object {
	return Object{
		Key: key, Size: o.size, ETag: o.etag, Modified: o.modified, content: o.content,
		Header: o.attributes.header.Clone(), Metadata: maps.Clone(o.attributes.metadata), Tags: maps.Clone(o.attributes.tags),
	}
}

// Uploads returns all pending multipart uploads, by key and age.
func (s *Server) Uploads() []Upload {
	s.mu.Lock()
	defer s.mu.Unlock()
	var uploads []Upload
	for _, u := range s.state.pending() {
		seen := Upload{ID: u.id, Key: u.key, Initiated: u.initiated}
		for _, number := range u.numbers() {
			p := u.parts[number]
			seen.Parts = append(seen.Parts, Part{number, p.size, p.content.etag(), p.content})
		}
		uploads = append(uploads, seen)
	}
	return uploads
}

// Left names everything that is stored: objects and pending multipart uploads.
func (s *Server) Left() (names []string) {
	for _, o := range s.Objects() {
		names = append(names, o.Key)
	}
	for _, u := range s.Uploads() {
		names = append(names, "multipart upload of "+u.Key)
	}
	return names
}

// Put stores an object without a call. It keeps data.
func (s *Server) Put(key string, data []byte) {
	stored := newContent(data)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state.objects[key] = &object{content: stored, etag: stored.etag(), modified: s.options.Now()}
}

// Remove removes an object, if there is one.
func (s *Server) Remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.state.objects, key)
}

// Age makes everything in the bucket older.
func (s *Server) Age(by time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for key, o := range s.state.objects {
		older := *o // the object may be shared with a snapshot
		older.modified = o.modified.Add(-by)
		s.state.objects[key] = &older
	}
	for _, u := range s.state.pending() {
		u.initiated = u.initiated.Add(-by)
	}
}

// AbortAll aborts all pending multipart uploads, as a lifecycle rule does.
func (s *Server) AbortAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, u := range s.state.pending() {
		s.state.end(u, "")
	}
}

// Snapshot is the state of a bucket at one time.
type Snapshot struct{ state bucketState }

// Snapshot returns the state of the bucket. It does not copy contents.
func (s *Server) Snapshot() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	return &Snapshot{s.state.clone()}
}

// Restore sets the state of the bucket to a snapshot, which may come from
// another Server. Calls in progress happen before it or after it.
func (s *Server) Restore(snapshot *Snapshot) {
	restored := snapshot.state.clone()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = restored
}
