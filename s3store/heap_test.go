package s3store_test

import (
	"log/slog"
	"slices"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/heaptest"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
)

// No data of clients stays in memory between requests, except in the bounded
// cache of states.
func TestHeapComesBack(t *testing.T) {
	heaptest.Run(t, func(t *testing.T) heaptest.Target {
		server := s3server.Start(t, s3server.Options{})
		empty := server.Snapshot()
		store, composer := testStore(server.Bucket(), clientOf(t, server)), tusd.NewStoreComposer()
		store.UseIn(composer)
		handler, err := tusd.NewHandler(tusd.Config{BasePath: "/files/", StoreComposer: composer, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { handler.Shutdown(t.Context()) })
		s3store.SetCacheBudget(store, 4<<20)
		return heaptest.Target{Handler: handler, MaxRetained: 8 << 20, DropStorage: func() {
			server.Restore(empty)
			server.Recount()
		}}
	}, slices.Concat(heaptest.Requests, heaptest.Records))
}
