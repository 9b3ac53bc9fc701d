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

// maxPrefix is the length of the longest prefix, in bytes. Keys of the store's
// own side records still fit behind it.
const maxPrefix = 800

// CheckPrefix returns why a value for Store.ObjectPrefix is not valid at any
// service. Open finds out whether the service lists what is stored under it.
func CheckPrefix(prefix string) error {
	switch {
	case isUnlistable(prefix):
		return errors.New("the prefix has control characters or is not UTF-8: no listing can show them")
	case len(prefix) > maxPrefix:
		return fmt.Errorf("the prefix has more than %d bytes", maxPrefix)
	}
	return nil
}

// isUnlistable reports whether the XML of listings and deletions cannot contain
// a key.
func isUnlistable(key string) bool {
	return !utf8.ValidString(key) || strings.ContainsFunc(key, func(r rune) bool {
		return unicode.IsControl(r) || r == 0xfffe || r == 0xffff
	})
}

// ListOwnObjects is the listing of the objects that the server has stored
// behind a prefix for itself. If objects are files, it starts at the directory
// of the records: services exclude some directories from listings that do.
func ListOwnObjects(prefix string) ListObjects {
	return ListObjects{Prefix: prefix + strings.TrimSuffix(ownPrefix, "/"), Max: listPage}
}

// CheckListed returns an error if a page of ListOwnObjects lacks key, whose
// object was just stored. Services that keep objects as files, for example,
// store /a/b and a//b as a/b and list them under that key. The store would not
// find its records and tail objects again.
func CheckListed(prefix, key string, page *ObjectPage) error {
	if slices.ContainsFunc(page.Objects, func(o ListedObject) bool { return o.Key == key }) {
		return nil
	}
	if prefix == "" {
		return errors.New("the service does not list what it has stored a moment ago: uploads need listings that are up to date")
	}
	return fmt.Errorf("the service does not list what it stores under the prefix %q: %s", prefix, suggestPrefix(prefix))
}

// ExplainPrefix returns a sentence for operators if err, the answer to a call
// on a key, may mean that the service does not accept the prefix; else "".
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

// suggestPrefix names a prefix that every service accepts.
func suggestPrefix(prefix string) string {
	better := strings.TrimPrefix(path.Clean("/"+prefix), "/")
	if better == "" || better+"/" == prefix {
		better = "uploads"
	}
	return fmt.Sprintf("set another one, such as %q", better+"/")
}
