package limitedstore_test

import (
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/limitedstore"
	"github.com/tus/tusd/storetest"
)

// A limited store has the abilities of the wrapped one, and forwards each of them.
func TestAbilities(t *testing.T) {
	storetest.Wrapper(t, func(tb testing.TB, inner *tusd.StoreComposer) *tusd.StoreComposer {
		limited, composer := limitedstore.New(plenty, inner), tusd.NewStoreComposer()
		tb.Cleanup(func() { closeStore(tb, limited) })
		limited.UseIn(composer)
		return composer
	})
}

// UseIn may be called with the composer of the wrapped store, and keeps its locker.
func TestUseInSameComposer(t *testing.T) {
	composer, locker := tusd.NewStoreComposer(), new(tusd.LocalLocker)
	storetest.NewMemory().UseIn(composer)
	composer.UseLocker(locker)
	limited := limitedstore.New(plenty, composer)
	limited.UseIn(composer)
	if composer.Core != limited || composer.Locker != locker {
		t.Errorf("the composer has %T and %T", composer.Core, composer.Locker)
	}
	other := tusd.NewStoreComposer()
	limited.UseIn(other)
	if other.Locker != locker {
		t.Errorf("another composer has %T", other.Locker)
	}
}
