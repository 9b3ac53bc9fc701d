package s3store_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
)

// startWithPartials starts a node over a service that counts calls, with
// complete partial uploads of 10 bytes. A final may have many references.
func startWithPartials(t *testing.T, partials int) (n *node, server *s3server.Server, paths []string) {
	t.Helper()
	server = s3server.Start(t, s3server.Options{})
	composer := tusd.NewStoreComposer()
	s3store.New(server.Bucket(), clientOf(t, server)).UseIn(composer)
	n = startNodeWith(t, tusd.Config{StoreComposer: composer, MaxPartials: 2000, MaxMetaData: 1 << 20})
	recountStarted(t, server, 1)
	for range partials {
		path := n.create(10, "Upload-Concat", "partial")
		n.patch(path, 0, 10)
		paths = append(paths, path)
	}
	server.Recount()
	return n, server, paths
}

func (n *node) concat(paths []string) *http.Response {
	n.Helper()
	return n.request(http.MethodPost, "/files/", nil, "Upload-Concat", "final;"+strings.Join(paths, " "))
}

func repeated(path string, times int) []string {
	return strings.Fields(strings.Repeat(path+" ", times))
}

// The calls of a final grow with its partials, not with its references.
func TestCallsOfFinalWithOnePartial(t *testing.T) {
	n, server, paths := startWithPartials(t, 1)
	n.want(http.StatusCreated, n.concat(repeated(paths[0], 2))) // also sweeps old side records
	server.Recount()
	n.want(http.StatusCreated, n.concat(paths))
	once := server.Counts()
	server.Recount()
	n.want(http.StatusCreated, n.concat(repeated(paths[0], 2000)))
	wantCalls(t, server, once.Total().Calls)
	if got, want := server.Counts()[s3server.ListObjectsV2].Calls, once[s3server.ListObjectsV2].Calls; got > want {
		t.Errorf("%d listings for 2000 references of one partial, %d for one", got, want)
	}
}

// A refused final costs no more lookups than the refusal needs.
func TestCallsOfRefusedFinals(t *testing.T) {
	n, server, paths := startWithPartials(t, 1)
	const sideCalls = 2 // the side record of an equal request, and a sweep of old ones
	for name, c := range map[string]struct {
		list []string
		most int
	}{
		"too many":    {repeated(paths[0], 2001), 0},
		"no URL":      {append(repeated(paths[0], 1999), "/elsewhere/x"), 0},
		"unknown":     {repeated("/files/unknown", 2000), sideCalls + 2},
		"two unknown": {append(repeated("/files/unknown", 1000), repeated("/files/neither", 1000)...), sideCalls + 4},
	} {
		t.Run(name, func(t *testing.T) {
			server.Recount()
			if status := n.concat(c.list).StatusCode; status/100 != 4 {
				t.Errorf("status %d, want 4xx", status)
			}
			wantCalls(t, server, c.most)
		})
	}
}

// The first partial that is refused ends the lookups.
func TestFirstRefusalEndsTheLookups(t *testing.T) {
	n, server, _ := startWithPartials(t, 0)
	var unknown []string
	for i := range 500 {
		unknown = append(unknown, "/files/unknown"+strings.Repeat("x", i%30)+string(rune('a'+i/30)))
	}
	n.want(http.StatusNotFound, n.concat(unknown))
	const parallel, callsPerPartial = 8, 2
	wantCalls(t, server, 2+2*parallel*callsPerPartial)
}
