package s3server

import (
	"encoding/xml"
	"io"
	"net/http"
	"strconv"
)

// answer is the answer to a call.
type answer struct {
	status int
	header http.Header
	body   content
	length int64 // of the object, for the answer to HEAD, which has no body
}

// emptyAnswer returns an answer with a status and no body.
func emptyAnswer(status int) *answer {
	return &answer{status: status, header: make(http.Header)}
}

// xmlAnswer returns an answer with an XML document as its body.
func xmlAnswer(status int, document any) *answer {
	data, err := xml.Marshal(document)
	if err != nil {
		return &answer{status: http.StatusInternalServerError, header: make(http.Header), body: newContent([]byte(err.Error()))}
	}
	a := emptyAnswer(status)
	a.header.Set("Content-Type", "application/xml")
	a.body = newContent(append([]byte(xml.Header), data...))
	return a
}

// writeHead writes the status and the header.
func (a *answer) writeHead(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	if a.status != http.StatusNoContent && a.status != http.StatusNotModified {
		w.Header().Set("Content-Length", strconv.FormatInt(a.body.size+a.length, 10))
	}
	w.WriteHeader(a.status)
}

// write writes the first n bytes of the body. It ignores that the client may
// have disconnected.
func (a *answer) write(w http.ResponseWriter, n int64) {
	_, _ = io.Copy(w, a.body.slice(0, min(n, a.body.size)).reader())
}
