package s3server

import (
	"encoding/xml"
	"net/http"
)

// maxDeletions is how many objects one DeleteObjects may remove.
const maxDeletions = 1000

func (s *Server) deleteObject(q *query, _ content) (*answer, error) {
	s.Remove(q.Key)
	return emptyAnswer(http.StatusNoContent), nil
}

type deletion struct {
	XMLName xml.Name     `xml:"Delete"`
	Quiet   bool         `xml:"Quiet"`
	Objects []deletedKey `xml:"Object"`
}

type deletedKey struct{ Key string }

type deletionResult struct {
	XMLName xml.Name `xml:"DeleteResult"`
	Deleted []deletedKey
	Error   []deletionError
}

type deletionError struct{ Key, Code, Message string }

func (s *Server) deleteObjects(q *query, received content) (*answer, error) {
	if s.options.Quirks.NoDeleteObjects {
		return s.notImplemented(q, received)
	}
	if q.header.Get("Content-Md5") == "" {
		return nil, invalid("InvalidRequest", "Content-MD5 is missing")
	}
	var asked deletion
	if err := xml.NewDecoder(received.reader()).Decode(&asked); err != nil {
		return nil, malformedXML()
	}
	if len(asked.Objects) == 0 || len(asked.Objects) > maxDeletions {
		return nil, malformedXML()
	}
	return xmlAnswer(http.StatusOK, s.removeAll(asked, q.refuseLast)), nil
}

// removeAll removes what is asked; but the last with an error, if refuseLast
// is the code of one.
func (s *Server) removeAll(asked deletion, refuseLast string) deletionResult {
	var result deletionResult
	keys := asked.Objects
	if refuseLast != "" {
		last := len(keys) - 1
		result.Error = []deletionError{{keys[last].Key, refuseLast, "as the test wants"}}
		keys = keys[:last]
	}
	for _, o := range keys {
		s.Remove(s.stored(o.Key))
	}
	if !asked.Quiet {
		result.Deleted = keys
	}
	return result
}

func malformedXML() error {
	return invalid("MalformedXML", "the document is not well-formed or not valid")
}
