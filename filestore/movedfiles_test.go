//go:build unix

package filestore_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
)

// finishedUpload uploads a file to a new handler. It returns the handler, the composer and the record.
func finishedUpload(t *testing.T, store *filestore.FileStore) (*tusd.Handler, *tusd.StoreComposer, tusd.FileInfo) {
	t.Helper()
	store.Path = filepath.Join(t.TempDir(), "uploads")
	composer := tusd.NewStoreComposer()
	store.UseIn(composer)
	finished := make(chan tusd.FileInfo, 1)
	handler, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, Events: sinkFunc(func(event tusd.Event) error {
		if event.Type == tusd.EventPostFinish {
			finished <- event.Upload.Clone()
		}
		return nil
	})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		handler.Shutdown(context.Background())
		store.Close()
	})
	if w := request(handler, "POST", "", "content"); w.Code != http.StatusCreated {
		t.Fatalf("POST: %d %s", w.Code, w.Body)
	}
	return handler, composer, <-finished
}

// sinkFunc is a sink without Close.
type sinkFunc func(tusd.Event) error

func (f sinkFunc) Send(_ context.Context, event tusd.Event) error { return f(event) }
func (f sinkFunc) Close()                                         {}

// request makes a tus request for an upload, or creates one with that content.
func request(handler http.Handler, method, id, content string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "/"+id, strings.NewReader(content))
	r.Header.Set("Tus-Resumable", "1.0.0")
	if method == "POST" {
		r.Header.Set("Upload-Length", "7")
		r.Header.Set("Content-Type", "application/offset+octet-stream")
	}
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	return w
}

// An upload whose data has a second name works as before, and its removal leaves that name.
func TestLinkedDataOutlivesItsUpload(t *testing.T) {
	handler, _, info := finishedUpload(t, &filestore.FileStore{})
	place := filepath.Join(t.TempDir(), "finished")
	if err := os.Link(info.Storage["Path"], place); err != nil {
		t.Fatal(err)
	}
	if w := request(handler, "HEAD", info.ID, ""); w.Code != http.StatusOK || w.Header().Get("Upload-Offset") != "7" {
		t.Errorf("HEAD: %d, offset %q; want 200 and 7", w.Code, w.Header().Get("Upload-Offset"))
	}
	if w := request(handler, "GET", info.ID, ""); w.Code != http.StatusOK || w.Body.String() != "content" {
		t.Errorf("GET: %d %q, want 200 and the content", w.Code, w.Body)
	}
	if err := handler.TryTerminate(t.Context(), info.ID); err != nil {
		t.Fatal(err)
	}
	wantGone(t, handler, info)
	if content, err := os.ReadFile(place); string(content) != "content" {
		t.Errorf("the finished file has %q (%v)", content, err)
	}
}

// An upload whose data has been moved away is not found, and can still be listed and
// removed: by the program and by a client.
func TestMovedDataLeavesARecordThatCanBeRemoved(t *testing.T) {
	for name, remove := range map[string]func(*tusd.Handler, string) error{
		"Terminate":    func(h *tusd.Handler, id string) error { return h.Terminate(context.Background(), id) },
		"TryTerminate": func(h *tusd.Handler, id string) error { return h.TryTerminate(context.Background(), id) },
		"DELETE": func(h *tusd.Handler, id string) error {
			if w := request(h, "DELETE", id, ""); w.Code != http.StatusNoContent {
				return errors.New(w.Body.String())
			}
			return nil
		},
	} {
		for _, key := range []string{"", "{date}/{id}/data"} {
			t.Run(name+key, func(t *testing.T) { testMovedData(t, key, remove) })
		}
	}
}

func testMovedData(t *testing.T, key string, remove func(*tusd.Handler, string) error) {
	handler, composer, info := finishedUpload(t, &filestore.FileStore{FileKey: key})
	place := filepath.Join(t.TempDir(), "finished")
	if err := os.Rename(info.Storage["Path"], place); err != nil {
		t.Fatal(err)
	}
	for _, method := range []string{"HEAD", "GET"} {
		if w := request(handler, method, info.ID, ""); w.Code != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", method, w.Code)
		}
	}
	if _, err := handler.Info(t.Context(), info.ID); !errors.Is(err, tusd.ErrNotFound) || !errors.Is(err, tusd.ErrBroken) {
		t.Errorf("Info gives %v, want ErrNotFound that is ErrBroken", err)
	}
	if uploads, _, err := composer.Lister.List(t.Context(), "", tusd.ListFilter{}, 10); len(uploads) != 1 {
		t.Errorf("the store lists %v (%v), want the upload", uploads, err)
	}
	if err := remove(handler, info.ID); err != nil {
		t.Fatal(err)
	}
	wantGone(t, handler, info)
	if uploads, _, err := composer.Lister.List(t.Context(), "", tusd.ListFilter{}, 10); len(uploads) != 0 {
		t.Errorf("afterwards the store lists %v (%v)", uploads, err)
	}
	if content, err := os.ReadFile(place); string(content) != "content" {
		t.Errorf("the moved file has %q (%v)", content, err)
	}
}

// wantGone checks that nothing is left of an upload.
func wantGone(t *testing.T, handler *tusd.Handler, info tusd.FileInfo) {
	t.Helper()
	if w := request(handler, "HEAD", info.ID, ""); w.Code != http.StatusNotFound {
		t.Errorf("HEAD after the removal: %d, want 404", w.Code)
	}
	for _, path := range []string{info.Storage["Path"], info.Storage["InfoPath"]} {
		if _, err := os.Lstat(path); !os.IsNotExist(err) {
			t.Errorf("%s is left (%v)", path, err)
		}
	}
	if err := handler.Terminate(t.Context(), info.ID); !errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("a second removal gives %v, want ErrNotFound", err)
	}
}

// A copy that is made while the upload is complete has all of its bytes, also if a client removes
// the upload meanwhile: the open file stays.
func TestCopyOfDataWhileItIsRemoved(t *testing.T) {
	handler, _, info := finishedUpload(t, &filestore.FileStore{})
	data, err := os.Open(info.Storage["Path"])
	if err != nil {
		t.Fatal(err)
	}
	defer data.Close()
	if w := request(handler, "DELETE", info.ID, ""); w.Code != http.StatusNoContent {
		t.Fatalf("DELETE: %d", w.Code)
	}
	if content, err := io.ReadAll(data); string(content) != "content" {
		t.Errorf("the copy has %q (%v)", content, err)
	}
}
