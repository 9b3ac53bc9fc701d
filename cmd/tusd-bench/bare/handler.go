// Package bare is the server that tusd is compared with: it does the least work of an
// upload server. It speaks as much of tus 1.0 as a benchmark needs, on
// net/http with its defaults, and must not be used for anything else: it has
// no locks (two requests on one upload corrupt it), no limits, no log, no
// checks of what clients send, and no protection against links in its
// directory.
//
// # System calls
//
// An upload is a record <id>.info, JSON with the three values of its answers,
// and its data <id>. Files are opened by plain paths. These are all
// the system calls on files that a request makes, in this order. The calls in
// brackets are made only with sync, which has the durability of tusd's
// default. A test compares the list with a trace.
//
//	POST    open the record (O_CREAT|O_EXCL), write, [fdatasync,] close
//	        open the data (O_CREAT|O_EXCL), (with content: pwrite ..., [fdatasync,]) close
//	        [fsync the directory, which is open]
//	PATCH   open the data, fstat for the offset, pwrite ..., [fdatasync,] close
//	HEAD    open the record, read, close; stat the data for the offset
//	DELETE  unlink the record, unlink the data, [fsync the directory]
//	GET     open the data, fstat, and what http.ServeContent does
//
// Empty data needs no sync: its name is synced with the directory. A PATCH does
// not read the record: the length in it is only needed to refuse content that
// these clients never send. Content is read into a pooled buffer of 256 KiB, with
// one pwrite for each read of the socket.
package bare

