package tusd_test

import (
	"maps"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// The store of the example keeps the contract.
func TestExampleStore(t *testing.T) {
	storetest.Run(t, storetest.Harness{New: newMapStore, Reopen: reopenMapStore})
}

func newMapStore(testing.TB) *tusd.StoreComposer {
	composer := tusd.NewStoreComposer()
	composer.UseCore(&mapStore{uploads: make(map[string]*mapEntry)})
	return composer
}

// reopenMapStore returns the same uploads in a new store.
func reopenMapStore(tb testing.TB, old *tusd.StoreComposer) *tusd.StoreComposer {
	composer := newMapStore(tb)
	maps.Copy(composer.Core.(*mapStore).uploads, old.Core.(*mapStore).uploads)
	return composer
}
