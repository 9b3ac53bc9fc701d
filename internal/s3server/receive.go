package s3server

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
)

// maxDocument bounds the XML that is accepted: 10 000 parts and some.
const maxDocument = 8 << 20

// receive reads the body of a call, whatever becomes of the call then: so the
// client has sent all of it in every case, and an answer cannot race with it.
func (s *Server) receive(q *query) (content, error) {
	if q.Size < 0 {
		return content{}, fail(http.StatusLengthRequired, "MissingContentLength", "Content-Length is missing")
	}
	if strings.HasPrefix(q.header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return content{}, fail(http.StatusNotImplemented, "NotImplemented", "bodies signed in chunks are not served here")
	}
	if q.Size > s.maxBody(q.Operation) {
		return content{}, invalid("EntityTooLarge", "the body is larger than the largest that is allowed")
	}
	received, err := s.read(q)
	if err != nil {
		return content{}, errGone
	}
	return received, checkDigest(q, received)
}

func (s *Server) maxBody(operation Operation) int64 {
	switch operation {
	case PutObject:
		return s.options.Quirks.maxPut()
	case UploadPart:
		return s.options.Quirks.maxPart()
	default:
		return maxDocument
	}
}

func (s *Server) read(q *query) (content, error) {
	isContent := q.Operation == PutObject || q.Operation == UploadPart
	if forget := s.options.Discard; isContent && forget > 0 && q.Size > forget {
		return discard(q.body, q.Size)
	}
	data := make([]byte, q.Size)
	if _, err := io.ReadFull(q.body, data); err != nil {
		return content{}, err
	}
	return newContent(data), nil
}

// checkDigest checks Content-MD5, unless the bytes were discarded.
func checkDigest(q *query, received content) error {
	sent := q.header.Get("Content-Md5")
	if sent == "" || received.isDiscarded() {
		return nil
	}
	digest, err := base64.StdEncoding.DecodeString(sent)
	if err != nil || len(digest) != len(received.digest) {
		return invalid("InvalidDigest", "Content-MD5 is not valid")
	}
	if !bytes.Equal(digest, received.digest) {
		return invalid("BadDigest", "Content-MD5 is not that of the body")
	}
	return nil
}

func (c content) isDiscarded() bool {
	return len(c.pieces) > 0 && c.pieces[0].data == nil && c.size > 0
}
