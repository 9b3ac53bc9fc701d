package s3server

import (
	"bytes"
	"encoding/base64"
	"io"
	"net/http"
	"strings"
)

// maxDocument bounds the XML that is accepted, in bytes: enough for 10,000
// parts.
const maxDocument = 8 << 20

// receive reads the whole body of a call for any outcome, so that the client has sent all
// of it before the answer.
func (s *Server) receive(req *request) (content, error) {
	if req.Size < 0 {
		return content{}, fail(http.StatusLengthRequired, "MissingContentLength", "Content-Length is missing")
	}
	if strings.HasPrefix(req.header.Get("X-Amz-Content-Sha256"), "STREAMING-") {
		return content{}, fail(http.StatusNotImplemented, "NotImplemented", "bodies signed in chunks are not served here")
	}
	if req.Size > s.maxBody(req.Operation) {
		return content{}, invalid("EntityTooLarge", "the body is larger than the largest that is allowed")
	}
	received, err := s.read(req)
	if err != nil {
		return content{}, errClientGone
	}
	return received, checkDigest(req, received)
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

func (s *Server) read(req *request) (content, error) {
	isContent := req.Operation == PutObject || req.Operation == UploadPart
	if forget := s.options.Discard; isContent && forget > 0 && req.Size > forget {
		return discard(req.body, req.Size)
	}
	data := make([]byte, req.Size)
	if _, err := io.ReadFull(req.body, data); err != nil {
		return content{}, err
	}
	return newContent(data), nil
}

// checkDigest checks Content-MD5, unless the bytes were discarded.
func checkDigest(req *request, received content) error {
	sent := req.header.Get("Content-Md5")
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
	return len(c.extents) > 0 && c.extents[0].data == nil && c.size > 0
}
