package tusclient

import (
	"fmt"
	"net/http"
	"strings"
)

// Header lines of tus 1.0.
const (
	Version      = "Tus-Resumable: 1.0.0" // the mark of the dialect
	OffsetStream = "Content-Type: application/offset+octet-stream"
)

// Uploads is the path where uploads are created.
const Uploads = "/files/"

// AppendHeader is the header of a PATCH at offset.
func AppendHeader(offset int64, more ...string) []string {
	return append([]string{Version, OffsetStream, fmt.Sprint("Upload-Offset: ", offset)}, more...)
}

// LengthOf is the header line that declares the length of an upload.
func LengthOf(length int64) string { return fmt.Sprint("Upload-Length: ", length) }

// Post sends a creation without content.
func (c *Client) Post(header ...string) (Answer, error) {
	return c.Do(http.MethodPost, Uploads, nil, append([]string{Version}, header...)...)
}

// PostWith sends a creation with content.
func (c *Client) PostWith(body []byte, header ...string) (Answer, error) {
	return c.Do(http.MethodPost, Uploads, body, append([]string{Version, OffsetStream}, header...)...)
}

// Create makes an upload of length bytes.
func (c *Client) Create(length int64, header ...string) (Answer, error) {
	return c.Post(append(header, LengthOf(length))...)
}

// CreateWith makes an upload of length bytes with its first ones.
func (c *Client) CreateWith(length int64, body []byte, header ...string) (Answer, error) {
	return c.PostWith(body, append(header, LengthOf(length))...)
}

// Concat makes a final upload of the partials at paths.
func (c *Client) Concat(paths ...string) (Answer, error) {
	return c.Post("Upload-Concat: final;" + strings.Join(paths, " "))
}

// Patch appends body at offset.
func (c *Client) Patch(path string, offset int64, body []byte, header ...string) (Answer, error) {
	return c.Do(http.MethodPatch, path, body, AppendHeader(offset, header...)...)
}

// OpenPatch sends the head of a PATCH at offset, as Open does.
func (c *Client) OpenPatch(path string, offset, length int64, header ...string) (*OpenRequest, error) {
	return c.Open(http.MethodPatch, path, length, AppendHeader(offset, header...)...)
}

// Head asks for the offset.
func (c *Client) Head(path string) (Answer, error) {
	return c.Do(http.MethodHead, path, nil, Version)
}

// Get downloads the upload.
func (c *Client) Get(path string) (Answer, error) {
	return c.Do(http.MethodGet, path, nil, Version)
}

// Delete terminates the upload.
func (c *Client) Delete(path string) (Answer, error) {
	return c.Do(http.MethodDelete, path, nil, Version)
}
