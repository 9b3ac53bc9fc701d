package protocoltest

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

func TestHead(t *testing.T) {
	run(t, []scenario{
		{"case015_fresh", "HEAD of a fresh upload: offset 0, its length, not to be cached", headFresh},
		{"case016_finished", "HEAD of a finished upload: offset = length", headFinished},
		{"case017_unknown", "HEAD of an unknown id: 404 without Upload-Offset", headUnknown},
		{"case018_hostile_ids", "an id that is hostile reaches no file and gets 404 or 400, and the connection lives on", hostileIDs},
		{"case019_plain", "HEAD of a regular upload has neither Upload-Concat nor Upload-Defer-Length", headPlain},
		{"case020_no_body", "the answer to HEAD has no body, the connection stays open", headNoBody},
	})
}

func headFresh(e *env) {
	e.head(e.create(100)).status(200).header("Upload-Offset", "0").header("Upload-Length", "100").header("Cache-Control", "no-store")
}

func headFinished(e *env) {
	u := e.create(100)
	e.patch(u, 0, content(100)).status(204)
	e.head(u).status(200).header("Upload-Offset", "100").header("Upload-Length", "100")
}

func headUnknown(e *env) {
	e.head("/files/0123456789abcdef0123456789abcdef").status(404).without("Upload-Offset")
}

func hostileIDs(e *env) {
	store := &lookUpStore{DataStore: e.config.StoreComposer.Core}
	e.config.StoreComposer.Core = store
	u := e.create(100)
	known := idOf(u)
	for _, id := range impossibleIDs(known) {
		for _, method := range []string{http.MethodHead, http.MethodGet, http.MethodDelete, http.MethodPatch} {
			a := e.do(method, "/files/"+id, nil, version, octets, "Upload-Offset: 0")
			a.status(404, 400, 301, 307, 308).without("Upload-Offset")
		}
	}
	e.wantOffset(u, 0)
	// An id that is encoded twice decodes once, to an id that an upload may have.
	if strange := store.unexpected(known, "%2e", "%2e%2e%2f"+known); len(strange) > 0 {
		e.Errorf("the store was asked for %.100q", strange)
	}
}

// lookUpStore notes the ids of GetUpload.
type lookUpStore struct {
	tusd.DataStore
	mu  sync.Mutex
	ids []string
}

func (s *lookUpStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	s.mu.Lock()
	s.ids = append(s.ids, id)
	s.mu.Unlock()
	return s.DataStore.GetUpload(ctx, lease, id)
}

// unexpected returns the ids but the expected ones.
func (s *lookUpStore) unexpected(expected ...string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(s.ids), func(id string) bool { return slices.Contains(expected, id) })
}

// impossibleIDs returns ids, as they are in a path, that no upload can have. known is the id
// of an upload.
func impossibleIDs(known string) []string {
	ids := []string{
		"..", ".", "../" + known, "%2e%2e", "%2e%2e%2f", "..%2f..%2f..%2fetc%2fpasswd", "%2E%2E/%2E%2E/etc/passwd",
		"a/../" + known, "a%2f..%2f" + known, "%2f" + known, "/" + known, "%00", known + "%00", known + "%00.info",
		"..%5c" + known, "%5c" + known, "a%5cb", "%252e%252e%252f" + known, "%25%32%65", known + "%0d%0aX-Evil:%201", "%0a",
		"%ff%fe", "%c0%ae%c0%ae", "%c0%af", known + "%2f", known + "%2f%2f", "%7f", "%22", "%3cscript%3e", "%23", "%3f",
		strings.Repeat("a", 5000), strings.Repeat("%61", 2000), strings.Repeat("a/", 2000) + "a", strings.Repeat("%2e%2e%2f", 500),
		".tusd", ".tusd.locks", ".tusd-sides/x", "a/.tusd.locks", "%2etusd.locks",
	}
	for _, suffix := range []string{".info", ".lock", ".stop", ".part", ".undo"} {
		ids = append(ids, known+suffix, known+"%2e"+suffix[1:], known+suffix+"/x")
	}
	return ids
}

func headPlain(e *env) {
	e.head(e.create(100)).status(200).without("Upload-Concat", "Upload-Defer-Length")
}

func headNoBody(e *env) {
	u := e.createFull(content(100))
	e.head(u)
	if e.plain.Conn() == nil {
		e.Error("the connection was closed after a HEAD")
	}
	e.head("/files/unknown").status(404)
	if e.plain.Conn() == nil {
		e.Error("the connection was closed after a HEAD that failed")
	}
	e.wantOffset(u, 100)
}

func TestManyHeadsAtOnce(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	path := e.create(5)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() {
			client := e.another()
			for range 50 {
				if a := client.head(path); a.Status != 200 {
					t.Errorf("HEAD beside others: %d", a.Status)
					return
				}
			}
		})
	}
	all.Wait()
}
