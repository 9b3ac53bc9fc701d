package tusd

import (
	"errors"
	"net/http"
	"strconv"
	"strings"
)

// The plain fields of tus 1.0, which are bad if they do not parse.

// isMediaType compares Content-Type, parameters aside.
func isMediaType(header http.Header, want string) bool {
	value, _, err := singleField(header, "Content-Type", ErrInvalidContentType)
	media, _, _ := strings.Cut(value, ";")
	return err == nil && strings.EqualFold(strings.TrimSpace(media), want)
}

// singleField reads a field that may stand in a request once.
func singleField(header http.Header, name string, bad *Error) (value string, present bool, err error) {
	values := header[name]
	if len(values) > 1 {
		return "", false, bad.With(errors.New(name + " appears twice"))
	}
	if len(values) == 0 {
		return "", false, nil
	}
	return values[0], true, nil
}

func hasValue(header http.Header, name string) bool { return len(header[name]) > 0 }

// integerField reads a field whose value is 1 to 19 digits, at most 2^63-1.
func integerField(header http.Header, name string, bad *Error) (n int64, present bool, err error) {
	value, present, err := singleField(header, name, bad)
	if err != nil || !present {
		return 0, false, err
	}
	if n, err = parseInteger(value); err != nil {
		return 0, false, bad.With(err)
	}
	return n, true, nil
}

func parseInteger(s string) (int64, error) {
	const mostDigits = 19
	if s == "" || len(s) > mostDigits || strings.Trim(s, "0123456789") != "" {
		return 0, errors.New("not an integer")
	}
	return strconv.ParseInt(s, 10, 64)
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }
