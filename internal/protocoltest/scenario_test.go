package protocoltest

import (
	"flag"
	"net/http/httptest"
	"os"
	"sync"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/leaktest"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/wire"
	"github.com/tus/tusd/storetest"
)

// A scenario is a small function that sends requests over sockets. It runs over HTTP/1.1 and
// HTTP/2 on every store, and has a sentence that is printed when it fails. caseNNN is the
// number of the scenario in the list of strict test cases for tus 1.0 that this server must
// pass.

// scenario is one sentence about the protocol and its test.
type scenario struct {
	name     string
	sentence string
	test     func(*env)
}

// protocol is a version of HTTP.
type protocol struct {
	name   string
	listen func(*httptest.Server)
	dial   func(address string) (wire.Conn, error)
}

var protocols = []protocol{
	{"http1", (*httptest.Server).Start, wire.DialHTTP1},
	{"http2", wire.StartHTTP2, wire.DialHTTP2},
}

// storeKind is a kind of store. open makes an empty store and returns a function that
// composes it, also for the next handler.
type storeKind struct {
	name string
	open func(*testing.T) func() *tusd.StoreComposer
}

var memoryStore = storeKind{"memory", func(*testing.T) func() *tusd.StoreComposer {
	memory := storetest.NewMemory()
	return func() *tusd.StoreComposer {
		composer := tusd.NewStoreComposer()
		memory.UseIn(composer)
		return composer
	}
}}

var fileStore = storeKind{"filestore", func(t *testing.T) func() *tusd.StoreComposer {
	store := &filestore.FileStore{}
	dir := t.TempDir()
	closeStore := func() {
		if err := store.Close(); err != nil {
			t.Errorf("close the file store: %v", err)
		}
	}
	t.Cleanup(func() { closeStore() })
	return func() *tusd.StoreComposer {
		closeStore()
		store = &filestore.FileStore{Path: dir}
		composer := tusd.NewStoreComposer()
		store.UseIn(composer)
		return composer
	}
}}

var storeKinds = []storeKind{memoryStore, fileStore}

// run runs scenarios over every protocol on every store. Outside CI it leaves out half: each
// protocol and each store is used once.
func run(t *testing.T, scenarios []scenario) {
	t.Helper()
	for i, kind := range storeKinds {
		over := protocols
		if !require.Thorough() {
			over = protocols[i : i+1]
		}
		runOn(t, kind, over, scenarios)
	}
}

// runOn runs scenarios on one store, if they do not depend on the store.
func runOn(t *testing.T, kind storeKind, over []protocol, scenarios []scenario) {
	t.Helper()
	runParallel(t)
	for _, p := range over {
		for _, s := range scenarios {
			t.Run(p.name+"/"+kind.name+"/"+s.name, func(t *testing.T) {
				t.Parallel()
				s.run(t, p, kind)
			})
		}
	}
}

// overlapping has the tests that run in parallel with others.
var overlapping sync.Map

// runParallel lets a test run in parallel with others, once: scenarios wait more than they
// compute.
func runParallel(t *testing.T) {
	if _, does := overlapping.LoadOrStore(t, true); !does {
		t.Parallel()
	}
}

// runAlone is run for scenarios that measure times. Only the runs of one scenario, over each
// protocol and store, are parallel.
func runAlone(t *testing.T, kinds []storeKind, scenarios []scenario) {
	t.Helper()
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			for _, kind := range kinds {
				for _, p := range protocols {
					t.Run(p.name+"/"+kind.name, func(t *testing.T) {
						t.Parallel()
						s.run(t, p, kind)
					})
				}
			}
		})
	}
}

func (s scenario) run(t *testing.T, p protocol, kind storeKind) {
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the rule: %s", s.sentence)
		}
	})
	s.test(newEnv(t, p, kind))
}

// maxParallel is how many scenarios run at the same time by default.
const maxParallel = "16"

func TestMain(m *testing.M) {
	flag.Set("test.parallel", maxParallel)
	os.Exit(leaktest.Main(m))
}
