package tusd_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
)

// Let incomplete uploads expire a day after their last change, and remove them, complete
// uploads after a month, and what crashes have left. A program calls Sweep every hour or so.
func ExampleHandler_Sweep() {
	dir, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(dir)
	composer := tusd.NewStoreComposer()
	filestore.New(dir).UseIn(composer)
	handler, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, ExpireAfter: 24 * time.Hour})
	if err != nil {
		panic(err)
	}
	defer handler.Shutdown(context.Background())

	r := httptest.NewRequest("POST", "/", nil)
	r.Header.Set("Tus-Resumable", "1.0.0")
	r.Header.Set("Upload-Length", "5")
	w := httptest.NewRecorder()
	handler.ServeHTTP(w, r)
	fmt.Println("expires:", w.Header().Get("Upload-Expires") != "")

	summary, err := handler.Sweep(context.Background(), tusd.SweepPolicy{
		Ages:       map[tusd.UploadClass]time.Duration{tusd.ClassComplete: 30 * 24 * time.Hour},
		OnlyWriter: true, // no other process changes the directory
	})
	fmt.Println("removed:", summary.Removed, err)
	// Output:
	// expires: true
	// removed: 0 <nil>
}
