// Package sdk is what tusd's work on S3 is measured against: the concurrent
// uploader of the AWS SDK, which has no offsets to keep, no records and no
// limit of memory, and a bare handler on net/http that receives the bytes. It
// speaks as much of tus 1.0 as a benchmark needs, checks nothing and must not
// be used for anything else.
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

// OrderHeader says in a PATCH without content how many bytes the server is to
// store out of its memory.
const OrderHeader = "Bench-Bytes"

// Handler takes uploads and hands the content of each PATCH to a sink.
type Handler struct {
	sink sink

	mu      sync.Mutex
	uploads map[string]*upload
}

// sink takes what a PATCH brings, under a key that no other has, and returns
// its size.
type sink func(ctx context.Context, key string, r *http.Request) (int64, error)

// upload is what is known of an upload. It has one request at a time.
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

// drop receives the content of a request in large pieces and forgets it: the
// least that receiving takes.
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
