//go:build unix

package tusd_test

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
)

// finishedFiles is the directory of the finished files, and the sink that puts them there.
type finishedFiles string

// Send links the data of a finished upload.
func (dir finishedFiles) Send(_ context.Context, event tusd.Event) error {
	if event.Type != tusd.EventPostFinish {
		return nil
	}
	return dir.link(event.Upload)
}

// link gives the data of an upload a second name, which is on disk when link returns. It may
// be called twice. After an error the event comes again.
func (dir finishedFiles) link(upload tusd.FileInfo) error {
	data, target := upload.Storage["Path"], filepath.Join(string(dir), upload.ID)
	if err := os.Link(data, target); err != nil {
		from, fromErr := os.Stat(data)
		to, toErr := os.Stat(target)
		if fromErr != nil || toErr != nil || !os.SameFile(from, to) {
			return err
		}
	}
	d, err := os.Open(string(dir))
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

func (dir finishedFiles) Close() {}

// sweep removes the complete uploads that have not changed since before. It links again
// what Send could not link in 24 h. A program calls it at its start and now and then. Until
// then a client that has lost the last answer learns from HEAD that its upload is complete.
func (dir finishedFiles) sweep(handler *tusd.Handler, uploads tusd.Lister, before time.Time) {
	old := tusd.ListFilter{Before: map[tusd.UploadClass]time.Time{tusd.ClassComplete: before, tusd.ClassPartial: before}}
	for cursor, more := "", true; more; more = cursor != "" {
		page, next, err := uploads.List(context.Background(), cursor, old, 100)
		if err != nil {
			return // the next sweep tries again
		}
		for _, listed := range page {
			upload, err := handler.Info(context.Background(), listed.ID)
			if err == nil && upload.Complete() && (upload.IsPartial || dir.link(upload) == nil) {
				handler.TryTerminate(context.Background(), upload.ID) // after an error the next sweep tries again
			}
		}
		cursor = next
	}
}

// Move finished files to a place of the program, and let the uploads go a day later.
func Example_movingFiles() {
	base, _ := os.MkdirTemp("", "example")
	defer os.RemoveAll(base)
	finished := finishedFiles(filepath.Join(base, "finished"))
	os.Mkdir(string(finished), 0o755)
	composer := tusd.NewStoreComposer()
	filestore.New(filepath.Join(base, "uploads")).UseIn(composer)
	handler, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, Events: finished})
	if err != nil {
		panic(err)
	}
	defer handler.Shutdown(context.Background())

	r := httptest.NewRequest("POST", "/", strings.NewReader("hello")) // create, with all of the content
	r.Header.Set("Tus-Resumable", "1.0.0")
	r.Header.Set("Upload-Length", "5")
	r.Header.Set("Content-Type", "application/offset+octet-stream")
	handler.ServeHTTP(httptest.NewRecorder(), r)
	finished.sweep(handler, composer.Lister, time.Now().Add(time.Hour)) // a program: time.Now().Add(-24*time.Hour)

	files, _ := filepath.Glob(filepath.Join(string(finished), "*"))
	content, _ := os.ReadFile(files[0])
	_, err = handler.Info(context.Background(), filepath.Base(files[0]))
	fmt.Printf("%s, and no upload: %t\n", content, errors.Is(err, tusd.ErrNotFound))
	// Output: hello, and no upload: true
}
