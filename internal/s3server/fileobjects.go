package s3server

import (
	"net/http"
	"path"
	"strings"
)

// maxFileName is the length of the longest name of a file, in bytes.
const maxFileName = 255

// checkFilePlace refuses an object whose key cannot be the path of a file. The caller
// holds s.mu.
func (s *Server) checkFilePlace(key string) error {
	if !s.options.Quirks.Files {
		return nil
	}
	for segment := range strings.SplitSeq(key, "/") {
		if len(segment) > maxFileName {
			return fail(http.StatusBadRequest, "KeyTooLongError", "a segment is too long for the name of a file")
		}
	}
	if s.state.isBelow(key) {
		return fail(http.StatusConflict, "ObjectParentIsFile", "above the key there is an object")
	}
	for other := range s.state.objects {
		if strings.HasPrefix(other, key+"/") {
			return fail(http.StatusConflict, "ExistingObjectIsDirectory", "below the key there is an object")
		}
	}
	return nil
}

// isBelow reports whether there is an object above a key.
func (s bucketState) isBelow(key string) bool {
	for i := range len(key) {
		if key[i] == '/' && s.objects[key[:i]] != nil {
			return true
		}
	}
	return false
}

// storedKey returns the key under which the object of a key is stored.
func (s *Server) storedKey(key string) string {
	if key == "" || !s.options.Quirks.CleansKeys {
		return key
	}
	return strings.TrimPrefix(path.Clean("/"+key), "/")
}

// listedState returns the bucket as listings show it. The caller holds s.mu.
func (s *Server) listedState() bucketState {
	if !s.options.Quirks.HidesBelow {
		return s.state
	}
	seen := bucketState{objects: make(map[string]*object)}
	for key, o := range s.state.objects {
		if !s.state.isBelow(key) {
			seen.objects[key] = o
		}
	}
	return seen
}
