package tusd

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"hash/maphash"
	"net/url"
	"strings"

	"github.com/tus/tusd/internal/datakey"
)

// Limits of an id. A segment leaves space for a suffix in the 255 bytes that file
// systems allow for a name.
const (
	maxIDLength  = 900
	maxIDSegment = 240
)

// ValidateID returns nil if id can name an upload: one to 900 bytes of A-Z a-z 0-9 - .
// _ ~ % ! $ ' ( ) * + , ; = : @, in segments of at most 240 bytes that are separated by
// slashes. No segment is empty, "." or "..", begins with ".tusd", or ends with a suffix
// that stores use themselves (.info .lock .stop .part .undo). Otherwise the error is an
// ErrInvalidID.
//
// The server validates every id, wherever it comes from: paths, Upload-Concat,
// callbacks.
func ValidateID(id string) error {
	if id == "" || len(id) > maxIDLength {
		return ErrInvalidID.With(errors.New("empty or too long"))
	}
	for segment := range strings.SplitSeq(id, "/") {
		if err := validateSegment(segment); err != nil {
			return ErrInvalidID.With(err)
		}
	}
	return nil
}

func validateSegment(s string) error {
	switch {
	case s == "" || s == "." || s == ".." || len(s) > maxIDSegment:
		return errors.New("a segment is empty, a dot path or too long")
	case strings.HasPrefix(s, ".tusd"):
		return errors.New("a segment begins with .tusd")
	}
	for _, suffix := range datakey.ReservedSuffixes {
		if strings.HasSuffix(s, suffix) {
			return errors.New("a segment ends with " + suffix)
		}
	}
	for i := range len(s) {
		if !isIDByte(s[i]) {
			return errors.New("a byte is not allowed")
		}
	}
	return nil
}

func isIDByte(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("-._~%!$'()*+,;=:@", c) >= 0
}

// parseID reads an id from a URL's escaped path. It decodes exactly once; a plus stays
// a plus. A valid id is a copy that does not keep escaped in memory.
func parseID(escaped string) (string, error) {
	if len(escaped) > 3*maxIDLength {
		return "", ErrInvalidID.With(errors.New("too long"))
	}
	id, err := url.PathUnescape(escaped)
	if err != nil {
		return "", ErrInvalidID.With(err)
	}
	if err := ValidateID(id); err != nil {
		return id, err
	}
	if strings.IndexByte(escaped, '%') < 0 {
		id = strings.Clone(id) // the slice would keep the whole request line in memory
	}
	return id, nil
}

// escapeID is the inverse of parseID. All other bytes that ValidateID allows may stand
// in a path unescaped.
func escapeID(id string) string {
	return strings.ReplaceAll(id, "%", "%25")
}

// idHash represents an id within this process, in tables where a collision does no
// harm. Its size does not depend on the client, which may choose ids. The seed keeps
// clients from choosing ids with the same hash.
type idHash uint64

var idSeed = maphash.MakeSeed()

func hashID(id string) idHash { return idHash(maphash.String(idSeed, id)) }

// newID returns an unguessable id: a client that knows an upload's URL may write to it.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
