package limitedstore_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/limitedstore"
)

// server is a handler on a limited store.
type server struct {
	testing.TB
	handler *tusd.Handler
	limited *limitedstore.LimitedStore
}

// serve starts a handler on a limited store in front of a store with the abilities of core.
func serve(tb testing.TB, core tusd.DataStore, limit int64, config tusd.Config, change func(*limitedstore.LimitedStore)) *server {
	tb.Helper()
	composer := tusd.NewStoreComposer()
	composer.UseCore(core)
	s := &server{TB: tb, limited: limitedstore.New(limit, composer)}
	if change != nil {
		change(s.limited)
	}
	s.limited.UseIn(composer)
	config.StoreComposer, config.Logger = composer, slog.New(slog.DiscardHandler)
	var err error
	if s.handler, err = tusd.NewHandler(config); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(s.stop)
	return s
}

// stop stops the handler and closes the store.
func (s *server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := s.handler.Shutdown(ctx); err != nil {
		s.Error(err)
	}
	closeStore(s, s.limited)
}

// do serves a request of tus 1.0.
func (s *server) do(method, url string, body io.Reader, header ...string) *http.Response {
	r := httptest.NewRequest(method, url, body)
	r.Header.Set("Tus-Resumable", "1.0.0")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	s.handler.ServeHTTP(w, r)
	return w.Result()
}

func (s *server) create(length int64) *http.Response {
	if length < 0 {
		return s.do(http.MethodPost, "/", nil, "Upload-Defer-Length", "1")
	}
	return s.do(http.MethodPost, "/", nil, "Upload-Length", strconv.FormatInt(length, 10))
}

func (s *server) patch(url string, offset int64, body io.Reader, header ...string) *http.Response {
	header = append(header, "Upload-Offset", strconv.FormatInt(offset, 10), "Content-Type", "application/offset+octet-stream")
	return s.do(http.MethodPatch, url, body, header...)
}

// pacedBody returns its bytes in pieces, and lets other goroutines run between them.
type pacedBody struct {
	remaining int64
	begun     atomic.Bool
}

func (b *pacedBody) Read(p []byte) (int, error) {
	b.begun.Store(true)
	for range 5 {
		runtime.Gosched()
	}
	if b.remaining == 0 {
		return 0, io.EOF
	}
	n := min(int64(len(p)), b.remaining, 700)
	b.remaining -= n
	return int(n), nil
}

// 1000 clients create and append at the same time. The limit is never exceeded by a byte, and
// nothing that is being written is removed to make room.
func TestManyClients(t *testing.T) {
	const limit = 1 << 20
	for policy, clients := range map[limitedstore.Policy]int{
		limitedstore.PolicyRefuse: 1000, limitedstore.PolicyOldest: 1000,
		limitedstore.PolicyUnfinished: 200, limitedstore.PolicyBiggest: 200,
	} {
		t.Run(string(policy), func(t *testing.T) {
			t.Parallel()
			core := newAudited(t, limit)
			s := serve(t, core, limit, tusd.Config{DisableDownload: true}, func(s *limitedstore.LimitedStore) {
				s.Policy = policy
				limitedstore.SetTiming(s, time.Minute, time.Minute, 10*time.Millisecond)
			})
			for i := range 100 { // that no client uses any more
				s.upload(1000, int64(i%2*1000))
			}
			var working sync.WaitGroup
			var created, refused atomic.Int64
			seed := rand.Uint64()
			for i := range clients {
				c := &client{server: s, random: rand.New(rand.NewPCG(seed, uint64(i))), created: &created, refused: &refused}
				working.Go(c.run)
			}
			working.Wait()
			s.stop()
			t.Logf("%d created, %d refused, %d removed, at most %d of %d bytes", created.Load(), refused.Load(), s.limited.Usage().Evicted, core.max, limit)
			if refused.Load() == 0 && s.limited.Usage().Evicted == 0 || created.Load() == 0 {
				t.Error("the limit was not reached")
			}
			if removes := policy != limitedstore.PolicyRefuse; (s.limited.Usage().Evicted > 0) != removes {
				t.Errorf("%d uploads were removed", s.limited.Usage().Evicted)
			}
			if even := policy == limitedstore.PolicyOldest || policy == limitedstore.PolicyBiggest; (core.complete > 0) != even {
				t.Errorf("%d complete uploads were removed", core.complete)
			}
			stored, reserved, err := limitedstore.Truth(s.limited)
			if have := s.limited.Usage(); err != nil || have.Reserved != reserved || have.Stored != stored {
				t.Errorf("the sums are %+v, the store has %d stored and %d reserved, %v", have, stored, reserved, err)
			}
			if t.Failed() {
				t.Logf("seed %d", seed)
			}
		})
	}
}

