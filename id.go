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

// Limits of an id. A segment leaves room for a suffix in the 255 bytes that
// file systems allow.
const (
	maxIDLength  = 900
	maxIDSegment = 240
)

// ValidateID tells whether id can name an upload: one to 900 bytes of
// A-Z a-z 0-9 - . _ ~ % ! $ ' ( ) * + , ; = : @, in segments of at most 240
// bytes that are separated by slashes. No segment is empty, "." or "..",
// begins with ".tusd", or ends with a suffix that stores use themselves
// (.info .lock .stop .part .undo). The error is an ErrInvalidID.
//
// Every place an id can enter is held to it: paths, Upload-Concat, callbacks.
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

// parseID reads an id as it stands in a URL's escaped path: decoded exactly
// once, a plus is a plus. A valid id owns its bytes.
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
		id = strings.Clone(id) // it is a slice of the request line, which would live as long as the id
	}
	return id, nil
}

// escapeID is the inverse of parseID. Everything else that ValidateID allows
// may stand in a path as it is.
func escapeID(id string) string {
	return strings.ReplaceAll(id, "%", "%25")
}

// idHash stands for an id, within this process, in tables that may take one id
// for another. It spares them the bytes of ids, which clients choose. The seed
// keeps clients from choosing ids with the same hash.
type idHash uint64

var idSeed = maphash.MakeSeed()

func hashID(id string) idHash { return idHash(maphash.String(idSeed, id)) }

// newID makes an unguessable id: who knows an upload's URL may write to it.
func newID() string {
	var b [16]byte
	rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}
