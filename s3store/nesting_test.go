package s3store_test

import (
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

// noNesting are services at which an object cannot have a key below another object's key.
var noNesting = map[string]s3server.Quirks{"refused": {Files: true}, "hidden": {HidesBelow: true}}

// openOn opens a store over a service in process.
func openOn(tb testing.TB, server *s3server.Server) *s3store.Store {
	tb.Helper()
	store := testStore(server.Bucket(), clientOf(tb, server))
	if err := store.Open(tb.Context(), tusd.Env{Locker: &tusd.LocalLocker{}}); err != nil {
		tb.Fatal(err)
	}
	return store
}

// newUpload creates an upload of size bytes. key is what a hook has chosen.
func newUpload(tb testing.TB, store *s3store.Store, id, key string, size int64) (tusd.Upload, error) {
	lease, err := new(tusd.LocalLocker).Lock(tb.Context(), id, tusd.LockTry)
	if err != nil {
		return nil, err
	}
	info := tusd.FileInfo{ID: id, Size: size}
	if key != "" {
		info.Storage = map[string]string{"Key": key}
	}
	return store.NewUpload(tb.Context(), lease, info)
}

// If the key of a second upload lies below that of the first, or above, it is
// refused and leaves nothing, even before any byte is stored. Otherwise the
// first could not be completed, or its record would not be found.
func TestNestedKeyIsRefused(t *testing.T) {
	t.Parallel()
	const unguessable = "0123456789abcdef0123456789abcdef"
	for name, quirks := range noNesting {
		for _, test := range []struct{ first, second, key string }{
			{"p", "p/q", ""}, {"p", "p/q/r", ""}, {"p/q", "p", ""}, {"p/q/r", "p/q", ""},
			{unguessable, unguessable + "/1", ""}, {"p/q", "other", "p"}, {"p", "other", "p/q"},
		} {
			t.Run(name+"/"+test.first+" and "+test.second+test.key, func(t *testing.T) {
				t.Parallel()
				server := smallServer(t, quirks)
				store := openOn(t, server)
				if _, err := newUpload(t, store, test.first, "", 3*testPart); err != nil {
					t.Fatal(err)
				}
				if _, err := newUpload(t, store, test.second, test.key, 1); !errors.Is(err, tusd.ErrInvalidName) {
					t.Errorf("the second upload: %v", err)
				}
				if keys := keysOf(server); !slices.Equal(keys, []string{test.first + ".info"}) {
					t.Errorf("the bucket has %q", keys)
				}
			})
		}
	}
}

// Keys with a common prefix are not nested.
func TestKeysThatAreNotNested(t *testing.T) {
	t.Parallel()
	for name, quirks := range noNesting {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := openOn(t, smallServer(t, quirks))
			for _, id := range []string{"p/q", "p/r", "pq", "p.q/r", "o/p/q", "p/qr/s", "p+q", "P"} {
				up, err := newUpload(t, store, id, "", 10)
				if err != nil {
					t.Fatal(err)
				}
				if _, err := up.WriteChunk(t.Context(), 0, storetest.ContentReader(id, 0, 10)); err != nil {
					t.Errorf("%s: %v", id, err)
				}
			}
		})
	}
}

// At most one of two nested uploads that are created at the same time succeeds.
func TestOneOfTwoNestedKeysIsRefused(t *testing.T) {
	server := smallServer(t, s3server.Quirks{HidesBelow: true})
	store := openOn(t, server)
	for range 20 {
		var errs [2]error
		var work sync.WaitGroup
		for i, id := range []string{"p", "p/q"} {
			work.Go(func() { _, errs[i] = newUpload(t, store, id, "", 1) })
		}
		work.Wait()
		if errs[0] == nil && errs[1] == nil {
			t.Fatal("both are acknowledged")
		}
		for _, key := range keysOf(server) {
			server.Remove(key)
		}
	}
}
