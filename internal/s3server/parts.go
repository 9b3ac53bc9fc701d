package s3server

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

func (s *Server) uploadPart(req *request, received content) (*answer, error) {
	if err := s.storePart(req, received); err != nil {
		return nil, err
	}
	a := emptyAnswer(http.StatusOK)
	a.header.Set("ETag", received.etag())
	return a, nil
}

// storePart stores a part. It replaces a part with the same number.
func (s *Server) storePart(req *request, received content) error {
	if highest := s.options.Quirks.maxParts(); req.Part < 1 || req.Part > highest {
		return invalid("InvalidArgument", fmt.Sprintf("the number of a part must be between 1 and %d", highest))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.state.upload(req.Upload, req.Key)
	if err != nil {
		return err
	}
	u.parts[req.Part] = &part{received, s.options.Now()}
	return nil
}

type copyResult struct {
	XMLName      xml.Name `xml:"CopyPartResult"`
	LastModified string
	ETag         string
}

func (s *Server) copyPart(req *request, _ content) (*answer, error) {
	if s.options.Quirks.NoUploadPartCopy {
		return s.notImplemented(req, content{})
	}
	copied, err := s.copySource(req)
	if err != nil {
		return nil, err
	}
	if err := s.storePart(req, copied); err != nil {
		return nil, err
	}
	return xmlAnswer(http.StatusOK, copyResult{LastModified: formatTime(s.options.Now()), ETag: copied.etag()}), nil
}

// copySource returns the content for a part that is copied.
func (s *Server) copySource(req *request) (content, error) {
	path, err := url.PathUnescape(req.header.Get("X-Amz-Copy-Source"))
	bucket, key, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if err != nil || !ok {
		return content{}, invalid("InvalidArgument", "x-amz-copy-source must be bucket/key")
	}
	source := s.object(s.storedKey(key))
	if bucket != s.options.Bucket || source == nil {
		return content{}, noSuchKey()
	}
	selected, err := copyRange(req.Range, source.size)
	if err != nil {
		return content{}, err
	}
	if selected.size > s.options.Quirks.maxPart() {
		return content{}, invalid("EntityTooLarge", "the range is larger than the largest part")
	}
	return source.copied(selected.offset, selected.size), nil
}

type partListing struct {
	XMLName              xml.Name `xml:"ListPartsResult"`
	Bucket               string
	Key                  string
	UploadID             string `xml:"UploadId"`
	PartNumberMarker     int
	NextPartNumberMarker int
	MaxParts             int
	IsTruncated          bool
	Part                 []listedPart
}

type listedPart struct {
	PartNumber   int
	LastModified string
	ETag         string
	Size         int64
}

func (s *Server) listParts(req *request, _ content) (*answer, error) {
	listing := partListing{Bucket: req.bucket, Key: req.Key, UploadID: req.Upload}
	var err error
	if listing.MaxParts, err = s.pageSize(req, "max-parts"); err != nil {
		return nil, err
	}
	if marker := req.params.Get("part-number-marker"); marker != "" {
		if listing.PartNumberMarker, err = strconv.Atoi(marker); err != nil {
			return nil, invalid("InvalidArgument", "part-number-marker is not valid")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.listable(req)
	if err != nil {
		return nil, err
	}
	listing.fill(u)
	return xmlAnswer(http.StatusOK, listing), nil
}

// listable returns the upload whose parts are requested. The caller holds s.mu.
func (s *Server) listable(req *request) (*upload, error) {
	u, err := s.state.upload(req.Upload, req.Key)
	if err == nil {
		return u, nil
	}
	quirks := s.options.Quirks
	if ended, ok := s.state.ended[req.Upload]; ok && quirks.ListEnded && ended.completed != "" {
		return ended, nil
	}
	if quirks.UnknownUploadKey {
		return nil, noSuchKey()
	}
	return nil, err
}

func (l *partListing) fill(u *upload) {
	for _, number := range u.numbers() {
		if number <= l.PartNumberMarker {
			continue
		}
		if len(l.Part) == l.MaxParts {
			l.IsTruncated = l.MaxParts > 0
			return
		}
		p := u.parts[number]
		l.Part = append(l.Part, listedPart{number, formatTime(p.modified), p.etag(), p.size})
		l.NextPartNumberMarker = number
	}
}
