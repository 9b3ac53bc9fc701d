package protocoltest

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/tusclient"
)

// A callback may change its arguments and its results later: the store has copies.
func TestCallbacksGetCopies(t *testing.T) {
	kept := tusd.MetaData{"filename": "kept.txt"}
	composer := tusd.NewStoreComposer()
	store := &filestore.FileStore{Path: t.TempDir(), Durability: filestore.None}
	store.UseIn(composer)
	defer store.Close()
	handler, err := tusd.NewHandler(tusd.Config{BasePath: "/files/", StoreComposer: composer, Callbacks: tusd.Callbacks{
		PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
			return tusd.HTTPResponse{}, tusd.FileInfoChanges{MetaData: kept}, nil
		},
		PreFinish: func(_ context.Context, event tusd.Event) (tusd.HTTPResponse, error) {
			clear(kept)
			clear(event.Upload.MetaData)
			return tusd.HTTPResponse{}, nil
		},
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer handler.Shutdown(t.Context())
	p := tusclient.InProcess{TB: t, Handler: handler}
	path := p.CreateFull(make([]byte, 4096))
	header := p.Do(http.StatusOK, tusclient.NewRequest(http.MethodGet, path, nil))
	if got := header.Get("Content-Disposition"); !strings.Contains(got, "kept.txt") {
		t.Errorf("the file is called %q", got)
	}
}
