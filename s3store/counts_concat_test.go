package s3store_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
)

// joining is a counted node that takes finals of many references, with
// complete partials of 10 bytes.
func joining(t *testing.T, partials int) (n *node, server *s3server.Server, paths []string) {
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

func (n *node) join(paths []string) *http.Response {
	n.Helper()
	return n.request(http.MethodPost, "/files/", nil, "Upload-Concat", "final;"+strings.Join(paths, " "))
}

func repeated(path string, times int) []string {
	return strings.Fields(strings.Repeat(path+" ", times))
}

// A final costs calls for each partial, not for each reference.
func TestCallsOfFinalWithOnePartial(t *testing.T) {
	n, server, paths := joining(t, 1)
	n.want(http.StatusCreated, n.join(repeated(paths[0], 2))) // sweeps old side records, too
	server.Recount()
	n.want(http.StatusCreated, n.join(paths))
	once := server.Counts()
	server.Recount()
	n.want(http.StatusCreated, n.join(repeated(paths[0], 2000)))
	wantCalls(t, server, once.Total().Calls)
	if got, want := server.Counts()[s3server.ListObjectsV2].Calls, once[s3server.ListObjectsV2].Calls; got > want {
		t.Errorf("%d listings for 2000 references of one partial, %d for one", got, want)
	}
}

// A final that is refused costs no more lookups than it takes to find out.
func TestCallsOfRefusedFinals(t *testing.T) {
	n, server, paths := joining(t, 1)
	const sides = 2 // the side record of an equal request, and a sweep of old ones
	for name, c := range map[string]struct {
		list []string
		most int
	}{
		"too many":    {repeated(paths[0], 2001), 0},
		"no URL":      {append(repeated(paths[0], 1999), "/elsewhere/x"), 0},
		"unknown":     {repeated("/files/unknown", 2000), sides + 2},
		"two unknown": {append(repeated("/files/unknown", 1000), repeated("/files/neither", 1000)...), sides + 4},
	} {
		t.Run(name, func(t *testing.T) {
			server.Recount()
			if status := n.join(c.list).StatusCode; status/100 != 4 {
				t.Errorf("status %d, want 4xx", status)
			}
			wantCalls(t, server, c.most)
		})
	}
}

// The first of many partials that cannot be joined ends the lookups.
func TestFirstRefusalEndsTheLookups(t *testing.T) {
	n, server, _ := joining(t, 0)
	var unknown []string
	for i := range 500 {
		unknown = append(unknown, "/files/unknown"+strings.Repeat("x", i%30)+string(rune('a'+i/30)))
	}
	n.want(http.StatusNotFound, n.join(unknown))
	const sideBySide, callsOfOne = 8, 2
	wantCalls(t, server, 2+2*sideBySide*callsOfOne)
}
