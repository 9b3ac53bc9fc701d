package s3store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"sync"
)

// objectReader reads an object from a position that Seek sets. Close may be
// called during a Read: net/http does so if its client disconnects during
// several ranges.
type objectReader struct {
	ctx  context.Context
	b    *bucket
	key  string
	etag string
	size int64

	mu     sync.Mutex
	at     int64
	body   io.ReadCloser // from at on; nil: not open
	closed bool
}

// Seek implements io.Seeker.
func (r *objectReader) Seek(offset int64, whence int) (int64, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch whence {
	case io.SeekCurrent:
		offset += r.at
	case io.SeekEnd:
		offset += r.size
	}
	if offset < 0 {
		return 0, errors.New("s3store: a negative position")
	}
	if offset != r.at {
		r.closeBody()
	}
	r.at = offset
	return offset, nil
}

// open opens the object at the position, if it is not open. The body is nil at
// the end of the object.
func (r *objectReader) open() (io.ReadCloser, error) {
	r.mu.Lock()
	at, body, closed := r.at, r.body, r.closed
	r.mu.Unlock()
	switch {
	case closed:
		return nil, fs.ErrClosed
	case body != nil || at >= r.size:
		return body, nil
	}
	body, err := r.b.openData(r.ctx, GetObject{Key: r.key, Range: fmt.Sprintf("bytes=%d-", at), IfMatch: r.etag})
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.closed {
		body.Close()
		return nil, fs.ErrClosed
	}
	r.body = body
	return body, nil
}

// Read implements io.Reader.
func (r *objectReader) Read(p []byte) (int, error) {
	body, err := r.open()
	if err != nil {
		return 0, asNotFound(err)
	}
	if body == nil {
		return 0, io.EOF
	}
	n, err := body.Read(p)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.at += int64(n)
	return n, err
}

// Close closes the reader.
func (r *objectReader) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.closed = true
	r.closeBody()
}

// closeBody closes the body. The caller holds r.mu.
func (r *objectReader) closeBody() {
	if r.body != nil {
		r.body.Close()
		r.body = nil
	}
}
