package s3store_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
)

// A state in the cache does not tell for long when the upload expires: a request without bytes
// on another server may have renewed that.
func TestCachedStateDoesNotExpire(t *testing.T) {
	const size = 100
	server := smallServer(t, s3server.Quirks{})
	start := func(expireAfter time.Duration) *node {
		composer := tusd.NewStoreComposer()
		composer.UseCore(testStore(server.Bucket(), clientOf(t, server)))
		return startNodeWith(t, tusd.Config{StoreComposer: composer, ExpireAfter: expireAfter})
	}
	first, second := start(time.Hour), start(24*time.Hour)
	path := second.create(size)
	second.patch(path, 0, 10)
	server.Age(70 * time.Minute)
	first.want(http.StatusGone, first.tryPatch(path, 10, 20)) // and has the state in its cache
	third := start(24 * time.Hour)
	third.patch(path, 10, 10)
	first.patch(path, 10, 20)
}
