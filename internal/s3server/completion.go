package s3server

import (
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"net/http"
)

type completeCall struct {
	XMLName xml.Name        `xml:"CompleteMultipartUpload"`
	Parts   []completedPart `xml:"Part"`
}

type completedPart struct {
	PartNumber int
	ETag       string
}

type completionResult struct {
	XMLName  xml.Name `xml:"CompleteMultipartUploadResult"`
	Location string
	Bucket   string
	Key      string
	ETag     string
}

func (s *Server) complete(req *request, received content) (*answer, error) {
	var asked completeCall
	if err := xml.NewDecoder(received.reader()).Decode(&asked); err != nil || len(asked.Parts) == 0 {
		return nil, malformedXML()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.state.upload(req.Upload, req.Key)
	if err != nil {
		return s.completeAgain(req, asked, err)
	}
	parts, err := asked.choose(u)
	if err != nil {
		return nil, err
	}
	if err := s.options.Quirks.checkSizes(parts); err != nil {
		return nil, err
	}
	if err := s.checkWrite(req.header, s.state.objects[req.Key]); err != nil {
		return nil, err
	}
	if err := s.checkFilePlace(req.Key); err != nil {
		return nil, err
	}
	made := concatParts(parts)
	made.modified, made.attributes = s.options.Now(), u.attributes
	s.state.objects[u.key] = made
	s.state.end(u, made.etag)
	return completed(req, made.etag), nil
}

// completeAgain answers a completion of an upload that is not pending: with
// err, unless the service remembers that it was completed with the same parts.
// The caller holds s.mu.
func (s *Server) completeAgain(req *request, asked completeCall, err error) (*answer, error) {
	ended, ok := s.state.ended[req.Upload]
	if !ok || s.options.Quirks.CompleteOnce || ended.completed == "" || ended.key != req.Key {
		return nil, err
	}
	if o := s.state.objects[req.Key]; o == nil || o.etag != ended.completed {
		return nil, err
	}
	if _, err := asked.choose(ended); err != nil {
		return nil, err
	}
	return completed(req, ended.completed), nil
}

func completed(req *request, etag string) *answer {
	return xmlAnswer(http.StatusOK, completionResult{Location: req.path, Bucket: req.bucket, Key: req.Key, ETag: etag})
}

// choose returns the named parts, if all are stored and in order.
func (c completeCall) choose(u *upload) ([]*part, error) {
	parts := make([]*part, 0, len(c.Parts))
	last := 0
	for _, named := range c.Parts {
		if named.PartNumber <= last {
			return nil, invalid("InvalidPartOrder", "the parts are not in ascending order")
		}
		last = named.PartNumber
		p, ok := u.parts[named.PartNumber]
		if !ok || unquoted(named.ETag) != unquoted(p.etag()) {
			return nil, invalid("InvalidPart", fmt.Sprintf("part %d is not there, or has another ETag", named.PartNumber))
		}
		parts = append(parts, p)
	}
	return parts, nil
}

// checkSizes checks the sizes of the parts of an object against the limits of
// the service.
func (q Quirks) checkSizes(parts []*part) error {
	var total int64
	for i, p := range parts {
		total += p.size
		isLast := i == len(parts)-1
		switch {
		case !isLast && p.size < q.minPart():
			return invalid("EntityTooSmall", fmt.Sprintf("the %d. part is smaller than the minimum", i+1))
		case q.EqualParts && !isLast && p.size != parts[0].size, q.EqualParts && p.size > parts[0].size:
			return invalid("InvalidPart", "all parts but the last must have the same length")
		}
	}
	if total > q.maxObject() {
		return invalid("EntityTooLarge", "the object is larger than the largest that is allowed")
	}
	return nil
}

// concatParts returns the object that parts make, without copying them. Its
// ETag is the digest of their digests, and their number.
func concatParts(parts []*part) *object {
	o := new(object)
	sum := md5.New()
	for _, p := range parts {
		sum.Write(p.digest)
		o.size += p.size
		o.extents = append(o.extents, p.extents...)
	}
	o.digest = sum.Sum(nil)
	o.etag = fmt.Sprintf(`"%x-%d"`, o.digest, len(parts))
	return o
}
