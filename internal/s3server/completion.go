package s3server

import (
	"crypto/md5"
	"encoding/xml"
	"fmt"
	"net/http"
)

type completion struct {
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

func (s *Server) complete(q *query, received content) (*answer, error) {
	var asked completion
	if err := xml.NewDecoder(received.reader()).Decode(&asked); err != nil || len(asked.Parts) == 0 {
		return nil, malformedXML()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.state.upload(q.Upload, q.Key)
	if err != nil {
		return s.completeAgain(q, asked, err)
	}
	parts, err := asked.choose(u)
	if err != nil {
		return nil, err
	}
	if err := s.options.Quirks.checkSizes(parts); err != nil {
		return nil, err
	}
	if err := s.checkWrite(q.header, s.state.objects[q.Key]); err != nil {
		return nil, err
	}
	if err := s.checkPlace(q.Key); err != nil {
		return nil, err
	}
	made := joined(parts)
	made.modified, made.attributes = s.options.Now(), u.attributes
	s.state.objects[u.key] = made
	s.state.end(u, made.etag)
	return completed(q, made.etag), nil
}

// completeAgain answers for an upload that is not pending, for which err is
// the answer unless the service remembers that it was completed just so. The
// caller has the lock of the state.
func (s *Server) completeAgain(q *query, asked completion, err error) (*answer, error) {
	ended, ok := s.state.ended[q.Upload]
	if !ok || s.options.Quirks.CompleteOnce || ended.completed == "" || ended.key != q.Key {
		return nil, err
	}
	if o := s.state.objects[q.Key]; o == nil || o.etag != ended.completed {
		return nil, err
	}
	if _, err := asked.choose(ended); err != nil {
		return nil, err
	}
	return completed(q, ended.completed), nil
}

func completed(q *query, etag string) *answer {
	return xmlAnswer(http.StatusOK, completionResult{Location: q.path, Bucket: q.bucket, Key: q.Key, ETag: etag})
}

// choose returns the parts that are named, if they are all there and in order.
func (c completion) choose(u *upload) ([]*part, error) {
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

// checkSizes holds the limits of the service against the parts of an object.
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

// joined returns the object that parts make, without copying them. Its ETag is
// the digest of their digests, and their number.
func joined(parts []*part) *object {
	o := new(object)
	sum := md5.New()
	for _, p := range parts {
		sum.Write(p.digest)
		o.size += p.size
		o.pieces = append(o.pieces, p.pieces...)
	}
	o.digest = sum.Sum(nil)
	o.etag = fmt.Sprintf(`"%x-%d"`, o.digest, len(parts))
	return o
}
