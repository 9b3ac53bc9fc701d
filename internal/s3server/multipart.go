package s3server

import (
	"cmp"
	"crypto/rand"
	"encoding/xml"
	"net/http"
	"strings"
)

type uploadCreated struct {
	XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
	Bucket   string
	Key      string
	UploadID string `xml:"UploadId"`
}

func (s *Server) createUpload(req *request, _ content) (*answer, error) {
	attributes, err := s.attributes(req)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	u := &upload{id: rand.Text(), key: req.Key, initiated: s.options.Now(), attributes: attributes, parts: make(map[int]*part)}
	s.state.uploads[u.id] = u
	a := xmlAnswer(http.StatusOK, uploadCreated{Bucket: req.bucket, Key: req.Key, UploadID: u.id})
	attributes.writeEncryption(a.header)
	return a, nil
}

func (s *Server) abort(req *request, _ content) (*answer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	u, err := s.state.upload(req.Upload, req.Key)
	if err == nil {
		s.state.end(u, "")
		return emptyAnswer(http.StatusNoContent), nil
	}
	if _, known := s.state.ended[req.Upload]; known && s.options.Quirks.AbortTwice {
		return emptyAnswer(http.StatusNoContent), nil
	}
	return nil, err
}

type uploadListing struct {
	XMLName            xml.Name `xml:"ListMultipartUploadsResult"`
	Bucket             string
	Prefix             string
	KeyMarker          string
	UploadIDMarker     string `xml:"UploadIdMarker"`
	NextKeyMarker      string `xml:",omitempty"`
	NextUploadIDMarker string `xml:"NextUploadIdMarker,omitempty"`
	MaxUploads         int
	IsTruncated        bool
	Upload             []listedUpload
}

type listedUpload struct {
	Key       string
	UploadID  string `xml:"UploadId"`
	Initiated string
}

func (s *Server) listUploads(req *request, _ content) (*answer, error) {
	listing := uploadListing{
		Bucket: req.bucket, Prefix: req.params.Get("prefix"),
		KeyMarker: req.params.Get("key-marker"), UploadIDMarker: req.params.Get("upload-id-marker"),
	}
	var err error
	if listing.MaxUploads, err = s.pageSize(req, "max-uploads"); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	listing.fill(s.state)
	return xmlAnswer(http.StatusOK, listing), nil
}

func (l *uploadListing) fill(bucket bucketState) {
	for _, u := range bucket.pending() {
		if !strings.HasPrefix(u.key, l.Prefix) || !l.isAfter(u, bucket) {
			continue
		}
		if len(l.Upload) == l.MaxUploads {
			l.IsTruncated = l.MaxUploads > 0
			break
		}
		l.Upload = append(l.Upload, listedUpload{u.key, u.id, formatTime(u.initiated)})
	}
	if l.IsTruncated {
		last := l.Upload[len(l.Upload)-1]
		l.NextKeyMarker, l.NextUploadIDMarker = last.Key, last.UploadID
	}
}

// isAfter reports whether an upload comes after the markers. A marker for
// uploads counts only with one for keys.
func (l *uploadListing) isAfter(u *upload, bucket bucketState) bool {
	if l.KeyMarker == "" || u.key != l.KeyMarker {
		return u.key > l.KeyMarker
	}
	marker, ok := bucket.uploads[l.UploadIDMarker]
	return ok && compareUploads(u, marker) > 0
}

// compareUploads orders uploads by key, then by age.
func compareUploads(a, b *upload) int {
	return cmp.Or(strings.Compare(a.key, b.key), a.initiated.Compare(b.initiated), strings.Compare(a.id, b.id))
}
