package s3server

import (
	"net/http"
)

func (s *Server) headBucket(*request, content) (*answer, error) {
	return emptyAnswer(http.StatusOK), nil
}

func (s *Server) putObject(req *request, received content) (*answer, error) {
	attributes, err := s.attributes(req)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.checkWrite(req.header, s.state.objects[req.Key]); err != nil {
		return nil, err
	}
	if err := s.checkFilePlace(req.Key); err != nil {
		return nil, err
	}
	stored := &object{content: received, etag: received.etag(), modified: s.options.Now(), attributes: attributes}
	s.state.objects[req.Key] = stored
	a := emptyAnswer(http.StatusOK)
	a.header.Set("ETag", stored.etag)
	attributes.writeEncryption(a.header)
	return a, nil
}

// getObject serves GetObject and HeadObject.
func (s *Server) getObject(req *request, _ content) (*answer, error) {
	found := s.object(req.Key)
	if found == nil {
		return nil, noSuchKey()
	}
	if err := checkRead(req.header, found); err != nil {
		return nil, err
	}
	selected, ranged, err := readRange(req.Range, found.size)
	if err != nil {
		return nil, err
	}
	a := found.answer(selected, ranged)
	override(a.header, req.params)
	if req.Operation == HeadObject {
		a.body, a.length = content{}, selected.size
	}
	return a, nil
}

// object returns the object of a key, or nil.
func (s *Server) object(key string) *object {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state.objects[key]
}

func (o *object) answer(selected byteRange, ranged bool) *answer {
	a := emptyAnswer(http.StatusOK)
	o.attributes.write(a.header)
	if a.header.Get("Content-Type") == "" {
		a.header.Set("Content-Type", "binary/octet-stream")
	}
	a.header.Set("Accept-Ranges", "bytes")
	a.header.Set("ETag", o.etag)
	a.header.Set("Last-Modified", o.modified.UTC().Format(http.TimeFormat))
	if ranged {
		a.status = http.StatusPartialContent
		a.header.Set("Content-Range", selected.contentRange(o.size))
	}
	a.body = o.slice(selected.offset, selected.size)
	return a
}