import (
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// BasePath is where uploads are created.
const BasePath = "/files/"

// filePerm are the permissions of new files, before the umask.
const filePerm = 0o664

// Handler serves the uploads of a directory.
type Handler struct {
	path string
	dir  *os.File // to sync it; nil: nothing is synced
}

// NewHandler returns a handler for an existing directory, which nothing else
// uses. With syncs it syncs the files before it answers.
func NewHandler(path string, syncs bool) (*Handler, error) {
	h := &Handler{path: path}
	if !syncs {
		return h, nil
	}
	dir, err := os.Open(path)
	h.dir = dir
	return h, err
}

// record is the stored record of an upload.
type record struct {
	ID       string
	Size     int64
	Metadata string
}

// ServeHTTP implements http.Handler.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Tus-Resumable", "1.0.0")
	id, ok := strings.CutPrefix(r.URL.Path, BasePath)
	if _, err := hex.DecodeString(id); !ok || err != nil || (id == "") != (r.Method == http.MethodPost) {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if err := h.serve(w, r, id); err != nil {
		http.Error(w, err.Error(), statusOf(err))
	}
}

func statusOf(err error) int {
	switch {
	case errors.Is(err, os.ErrNotExist):
		return http.StatusNotFound
	case errors.Is(err, errOffset):
		return http.StatusConflict
	}
	return http.StatusInternalServerError
}

func (h *Handler) serve(w http.ResponseWriter, r *http.Request, id string) error {
	switch r.Method {
	case http.MethodPost:
		return h.create(w, r)
	case http.MethodPatch:
		return h.patch(w, r, h.data(id))
	case http.MethodHead:
		return h.head(w, id)
	case http.MethodDelete:
		return h.remove(w, id)
	case http.MethodGet:
		return h.get(w, r, h.data(id))
	}
	w.WriteHeader(http.StatusMethodNotAllowed)
	return nil
}

func (h *Handler) data(id string) string { return filepath.Join(h.path, id) }
func (h *Handler) info(id string) string { return filepath.Join(h.path, id+".info") }

func (h *Handler) create(w http.ResponseWriter, r *http.Request) error {
	size, err := strconv.ParseInt(r.Header.Get("Upload-Length"), 10, 64)
	if err != nil {
		return err
	}
	var random [16]byte
	rand.Read(random[:]) // cannot fail
	id := hex.EncodeToString(random[:])
	if err := h.writeRecord(record{ID: id, Size: size, Metadata: r.Header.Get("Upload-Metadata")}); err != nil {
		return err
	}
	n, err := h.createData(id, r)
	if err != nil {
		return err
	}
	if err := h.syncNames(); err != nil {
		return err
	}
	w.Header().Set("Location", "http://"+r.Host+BasePath+id)
	w.Header().Set("Upload-Offset", strconv.FormatInt(n, 10))
	w.WriteHeader(http.StatusCreated)
	return nil
}

func (h *Handler) writeRecord(rec record) error {
	content, err := json.Marshal(rec)
	if err != nil {
		return err
	}
	f, err := open(h.info(rec.ID), os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return h.finish(f, err)
}

// createData creates the data of an upload, with the content of the request.
func (h *Handler) createData(id string, r *http.Request) (n int64, err error) {
	f, err := open(h.data(id), os.O_WRONLY|os.O_CREATE|os.O_EXCL)
	if err != nil {
		return 0, err
	}
	if r.ContentLength == 0 {
		return 0, f.Close()
	}
	n, err = store(f, 0, r.Body)
	return n, h.finish(f, err)
}

// finish closes a file that was written, with the given result.
func (h *Handler) finish(f file, err error) error {
	if err == nil && h.dir != nil {
		err = f.Sync()
	}
	return errors.Join(err, f.Close())
}

func (h *Handler) syncNames() error {
	if h.dir == nil {
		return nil
	}
	return h.dir.Sync()
}

// errOffset means that the claimed offset is not the end of the data.
var errOffset = errors.New("wrong offset")

func (h *Handler) patch(w http.ResponseWriter, r *http.Request, name string) error {
	f, err := open(name, os.O_WRONLY)
	if err != nil {
		return err
	}
	offset, err := h.append(f, r)
	if err = h.finish(f, err); err != nil {
		return err
	}
	w.Header().Set("Upload-Offset", strconv.FormatInt(offset, 10))
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// append stores the content of a request and returns the new offset.
func (h *Handler) append(f file, r *http.Request) (int64, error) {
	offset, err := f.Size()
	if err != nil {
		return 0, err
	}
	if r.Header.Get("Upload-Offset") != strconv.FormatInt(offset, 10) {
		return offset, errOffset
	}
	n, err := store(f, offset, r.Body)
	return offset + n, err
}

var buffers = sync.Pool{New: func() any { return new([256 << 10]byte) }}

// store writes src at offset.
func store(f file, offset int64, src io.Reader) (n int64, err error) {
	buffer := buffers.Get().(*[256 << 10]byte)
	defer buffers.Put(buffer)
	for {
		read, readErr := src.Read(buffer[:])
		if read > 0 {
			written, err := f.WriteAt(buffer[:read], offset+n)
			n += int64(written)
			if err != nil {
				return n, err
			}
		}
		switch {
		case errors.Is(readErr, io.EOF):
			return n, nil
		case readErr != nil:
			return n, readErr
		}
	}
}

func (h *Handler) head(w http.ResponseWriter, id string) error {
	content, err := readRecord(h.info(id))
	if err != nil {
		return err
	}
	var rec record
	if err := json.Unmarshal(content, &rec); err != nil {
		return err
	}
	stat, err := os.Stat(h.data(id))
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Upload-Offset", strconv.FormatInt(stat.Size(), 10))
	header.Set("Upload-Length", strconv.FormatInt(rec.Size, 10))
	header.Set("Upload-Metadata", rec.Metadata)
	header.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusOK)
	return nil
}

// readRecord reads a whole record in one call: none is longer than the buffer.
func readRecord(name string) ([]byte, error) {
	f, err := open(name, os.O_RDONLY)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	content := make([]byte, 4<<10)
	n, err := f.Read(content)
	return content[:n], err
}

func (h *Handler) remove(w http.ResponseWriter, id string) error {
	err := errors.Join(os.Remove(h.info(id)), os.Remove(h.data(id)), h.syncNames())
	if err == nil {
		w.WriteHeader(http.StatusNoContent)
	}
	return err
}

func (h *Handler) get(w http.ResponseWriter, r *http.Request, name string) error {
	f, err := os.Open(name)
	if err != nil {
		return err
	}
	defer f.Close()
	stat, err := f.Stat()
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(w, r, "", stat.ModTime(), f)
	return nil
}
