package s3server

import (
	"net/http"
	"path"
	"strings"
)

// maxFileName is the length of the longest name of a file, in bytes.
const maxFileName = 255

// checkPlace refuses to store an object where a file cannot be. The caller has
// the lock of the state.
func (s *Server) checkPlace(key string) error {
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

// isBelow tells whether there is an object above a key.
func (s state) isBelow(key string) bool {
	for i := range len(key) {
		if key[i] == '/' && s.objects[key[:i]] != nil {
			return true
		}
	}
	return false
}

// stored returns the key under which the object of a key is stored.
func (s *Server) stored(key string) string {
	if key == "" || !s.options.Quirks.CleansKeys {
		return key
	}
	return strings.TrimPrefix(path.Clean("/"+key), "/")
}

// shown is the bucket as listings show it. The caller has the lock of the
// state.
func (s *Server) shown() state {
	if !s.options.Quirks.HidesBelow {
		return s.state
	}
	seen := state{objects: make(map[string]*object)}
	for key, o := range s.state.objects {
		if !s.state.isBelow(key) {
			seen.objects[key] = o
		}
	}
	return seen
}