// client creates an upload and appends to it.
type client struct {
	*server
	random           *rand.Rand
	created, refused *atomic.Int64
}

func (c *client) run() {
	for range 2 {
		length := c.random.Int64N(8 << 10)
		switch c.random.IntN(8) {
		case 0:
			c.concat(length / 4)
			continue
		case 1:
			c.announce(length)
			continue
		}
		declared := length
		if c.random.IntN(3) == 0 {
			declared = -1
		}
		answer := c.create(declared)
		if answer.StatusCode == http.StatusInsufficientStorage {
			c.refused.Add(1)
			continue
		}
		if answer.StatusCode != http.StatusCreated {
			c.Errorf("a creation is answered %d", answer.StatusCode)
			return
		}
		c.created.Add(1)
		c.send(answer.Header.Get("Location"), length, declared < 0)
	}
}

// accepted reports whether a creation has succeeded.
func (c *client) accepted(answer *http.Response) bool {
	switch answer.StatusCode {
	case http.StatusCreated:
		c.created.Add(1)
		return true
	case http.StatusInsufficientStorage:
		c.refused.Add(1)
	default:
		c.Errorf("a creation is answered %d", answer.StatusCode)
	}
	return false
}

// concat creates two partials and their final. Other clients may remove a partial before.
func (c *client) concat(length int64) {
	var partials []string
	for range 2 {
		answer := c.do(http.MethodPost, "/", nil, "Upload-Length", fmt.Sprint(length), "Upload-Concat", "partial")
		if !c.accepted(answer) {
			return
		}
		url := answer.Header.Get("Location")
		c.patch(url, 0, &pacedBody{remaining: length})
		partials = append(partials, url)
	}
	answer := c.do(http.MethodPost, "/", nil, "Upload-Concat", "final;"+strings.Join(partials, " "))
	if answer.StatusCode < http.StatusInternalServerError && answer.StatusCode != http.StatusCreated {
		return // a partial was removed
	}
	c.accepted(answer)
}

// announce creates an upload as a client of the IETF draft that sends its length with the
// first content.
func (c *client) announce(length int64) {
	r := httptest.NewRequest(http.MethodPost, "/", io.LimitReader(&pacedBody{remaining: length}, length/2))
	r.ContentLength = -1
	r.Header.Set("Upload-Draft-Interop-Version", "6")
	r.Header.Set("Upload-Complete", "?0")
	r.Header.Set("Upload-Length", fmt.Sprint(length))
	w := httptest.NewRecorder()
	c.handler.ServeHTTP(w, r)
	c.accepted(w.Result())
}

// send sends an upload in two requests.
func (c *client) send(url string, length int64, deferred bool) {
	for _, part := range [][2]int64{{0, length / 2}, {length / 2, length}} {
		body := &pacedBody{remaining: part[1] - part[0]}
		var header []string
		if deferred && part[1] == length {
			header = []string{"Upload-Length", fmt.Sprint(length)}
		}
		answer := c.patch(url, part[0], body, header...)
		switch allowed := []int{http.StatusNoContent, http.StatusInsufficientStorage}; {
		case !body.begun.Load() && answer.StatusCode == http.StatusNotFound: // it was removed before
			return
		case !slices.Contains(allowed, answer.StatusCode), !deferred && answer.StatusCode == http.StatusInsufficientStorage:
			c.Errorf("content is answered %d, begun %t, deferred %t", answer.StatusCode, body.begun.Load(), deferred)
			return
		case answer.StatusCode == http.StatusInsufficientStorage:
			c.refused.Add(1)
			return
		}
	}
}
