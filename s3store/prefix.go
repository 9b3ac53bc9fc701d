package s3store

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// maxPrefix is the length of the longest prefix, in bytes. It leaves room for
// the keys of the store's own side records.
const maxPrefix = 800

// CheckPrefix returns what is wrong with a value for ObjectPrefix of a Store at
// any service. Whether a service lists what it stores under a prefix, Open
// finds out.
func CheckPrefix(prefix string) error {
	switch {
	case isUnlistable(prefix):
		return errors.New("the prefix has control characters or is not UTF-8: no listing can show them")
	case len(prefix) > maxPrefix:
		return fmt.Errorf("the prefix has more than %d bytes", maxPrefix)
	}
	return nil
}

// isUnlistable reports whether a key cannot stand in the XML of listings and
// deletions as it is.
func isUnlistable(key string) bool {
	return !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool {
		return unicode.IsControl(r) || r == 0xfffe || r == 0xffff
	})
}

// ListOwnObjects is the listing of what the server has stored behind a prefix for
// itself. It begins at the directory that the records are in, if objects are
// files: services hide some directories from that.
func ListOwnObjects(prefix string) ListObjects {
	return ListObjects{Prefix: prefix + strings.TrimSuffix(ownPrefix, "/"), Max: listPage}
}

// CheckListed returns what is wrong with a page of ListOwnObjects, if the object of key
// was stored a moment ago and is not on it. Services that keep objects as files,
// for example, store /a/b and a//b as a/b and list them as that. The store would
// not find its own records and pieces again.
func CheckListed(prefix, key string, page *ObjectPage) error {
	if slices.ContainsFunc(page.Objects, func(o ListedObject) bool { return o.Key == key }) {
		return nil
	}
	if prefix == "" {
		return errors.New("the service does not list what it has stored a moment ago: uploads need listings that are up to date")
	}
	return fmt.Errorf("the service does not list what it stores under the prefix %q: %s", prefix, suggestPrefix(prefix))
}

// ExplainPrefix says in a sentence for operators that a service may not take
// the prefix of keys, if err is its answer to a call on a key; "" if it tells
// nothing of that.
func ExplainPrefix(prefix string, err error) string {
	var e *Error
	if prefix == "" || !errors.As(err, &e) || e.Status != http.StatusBadRequest {
		return ""
	}
	if e.Code != "" && e.explain() != "" {
		return "" // the reason is known
	}
	return fmt.Sprintf("the service may not take the prefix %q: %s", prefix, suggestPrefix(prefix))
}

// suggestPrefix names a prefix that every service takes.
func suggestPrefix(prefix string) string {
	better := strings.TrimPrefix(path.Clean("/"+prefix), "/")
	if better == "" || better+"/" == prefix {
		better = "uploads"
	}
	return fmt.Sprintf("set another one, such as %q", better+"/")
}
