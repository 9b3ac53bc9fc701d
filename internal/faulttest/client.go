//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/tus/tusd/internal/wire"
)

// Client speaks tus to a daemon, one connection for each request. It believes
// nothing but what an answer says, and repeats nothing by itself.
type Client struct {
	Address string // host:port
}

// Answer is what the daemon said.
type Answer struct {
	Status int
	Header http.Header
	Body   []byte
}

// Offset is the Upload-Offset of the answer, -1 if it has none.
func (a Answer) Offset() int64 {
	offset, err := strconv.ParseInt(a.Header.Get("Upload-Offset"), 10, 64)
	if err != nil {
		return -1
	}
	return offset
}

// Path is the path of the Location of the answer, "" if it has none.
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

func (a Answer) String() string {
	return fmt.Sprintf("%d %v %s", a.Status, a.Header, a.Body)
}

// want turns an answer with another status into an error.
func (a Answer) want(what string, status int) error {
	if a.Status != status {
		return fmt.Errorf("%s: %v, want %d", what, a, status)
	}
	return nil
}

// errNoAnswer marks the errors of requests that have got no complete answer.
var errNoAnswer = errors.New("no answer")

const offsetStream = "Content-Type: application/offset+octet-stream"

// uploadsPath is where uploads are made.
const uploadsPath = "/files/"

// Do sends a request with a whole body. An error means that there was no
// complete answer.
func (c Client) Do(method, path string, body []byte, header ...string) (Answer, error) {
	running, err := c.open(method, path, int64(len(body)), header)
	if err != nil {
		return Answer{}, err
	}
	if len(body) > 0 {
		go running.Write(body) // an answer may come before all of it is sent
	}
	return running.Answer()
}

// Create makes an upload of length bytes.
func (c Client) Create(length int64, header ...string) (Answer, error) {
	header = append(header, fmt.Sprint("Upload-Length: ", length))
	return c.Do(http.MethodPost, uploadsPath, nil, header...)
}

// CreateWith makes an upload of length bytes with its first ones.
func (c Client) CreateWith(length int64, body []byte, header ...string) (Answer, error) {
	header = append(header, fmt.Sprint("Upload-Length: ", length), offsetStream)
	return c.Do(http.MethodPost, uploadsPath, body, header...)
}

// Concat makes a final upload.
func (c Client) Concat(paths ...string) (Answer, error) {
	return c.Do(http.MethodPost, uploadsPath, nil, "Upload-Concat: final;"+strings.Join(paths, " "))
}

// Patch appends body at offset.
func (c Client) Patch(path string, offset int64, body []byte) (Answer, error) {
	return c.Do(http.MethodPatch, path, body, patchHeader(offset)...)
}

func patchHeader(offset int64) []string {
	return []string{offsetStream, fmt.Sprint("Upload-Offset: ", offset)}
}

// Head asks for the offset.
func (c Client) Head(path string) (Answer, error) {
	return c.Do(http.MethodHead, path, nil)
}

// Delete removes the upload.
func (c Client) Delete(path string) (Answer, error) {
	return c.Do(http.MethodDelete, path, nil)
}

// Get downloads the upload.
func (c Client) Get(path string) (Answer, error) {
	return c.Do(http.MethodGet, path, nil)
}

// HeadUntilAnswered repeats Head while the answer is a transient error, or a final
// upload is still being built, as clients do. It gives up after waitTimeout.
func (c Client) HeadUntilAnswered(path string) (Answer, error) {
	for deadline := time.Now().Add(waitTimeout); ; time.Sleep(20 * time.Millisecond) {
		answer, err := c.Head(path)
		building := answer.Status == http.StatusOK && answer.Offset() < 0 && answer.Header.Get("Upload-Concat") != ""
		if err != nil || !answer.Transient() && !building {
			return answer, err
		}
		if time.Now().After(deadline) {
			return answer, fmt.Errorf("HEAD %s: for %v nothing but %v", path, waitTimeout, answer)
		}
	}
}

// Running is a request whose body is still being sent.
type Running struct {
	wire.Stream
	conn wire.Conn
	what string
}

// Begin starts a PATCH at offset. length is what it announces; wire.Unknown
// sends the body in chunks.
func (c Client) Begin(path string, offset, length int64) (*Running, error) {
	return c.open(http.MethodPatch, path, length, patchHeader(offset))
}

// open sends the head of a request of tus 1.0.
func (c Client) open(method, path string, length int64, header []string) (*Running, error) {
	return c.openMarked(tusMark, method, path, length, header)
}

// The header lines that say which dialect a request speaks.
const (
	tusMark   = "Tus-Resumable: 1.0.0"
	draftMark = "Upload-Draft-Interop-Version: 9"
)

func (c Client) openMarked(mark, method, path string, length int64, header []string) (*Running, error) {
	conn, err := wire.DialHTTP1(c.Address)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoAnswer, err)
	}
	header = append([]string{mark}, header...)
	stream, err := conn.Open(wire.Request{Method: method, Target: path, Header: header, Length: length})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errNoAnswer, errors.Join(err, conn.Close()))
	}
	return &Running{stream, conn, method + " " + path}, nil
}

// Answer waits for the answer and closes the connection.
func (r *Running) Answer() (Answer, error) {
	defer r.conn.Close()
	response, err := r.Response()
	if err != nil {
		return Answer{}, fmt.Errorf("%s: %w: %w", r.what, errNoAnswer, err)
	}
	return Answer{response.Status, response.Header, response.Body}, nil
}
