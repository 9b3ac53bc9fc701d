package s3server

import (
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

func (s *Server) uploadPart(q *query, received content) (*answer, error) {
	if err := s.storePart(q, received); err != nil {
		return nil, err
	}
	a := emptyAnswer(http.StatusOK)
	a.header.Set("ETag", received.etag())
	return a, nil
}

// storePart stores a part, in place of an earlier one of its number.
func (s *Server) storePart(q *query, received content) error {
	if highest := s.options.Quirks.maxParts(); q.Part < 1 || q.Part > highest {
		return invalid("InvalidArgument", fmt.Sprintf("the number of a part must be between 1 and %d", highest))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.state.upload(q.Upload, q.Key)
	if err != nil {
		return err
	}
	u.parts[q.Part] = &part{received, s.options.Now()}
	return nil
}

type copyResult struct {
	XMLName      xml.Name `xml:"CopyPartResult"`
	LastModified string
	ETag         string
}

func (s *Server) copyPart(q *query, _ content) (*answer, error) {
	if s.options.Quirks.NoUploadPartCopy {
		return s.notImplemented(q, content{})
	}
	copied, err := s.copySource(q)
	if err != nil {
		return nil, err
	}
	if err := s.storePart(q, copied); err != nil {
		return nil, err
	}
	return xmlAnswer(http.StatusOK, copyResult{LastModified: formatted(s.options.Now()), ETag: copied.etag()}), nil
}

// copySource returns the content that a part is to be made of.
func (s *Server) copySource(q *query) (content, error) {
	path, err := url.PathUnescape(q.header.Get("X-Amz-Copy-Source"))
	bucket, key, ok := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	if err != nil || !ok {
		return content{}, invalid("InvalidArgument", "x-amz-copy-source must be bucket/key")
	}
	source := s.object(s.stored(key))
	if bucket != s.options.Bucket || source == nil {
		return content{}, noSuchKey()
	}
	if err := checkRead(q.header, "X-Amz-Copy-Source-", source); err != nil {
		return content{}, err
	}
	selected, err := copyRange(q.Range, source.size)
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

func (s *Server) listParts(q *query, _ content) (*answer, error) {
	listing := partListing{Bucket: q.bucket, Key: q.Key, UploadID: q.Upload}
	var err error
	if listing.MaxParts, err = s.pageSize(q, "max-parts"); err != nil {
		return nil, err
	}
	if marker := q.params.Get("part-number-marker"); marker != "" {
		if listing.PartNumberMarker, err = strconv.Atoi(marker); err != nil {
			return nil, invalid("InvalidArgument", "part-number-marker is not valid")
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.listable(q)
	if err != nil {
		return nil, err
	}
	listing.fill(u)
	return xmlAnswer(http.StatusOK, listing), nil
}

// listable returns the upload whose parts are asked for. The caller has the
// lock of the state.
func (s *Server) listable(q *query) (*upload, error) {
	u, err := s.state.upload(q.Upload, q.Key)
	if err == nil {
		return u, nil
	}
	quirks := s.options.Quirks
	if ended, ok := s.state.ended[q.Upload]; ok && quirks.ListEnded && ended.completed != "" {
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
		l.Part = append(l.Part, listedPart{number, formatted(p.modified), p.etag(), p.size})
		l.NextPartNumberMarker = number
	}
}
