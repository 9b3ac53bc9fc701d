package tusclient

import (
	"fmt"
	"net/http"
	"net/url"
	"strconv"

	"github.com/tus/tusd/internal/wire"
)

// Answer is a complete answer.
type Answer struct{ wire.Response }

// Offset is the Upload-Offset, -1 if there is none.
func (a Answer) Offset() int64 {
	offset, err := strconv.ParseInt(a.Header.Get("Upload-Offset"), 10, 64)
	if err != nil {
		return -1
	}
	return offset
}

// Path is the path of the Location, "" if there is none.
func (a Answer) Path() string {
	location, err := url.Parse(a.Header.Get("Location"))
	if err != nil {
		return ""
	}
	return location.EscapedPath()
}

// Transient reports whether clients retry after the answer.
func (a Answer) Transient() bool {
	return (a.Status == http.StatusLocked || a.Status >= 500) && a.Header.Get("Retry-After") != ""
}

// Want returns an error if the answer to what has another status.
func (a Answer) Want(what string, status int) error {
	if a.Status != status {
		return fmt.Errorf("%s: %v, want %d", what, a, status)
	}
	return nil
}

func (a Answer) String() string {
	return fmt.Sprintf("%d %v %s", a.Status, a.Header, a.Body)
}
