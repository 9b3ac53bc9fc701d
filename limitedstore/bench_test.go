package limitedstore_test

import (
	"bytes"
	"log/slog"
	"net/http"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// BenchmarkUpload creates, fills and removes a small upload, with and without a limit.
func BenchmarkUpload(b *testing.B) {
	bench := func(name string, s *server) {
		b.Run(name, func(b *testing.B) {
			content := make([]byte, 1000)
			b.ReportAllocs()
			for b.Loop() {
				url := s.create(1000).Header.Get("Location")
				if status := s.patch(url, 0, bytes.NewReader(content)).StatusCode; status != http.StatusNoContent {
					b.Fatalf("a PATCH is answered %d", status)
				}
				s.do(http.MethodDelete, url, nil)
			}
		})
	}
	bench("limit", serve(b, storetest.NewMemory(), 1<<40, tusd.Config{}, nil))
	composer := tusd.NewStoreComposer()
	composer.UseCore(storetest.NewMemory())
	handler, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		b.Fatal(err)
	}
	bench("none", &server{TB: b, handler: handler})
	if err := handler.Shutdown(b.Context()); err != nil {
		b.Error(err)
	}
}
