// Package sdk has the servers that tusd on S3 is compared with: the concurrent uploader of
// the AWS SDK, without offsets, records and a limit of memory, behind a minimal handler on
// net/http that receives the bytes. It speaks as much of tus 1.0 as a benchmark needs, checks
// nothing and must not be used for anything else.
package sdk

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
)

// BasePath is where uploads are created.
const BasePath = "/files/"

// OrderHeader is the header field of a PATCH without content with the number of bytes that
// the server stores from its memory.
const OrderHeader = "Bench-Bytes"

// Handler receives uploads and passes the content of each PATCH to a sink.
type Handler struct {
	sink sink

	mu      sync.Mutex
	uploads map[string]*upload
}

// sink stores the content of a PATCH under a new key, and returns its size.
type sink func(ctx context.Context, key string, r *http.Request) (int64, error)

// upload is the state of an upload. It has one request at a time.
type upload struct{ length, offset int64 }

func newHandler(s sink) *Handler {
	return &Handler{sink: s, uploads: make(map[string]*upload)}
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Tus-Resumable", "1.0.0")
	if r.Method == http.MethodPost {
		h.create(w, r)
		return
	}
	id := strings.TrimPrefix(r.URL.Path, BasePath)
	u := h.upload(id)
	if u == nil {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	switch r.Method {
	case http.MethodHead:
		u.show(w, http.StatusOK)
	case http.MethodPatch:
		h.patch(w, r, id, u)
	case http.MethodDelete:
		h.remove(id)
		w.WriteHeader(http.StatusNoContent)
	default:
		w.WriteHeader(http.StatusMethodNotAllowed)
	}
}

func (h *Handler) create(w http.ResponseWriter, r *http.Request) {
	length, err := strconv.ParseInt(r.Header.Get("Upload-Length"), 10, 64)
	if err != nil || r.ContentLength > 0 {
		http.Error(w, "a creation has a length and no content here", http.StatusBadRequest)
		return
	}
	id := rand.Text()
	h.mu.Lock()
	h.uploads[id] = &upload{length: length}
	h.mu.Unlock()
	w.Header().Set("Location", "http://"+r.Host+BasePath+id)
	w.WriteHeader(http.StatusCreated)
}

func (h *Handler) upload(id string) *upload {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.uploads[id]
}

func (h *Handler) remove(id string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.uploads, id)
}

func (h *Handler) patch(w http.ResponseWriter, r *http.Request, id string, u *upload) {
	if r.Header.Get("Upload-Offset") != strconv.FormatInt(u.offset, 10) {
		u.show(w, http.StatusConflict)
		return
	}
	n, err := h.sink(r.Context(), fmt.Sprintf("%s.%d", id, u.offset), r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	u.offset += n
	u.show(w, http.StatusNoContent)
}

func (u *upload) show(w http.ResponseWriter, status int) {
	w.Header().Set("Upload-Offset", strconv.FormatInt(u.offset, 10))
	w.Header().Set("Upload-Length", strconv.FormatInt(u.length, 10))
	w.WriteHeader(status)
}

// drop reads the content of a request in large blocks and discards it: this is the least cost
// of receiving.
func drop(_ context.Context, _ string, r *http.Request) (n int64, err error) {
	buffer := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buffer)
	for {
		read, err := r.Body.Read(buffer[:])
		n += int64(read)
		if err == io.EOF {
			return n, nil
		}
		if err != nil {
			return n, err
		}
	}
}

var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}
