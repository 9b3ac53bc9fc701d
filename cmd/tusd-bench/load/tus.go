package load

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
)

// Target is a server under load, and its upload directory. One Run at a time uses it.
type Target struct {
	// Directory is where the server stores its uploads, as <id>; "": contents
	// are verified by GET instead.
	Directory string
	// DiscardsContent is set if the server or its service discards contents. Then only
	// offsets are verified.
	DiscardsContent bool
	// OrderHeader is set if the server generates contents itself. A PATCH of inChunks has no
	// content, and this header field has the number of bytes to generate.
	OrderHeader string

	address string // host:port
	path    string // where uploads are created
	created atomic.Uint64
	staying []Upload // until Clear
}

// NewTarget returns the server with a creation URL.
func NewTarget(creation, directory string) (*Target, error) {
	u, err := url.Parse(creation)
	if err != nil {
		return nil, err
	}
	if u.Scheme != "http" || u.Host == "" {
		return nil, fmt.Errorf("%s: only plain HTTP is supported", creation)
	}
	address := u.Host
	if u.Port() == "" {
		address += ":80"
	}
	return &Target{Directory: directory, address: address, path: u.EscapedPath()}, nil
}

// Upload is an upload on a server.
type Upload struct {
	Path    string // of its URL
	Content Content
	Length  int64
	Offset  int64 // what the server has acknowledged
}

// next returns an upload that is to be created.
func (t *Target) next(length int64) Upload {
	return Upload{Content: Content(t.created.Add(1)), Length: length}
}

// Existing returns an upload that this program has not created.
func (t *Target) Existing(id string, content Content, offset, length int64) Upload {
	return Upload{Path: t.path + id, Content: content, Offset: offset, Length: length}
}

// Look sends a HEAD of u over a new connection, and compares the answer.
func (t *Target) Look(u Upload) error {
	c, err := dial(t.address, slowSendSize)
	if err != nil {
		return err
	}
	defer c.Close()
	return c.look(&u)
}

// Metadata is the Upload-Metadata of every upload: most clients name the file.
const Metadata = "filename aG9saWRheS5qcGc=,filetype aW1hZ2UvanBlZw=="

const (
	appending = "Content-Type: application/offset+octet-stream\r\n"
	metadata  = "Upload-Metadata: " + Metadata + "\r\n"
)

// create creates u with its first n bytes; unknown: without content.
func (c *Conn) create(t *Target, u *Upload, n int64) error {
	header := metadata + "Upload-Length: " + strconv.FormatInt(u.Length, 10) + "\r\n"
	if n == unknown {
		n = 0
	} else {
		header += appending
	}
	a, err := c.exchange(request{method: "POST", path: t.path, header: header, content: u.Content, length: n})
	if err != nil {
		return err
	}
	if a.Status != http.StatusCreated || a.Location == "" {
		return fmt.Errorf("creation was answered %d, Location %q", a.Status, a.Location)
	}
	location, err := url.Parse(a.Location)
	if err != nil {
		return err
	}
	u.Path = location.EscapedPath()
	if n > 0 && a.Offset != n {
		return fmt.Errorf("creation with %d bytes was answered with offset %d", n, a.Offset)
	}
	u.Offset = n
	return nil
}

// patch sends the next n bytes of u.
func (c *Conn) patch(u *Upload, n int64) error {
	return c.appendBy(u, patchOf(u, n), n)
}

// appendBy sends a request that adds n bytes to u.
func (c *Conn) appendBy(u *Upload, r request, n int64) error {
	a, err := c.exchange(r)
	if err != nil {
		return err
	}
	if a.Status != http.StatusNoContent || a.Offset != u.Offset+n {
		return fmt.Errorf("PATCH %s of %d bytes at %d was answered %d with offset %d", u.Path, n, u.Offset, a.Status, a.Offset)
	}
	u.Offset += n
	return nil
}

// order makes the server generate the next n bytes of u.
func (c *Conn) order(u *Upload, header string, n int64) error {
	r := patchOf(u, 0)
	r.header += header + ": " + strconv.FormatInt(n, 10) + "\r\n"
	return c.appendBy(u, r, n)
}

func patchOf(u *Upload, n int64) request {
	header := appending + "Upload-Offset: " + strconv.FormatInt(u.Offset, 10) + "\r\n"
	return request{method: "PATCH", path: u.Path, header: header, content: u.Content, offset: u.Offset, length: n}
}

// head sends a HEAD of u.
func (c *Conn) head(u *Upload) (Answer, error) {
	return c.exchange(request{method: "HEAD", path: u.Path, length: unknown})
}

// look sends a HEAD of u, and fails unless the answer has the acknowledged offset.
func (c *Conn) look(u *Upload) error {
	a, err := c.head(u)
	if err != nil {
		return err
	}
	if a.Status != http.StatusOK || a.Offset != u.Offset || a.Length != u.Length {
		return fmt.Errorf("HEAD %s was answered %d with offset %d of %d, want %d of %d",
			u.Path, a.Status, a.Offset, a.Length, u.Offset, u.Length)
	}
	return nil
}

// remove terminates u.
func (c *Conn) remove(u *Upload) error {
	a, err := c.exchange(request{method: "DELETE", path: u.Path, length: unknown})
	if err != nil {
		return err
	}
	if a.Status != http.StatusNoContent {
		return fmt.Errorf("DELETE %s was answered %d", u.Path, a.Status)
	}
	return nil
}

// verify compares the stored upload with the acknowledged bytes.
func (c *Conn) verify(t *Target, u *Upload) error {
	err := c.look(u)
	if err == nil {
		err = c.compare(t, u)
	}
	if err != nil {
		return fmt.Errorf("upload %s: %w", u.Path, err)
	}
	return nil
}

func (c *Conn) compare(t *Target, u *Upload) error {
	switch {
	case t.Directory != "":
		return compareFile(filepath.Join(t.Directory, path.Base(u.Path)), u)
	case t.DiscardsContent || u.Offset < u.Length:
		return nil // servers of tus 1.0 need not show unfinished uploads
	}
	return c.download(u)
}

func compareFile(name string, u *Upload) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	return u.Content.Compare(f, u.Offset)
}

// download compares the answer to a GET of u.
func (c *Conn) download(u *Upload) error {
	c.begin(request{method: "GET", path: u.Path, length: unknown})
	if err := c.send(0, 0, 0); err != nil {
		return err
	}
	answer, err := http.ReadResponse(c.in, nil)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 200))
		return fmt.Errorf("GET was answered %s: %s", answer.Status, strings.TrimSpace(string(text)))
	}
	return u.Content.Compare(answer.Body, u.Length)
}
