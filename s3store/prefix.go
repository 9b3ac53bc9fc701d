package s3store

import (
	"context"
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

// CheckListed checks that the object of key, which was just stored behind a
// prefix, is listed under its key. Services that keep objects as files, for
// example, store /a/b and a//b as a/b and list them under that key: the store
// would not find its records and tail objects again. list makes a call; its
// error ends the check. An object that is missing is looked for again, because
// some services list objects late.
func CheckListed(ctx context.Context, prefix, key string, list func(ListObjects) (*ObjectPage, error)) error {
	for try := 1; ; try++ {
		page, err := list(ownObjects(prefix))
		if err != nil {
			return err
		}
		if slices.ContainsFunc(page.Objects, func(o ListedObject) bool { return o.Key == key }) {
			return nil
		}
		if try == probeTries || sleep(ctx, firstBackoff<<try) != nil {
			return notListed(prefix)
		}
	}
}

// ownObjects is the listing of the objects that the server has stored behind a
// prefix for itself. If objects are files, the listing starts in the directory
// of the records: some services do not list all directories from there.
func ownObjects(prefix string) ListObjects {
	return ListObjects{Prefix: prefix + strings.TrimSuffix(ownPrefix, "/"), Max: listPage}
}

func notListed(prefix string) error {
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
