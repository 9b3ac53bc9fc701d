package s3store_test

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

func TestContract(t *testing.T) {
	for name, quirks := range map[string]s3server.Quirks{
		"aws":           {},
		"equal parts":   {EqualParts: true, NoTagging: true, CompleteOnce: true, AbortTwice: true, HidesBelow: true},
		"no conditions": {NoIfMatch: true, NoIfNoneMatch: true, NoDeleteObjects: true, UnknownUploadKey: true, Files: true},
	} {
		t.Run(name, func(t *testing.T) {
			if name != "aws" {
				require.LongWithoutRace(t)
			}
			quirks.MinPart = testMinPart
			storetest.Run(t, harness(quirks))
		})
	}
}

// harness runs the suite against a service in process.
func harness(quirks s3server.Quirks) storetest.Harness {
	servers := make(map[tusd.DataStore]*s3server.Server)
	clients := make(map[*s3server.Server]s3store.Client)
	compose := func(server *s3server.Server) *tusd.StoreComposer {
		store := testStore(server.Bucket(), clients[server])
		store.Profile.EqualParts = quirks.EqualParts
		servers[store] = server
		composer := tusd.NewStoreComposer()
		store.UseIn(composer)
		return composer
	}
	return storetest.Harness{
		New: func(tb testing.TB) *tusd.StoreComposer {
			server := s3server.Start(tb, s3server.Options{Quirks: quirks})
			clients[server] = clientOf(tb, server)
			return compose(server)
		},
		Reopen: func(_ testing.TB, c *tusd.StoreComposer) *tusd.StoreComposer {
			return compose(servers[c.Core])
		},
		Claims: storetest.Everything,
		Leftovers: func(_ testing.TB, c *tusd.StoreComposer, ids []string) []string {
			return leftovers(servers[c.Core], ids)
		},
		Break: func(tb testing.TB, c *tusd.StoreComposer, id string) {
			server := servers[c.Core]
			record, ok := server.Object(id + ".info")
			if !ok {
				tb.Fatalf("there is no record of %s", id)
			}
			content := bytes.TrimRight(record.Bytes(), " ") // without the padding
			server.Put(record.Key, content[:len(content)/2])
		},
		Unreadable:  true,
		Goroutines:  128, // idle connections, and those of the service
		Descriptors: 128,
	}
}

// leftovers returns the objects and multipart uploads of a service in process
// that belong to none of the uploads ids.
func leftovers(server *s3server.Server, ids []string) []string {
	var keys, multiparts []string
	for _, o := range server.Objects() {
		keys = append(keys, o.Key)
	}
	for _, u := range server.Uploads() {
		multiparts = append(multiparts, u.Key)
	}
	return orphans(keys, multiparts, ids)
}

// orphans returns the objects and multipart uploads that belong to none of the
// uploads ids, without side records.
func orphans(keys, multiparts, ids []string) []string {
	var extra []string
	for _, key := range keys {
		id := strings.TrimSuffix(key, ".info")
		if base, ok := strings.CutSuffix(id, ".part"); ok {
			id = base[:strings.LastIndexByte(base, '.')]
		}
		if !slices.Contains(ids, id) && !strings.HasPrefix(key, ".tusd.d/side/") {
			extra = append(extra, key)
		}
	}
	for _, key := range multiparts {
		if !slices.Contains(ids, key) {
			extra = append(extra, "multipart upload of "+key)
		}
	}
	return extra
}
