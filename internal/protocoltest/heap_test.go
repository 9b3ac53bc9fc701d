package protocoltest

import (
	"errors"
	"log/slog"
	"math"
	"slices"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filelocker"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/heaptest"
	"github.com/tus/tusd/storetest"
)

// Data of clients does not stay in memory between requests.
func TestHeapComesBack(t *testing.T) {
	t.Run("memory", func(t *testing.T) {
		heaptest.Run(t, func(t *testing.T) heaptest.Target {
			composer, memory := tusd.NewStoreComposer(), storetest.NewMemory()
			memory.UseIn(composer)
			return target(t, composer, func() { removeAll(t, memory) })
		}, slices.Concat(heaptest.Requests, heaptest.IDs))
	})
	t.Run("files", func(t *testing.T) {
		heaptest.Run(t, func(t *testing.T) heaptest.Target {
			composer := tusd.NewStoreComposer()
			store := &filestore.FileStore{Path: t.TempDir(), Durability: filestore.None}
			t.Cleanup(func() { store.Close() })
			store.UseIn(composer)
			composer.UseLocker(filelocker.New(store.Path))
			return target(t, composer, nil)
		}, slices.Concat(heaptest.Requests, heaptest.IDs, heaptest.Records))
	})
}

// removeAll removes all uploads of a store.
func removeAll(t *testing.T, memory *storetest.Memory) {
	t.Helper()
	uploads, _, err := memory.List(t.Context(), "", tusd.ListFilter{}, math.MaxInt)
	for _, listed := range uploads {
		lease, lockErr := new(tusd.LocalLocker).Lock(t.Context(), listed.ID, tusd.LockTry)
		err = errors.Join(err, lockErr, memory.Terminate(t.Context(), lease, listed.ID))
	}
	if err != nil {
		t.Fatal(err)
	}
}

func target(t *testing.T, composer *tusd.StoreComposer, forget func()) heaptest.Target {
	t.Helper()
	handler, err := tusd.NewHandler(tusd.Config{BasePath: "/files/", StoreComposer: composer, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { handler.Shutdown(t.Context()) })
	return heaptest.Target{Handler: handler, DropStorage: forget, MaxRetained: 8 << 20}
}
