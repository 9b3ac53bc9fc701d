package limitedstore_test

import (
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/limitedstore"
	"github.com/tus/tusd/storetest"
)

const plenty = 1 << 40

// wrapped is a store with a limit, and its wrapped store.
type wrapped[T tusd.DataStore] struct {
	limited *limitedstore.LimitedStore
	inner   T
}

// harness runs the suite on a limited store. Each case ends with sums that agree with a
// count.
func harness[T tusd.DataStore](h storetest.Harness, reopen func(testing.TB, T) *tusd.StoreComposer) storetest.Harness {
	stores := make(map[tusd.DataStore]wrapped[T])
	wrap := func(tb testing.TB, inner *tusd.StoreComposer) *tusd.StoreComposer {
		limited := limitedstore.New(plenty, inner)
		limited.OwnerQuota = plenty
		stores[limited] = wrapped[T]{limited, inner.Core.(T)}
		tb.Cleanup(func() { closeStore(tb, limited) })
		composer := tusd.NewStoreComposer()
		limited.UseIn(composer)
		return composer
	}
	newInner, leftovers, damage := h.New, h.Leftovers, h.Break
	innerOf := func(c *tusd.StoreComposer) *tusd.StoreComposer {
		return &tusd.StoreComposer{Core: stores[c.Core].inner}
	}
	h.New = func(tb testing.TB) *tusd.StoreComposer { return wrap(tb, newInner(tb)) }
	h.Reopen = func(tb testing.TB, c *tusd.StoreComposer) *tusd.StoreComposer {
		w := stores[c.Core]
		closeStore(tb, w.limited)
		return wrap(tb, reopen(tb, w.inner))
	}
	h.Leftovers = func(tb testing.TB, c *tusd.StoreComposer, ids []string) []string {
		wantExact(tb, stores[c.Core].limited)
		if leftovers == nil {
			return nil
		}
		return leftovers(tb, innerOf(c), ids)
	}
	if damage != nil {
		h.Break = func(tb testing.TB, c *tusd.StoreComposer, id string) { damage(tb, innerOf(c), id) }
	}
	return h
}

func closeStore(tb testing.TB, s *limitedstore.LimitedStore) {
	tb.Helper()
	if err := s.Close(); err != nil {
		tb.Error(err)
	}
}

// wantExact counts the uploads and compares the sums with the result.
func wantExact(tb testing.TB, s *limitedstore.LimitedStore) {
	tb.Helper()
	limitedstore.Resolve(s)
	have := s.Usage()
	stored, reserved, err := limitedstore.Truth(s)
	if err != nil {
		tb.Fatal(err)
	}
	if have.Stored != stored || have.Reserved != reserved {
		tb.Errorf("the sums are %+v, the store has %d stored and %d reserved", have, stored, reserved)
	}
	want, err := limitedstore.Count(s)
	if err != nil {
		tb.Fatal(err)
	}
	have.Exact, want.Exact = false, false
	if have != want {
		tb.Errorf("the sums are %+v, counted are %+v", have, want)
	}
}

func TestContractInMemory(t *testing.T) {
	storetest.Run(t, harness(storetest.Harness{
		New: func(testing.TB) *tusd.StoreComposer {
			composer := tusd.NewStoreComposer()
			composer.UseCore(storetest.NewMemory())
			return composer
		},
		Claims: storetest.Everything,
	}, func(_ testing.TB, m *storetest.Memory) *tusd.StoreComposer {
		composer := tusd.NewStoreComposer()
		composer.UseCore(m.Reopen())
		return composer
	}))
}

func TestContractOnFiles(t *testing.T) {
	require.Long(t)
	compose := func(tb testing.TB, dir string) *tusd.StoreComposer {
		store := filestore.New(dir)
		tb.Cleanup(func() { store.Close() })
		composer := tusd.NewStoreComposer()
		store.UseIn(composer)
		return composer
	}
	storetest.Run(t, harness(storetest.Harness{
		New:    func(tb testing.TB) *tusd.StoreComposer { return compose(tb, tb.TempDir()) },
		Claims: storetest.Everything,
	}, func(tb testing.TB, s *filestore.FileStore) *tusd.StoreComposer {
		if err := s.Close(); err != nil {
			tb.Fatal(err)
		}
		return compose(tb, s.Path)
	}))
}
