package tusd_test

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/heaptest"
	"github.com/tus/tusd/storetest"
)

// idStore records the last id that was loaded.
type idStore struct {
	*storetest.Memory
	id string
}

func (s *idStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	s.id = id
	return s.Memory.GetUpload(ctx, lease, id)
}

// An id from a request owns its bytes, so that a table with ids does not keep request
// lines in memory.
func TestIDsOwnTheirBytes(t *testing.T) {
	const id = "an-id"
	store := &idStore{Memory: storetest.NewMemory()}
	h, err := tusd.NewHandler(tusd.Config{
		BasePath: "/files/", StoreComposer: &tusd.StoreComposer{Core: store}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodHead, "/files/"+id+"?"+strings.Repeat("q", 1000), nil)
	for name, serve := range map[string]http.HandlerFunc{
		"ServeHTTP":   h.ServeHTTP,
		"ServeUpload": func(w http.ResponseWriter, r *http.Request) { h.ServeUpload(w, r, r.URL.Path[len("/files/"):]) },
	} {
		store.id = ""
		serve(httptest.NewRecorder(), r)
		if store.id != id || heaptest.Pins(store.id, r.RequestURI) {
			t.Errorf("%s: the id is %q, and a slice of the request line: %t", name, store.id, heaptest.Pins(store.id, r.RequestURI))
		}
	}
	list := "/files/" + id + " /files/" + id
	ids, err := tusd.ParsePartials(list, "http://example.com", "/files/", 2)
	if err != nil || len(ids) != 2 || heaptest.Pins(ids[0], list) || heaptest.Pins(ids[1], list) {
		t.Errorf("partials %q, %v", ids, err)
	}
}
