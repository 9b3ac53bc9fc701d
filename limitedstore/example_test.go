package limitedstore_test

import (
	"context"
	"fmt"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/limitedstore"
)

// A directory that keeps at most 100 MiB, and 10 MiB for each owner. Incomplete uploads go if there
// is no space.
func Example() {
	dir, err := os.MkdirTemp("", "uploads")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)

	composer := tusd.NewStoreComposer()
	store := filestore.New(dir)
	store.UseIn(composer)
	limited := limitedstore.New(100<<20, composer)
	limited.Policy = limitedstore.PolicyUnfinished
	limited.OwnerQuota = 10 << 20
	limited.UseIn(composer)

	handler, err := tusd.NewHandler(tusd.Config{
		StoreComposer: composer,
		BasePath:      "/files/",
		Logger:        slog.New(slog.DiscardHandler),
		Callbacks: tusd.Callbacks{
			PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
				return tusd.HTTPResponse{}, tusd.FileInfoChanges{Owner: "alice"}, nil // of the request
			},
		},
	})
	if err != nil {
		log.Fatal(err)
	}

	for _, length := range []string{"5242880", "6291456", "104857601"} {
		r := httptest.NewRequest(http.MethodPost, "/files/", nil)
		r.Header.Set("Tus-Resumable", "1.0.0")
		r.Header.Set("Upload-Length", length)
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		fmt.Println(length, w.Code)
	}
	fmt.Println("reserved:", limited.Usage().Reserved)

	handler.Shutdown(context.Background())
	limited.Close() // stores the sums
	store.Close()
	// Output:
	// 5242880 201
	// 6291456 507
	// 104857601 413
	// reserved: 5242880
}
