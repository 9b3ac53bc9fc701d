package s3server

import (
	"encoding/xml"
	"net/http"
)

// maxDeletions is how many objects one DeleteObjects may remove.
const maxDeletions = 1000

func (s *Server) deleteObject(req *request, _ content) (*answer, error) {
	s.Remove(req.Key)
	return emptyAnswer(http.StatusNoContent), nil
}

type deleteCall struct {
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

func (s *Server) deleteObjects(req *request, received content) (*answer, error) {
	if s.options.Quirks.NoDeleteObjects {
		return s.notImplemented(req, received)
	}
	if req.header.Get("Content-Md5") == "" {
		return nil, invalid("InvalidRequest", "Content-MD5 is missing")
	}
	var asked deleteCall
	if err := xml.NewDecoder(received.reader()).Decode(&asked); err != nil {
		return nil, malformedXML()
	}
	if len(asked.Objects) == 0 || len(asked.Objects) > maxDeletions {
		return nil, malformedXML()
	}
	return xmlAnswer(http.StatusOK, s.removeAll(asked, req.refuseLast)), nil
}

// removeAll removes the named objects. If refuseLast is the code of an error,
// it refuses the last one with it.
func (s *Server) removeAll(asked deleteCall, refuseLast string) deletionResult {
	var result deletionResult
	keys := asked.Objects
	if refuseLast != "" {
		last := len(keys) - 1
		result.Error = []deletionError{{keys[last].Key, refuseLast, "as the test wants"}}
		keys = keys[:last]
	}
	for _, o := range keys {
		s.Remove(s.storedKey(o.Key))
	}
	if !asked.Quiet {
		result.Deleted = keys
	}
	return result
}

func malformedXML() error {
	return invalid("MalformedXML", "the document is not well-formed or not valid")
}
