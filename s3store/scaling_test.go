package s3store_test

import (
	"context"
	"fmt"
	"math"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd/internal/lease"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
)

// lockService is a lock service whose locks are always free.
type lockService struct {
	mu       sync.Mutex
	grants   uint64
	releases uint64
	last     map[string]uint64 // the number of the last grant, by id
}

func (s *lockService) Try(_ context.Context, r *lease.Request) (lease.Grant, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.grants++
	grant := lease.Grant{N: s.grants, Before: s.last[r.ID]}
	s.last[r.ID] = s.grants
	return grant, nil
}

func (s *lockService) Release(context.Context, *lease.Request) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.releases++
	return nil
}

func (*lockService) Renew(context.Context, []*lease.Request) ([]*lease.Request, error) {
	return nil, nil
}

func (s *lockService) held() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.grants - s.releases
}

// counter counts the calls of requests.
type counter struct {
	testing.TB
	nodes   []*node
	bucket  *s3server.Server
	service *lockService
	lockers []*lease.Locker
	rows    []string
}

func startCounter(t *testing.T) *counter {
	c := &counter{
		TB: t, bucket: s3server.Start(t, s3server.Options{Discard: 16 * mib}),
		service: &lockService{last: make(map[string]uint64)},
	}
	for range 2 {
		locker := lease.New(c.service, lease.Settings{TTL: time.Hour})
		t.Cleanup(func() { locker.Close(context.Background()) })
		c.lockers = append(c.lockers, locker)
		c.nodes = append(c.nodes, startNode(t, s3store.New(c.bucket.Bucket(), clientOf(t, c.bucket)), locker))
	}
	recountStarted(t, c.bucket, len(c.nodes))
	return c
}

// locks returns how often the lock service was called, when no lock is held.
func (c *counter) locks() (calls uint64) {
	c.Helper()
	for deadline := time.Now().Add(30 * time.Second); c.service.held() > 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			c.Fatal("a lock is not released")
		}
	}
	for _, l := range c.lockers {
		calls += l.Stats().Calls
	}
	return calls
}

// count adds a row with the calls of a request.
func (c *counter) count(request string, send func()) {
	c.Helper()
	locks := c.locks()
	c.bucket.Recount()
	send()
	locks = c.locks() - locks
	c.rows = append(c.rows, fmt.Sprintf("| %s | %d | %d |", request, locks, c.bucket.Counts().Total().Calls))
}

// The calls of requests are those in docs/scaling.md.
func TestCallsInScalingDoc(t *testing.T) {
	c := startCounter(t)
	here, there := c.nodes[0], c.nodes[1]
	var path string
	c.count("POST without content", func() { path = here.create(64 * mib) })
	c.count("PATCH of 8 MiB, at the server of the request before", func() { here.patch(path, 0, 8*mib) })
	c.count("PATCH of 8 MiB, at another server", func() { there.patch(path, 8*mib, 16*mib) })
	c.count("HEAD, at the server of the request before", func() { there.offset(path) })
	c.count("HEAD, at another server", func() { here.offset(path) })
	here.patch(path, 16*mib, 17*mib)
	c.count("PATCH of 1 MiB, at the server of the request before", func() { here.patch(path, 17*mib, 18*mib) })
	c.count("PATCH of 1 MiB, at another server", func() { there.patch(path, 18*mib, 19*mib) })
	here.patch(path, 19*mib, 56*mib)
	c.count("PATCH of the last 8 MiB, at another server", func() { there.patch(path, 56*mib, 64*mib) })
	c.count("GET of a complete upload, before its bytes", func() { here.want(http.StatusOK, here.request(http.MethodGet, path, nil)) })
	c.count("DELETE of a complete upload", func() { here.want(http.StatusNoContent, here.request(http.MethodDelete, path, nil)) })
	page, err := os.ReadFile("../docs/scaling.md")
	if err != nil {
		t.Fatal(err)
	}
	header := regexp.QuoteMeta("| Request | Lock service | Bucket |\n|---|---|---|\n")
	table := regexp.MustCompile(header + `((?:\|.*\|\n)+)`).FindSubmatch(page)
	if want := strings.Join(c.rows, "\n") + "\n"; table == nil || string(table[1]) != want {
		t.Errorf("docs/scaling.md does not have\n%s", want)
	}
}

// load is a row of the model in docs/scaling.md.
type load struct {
	nodes, uploads float64 // in all
	rate           float64 // of an upload, in bytes per second
}

// row computes the row by the formulas in docs/scaling.md.
func (l load) row(p parameters) string {
	const chunk, check = 8 << 20, 5 // bytes; seconds between checks of /readyz
	const pool, gib = 4 << 30, 1 << 30
	objects := max(1, chunk/(pool/(l.uploads/l.nodes)))
	patches := l.uploads * l.rate / chunk
	heads, checks := patches/10, l.nodes/check
	elsewhere := (l.nodes - 1) / l.nodes
	return fmt.Sprintf("| %.0f | %.0f | %.0f kB/s | %.1f GB/s | %.0f | %.0f | %.0f | %.0f %% | %.0f | %.1f GiB | %.1f GiB |",
		l.nodes, l.uploads, l.rate/1e3, l.uploads*l.rate/1e9, patches,
		2*(patches+heads+checks),
		l.nodes*math.Ceil(l.uploads/l.nodes/500)/2.5,
		100*((patches+heads+checks)*p.lock+l.uploads/2.5*p.renewal),
		patches*(p.patch.average(elsewhere)-1+objects)+heads*p.head.average(elsewhere)+checks,
		l.uploads/l.nodes*chunk/gib,
		(pool+66*float64(mib)+38*1024*l.uploads/l.nodes)/gib)
}

// parameters are what the model takes from the tables in docs/scaling.md.
type parameters struct {
	lock, renewal float64 // time of Redis, in seconds
	patch, head   calls   // of the bucket
}

// calls are the calls of a request at the server of the request before, and at another one.
type calls struct{ same, other float64 }

func (c calls) average(other float64) float64 { return other*c.other + (1-other)*c.same }

// The model in docs/scaling.md follows from the formulas, and from the calls and times in it.
func TestModelInScalingDoc(t *testing.T) {
	text, err := os.ReadFile("../docs/scaling.md")
	if err != nil {
		t.Fatal(err)
	}
	value := func(pattern string) float64 {
		t.Helper()
		found := regexp.MustCompile(pattern).FindSubmatch(text)
		if found == nil {
			t.Fatalf("docs/scaling.md does not have %s", pattern)
		}
		n, err := strconv.ParseFloat(string(found[1]), 64)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	p := parameters{
		lock:    value(`for a lock and its release \| ([0-9.]+) µs`) / 1e6,
		renewal: value(`for the renewal of 10 000 locks \| ([0-9.]+) ms`) / 1e3 / 10_000,
		patch: calls{
			value(`\| PATCH of 8 MiB, at the server of the request before \| \d+ \| (\d+) \|`),
			value(`\| PATCH of 8 MiB, at another server \| \d+ \| (\d+) \|`),
		},
		head: calls{
			value(`\| HEAD, at the server of the request before \| \d+ \| (\d+) \|`),
			value(`\| HEAD, at another server \| \d+ \| (\d+) \|`),
		},
	}
	for _, l := range []load{
		{3, 1_000, 1e6}, {10, 20_000, 200e3}, {30, 200_000, 50e3}, {100, 1_000_000, 20e3},
	} {
		if want := l.row(p); !strings.Contains(string(text), "\n"+want+"\n") {
			t.Errorf("docs/scaling.md does not have\n%s", want)
		}
	}
}
