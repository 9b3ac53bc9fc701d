package protocoltest

import (
	"bytes"
	"context"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
)

func TestLimits(t *testing.T) {
	runAlone(t, []storeKind{memoryStore}, []scenario{
		{"case043_minimum_rate", "PATCH below the minimum rate: 503, bytes kept, lock free", limitRate},
		{"rate_is_an_average", "a client that pauses for less than the time of the average is served", limitRateAverage},
		{"requests", "one request too many: a transient error, in the dialect's way; OPTIONS is answered", limitRequests},
		{"refused_requests", "a request that is refused is not counted", limitRefused},
		{"answered_requests", "a request is counted until it ends, not until it is answered", limitAnswered},
		{"uploads_per_client", "one upload too many from a client: 503; others and requests without content go on", limitUploads},
		{"uploads_behind_proxies", "if all peers are trusted, each may be a proxy: none is limited", limitBehindProxies},
		{"uploads_of_neighbours", "addresses that may be proxies are not limited as one client", limitNeighbours},
		{"partials", "a final of more references than allowed: 400 before anything is looked up, nothing created", limitPartials},
		{"header", "a header beyond the limit: 431, in both dialects", limitHeader},
	})
}

// exceeded returns how often a limit has refused a request.
func (e *env) exceeded(limit string) uint64 { return e.handler.Metrics().LimitsExceeded[limit].Load() }

func (e *env) wantExceeded(limit string, want uint64) {
	e.Helper()
	e.waitIdle()
	if got := e.exceeded(limit); got != want {
		e.Errorf("the limit %s was met %d times, want %d", limit, got, want)
	}
}

// trickle sends one byte after another until the answer comes.
func (r *openRequest) trickle(data []byte) {
	pace := time.NewTicker(20 * time.Millisecond)
	defer pace.Stop()
	for i := range data {
		select {
		case <-r.Done():
			return
		case <-pace.C:
			r.Write(data[i : i+1]) // fails when the server has closed the connection
		}
	}
	r.env.Errorf("%d bytes were taken, one by one", len(data))
}

func limitRate(e *env) {
	e.config.MinRate, e.config.MinRateTime = 1000, 200*time.Millisecond
	e.config.NetworkTimeout = time.Hour // it must not end the request
	data := content(2000)
	u := e.create(2000)
	s := e.another().openNow(u, 0, 2000) // net/http reads on only if the client does not wait for 100
	s.trickle(data)
	s.answer().status(503).code("ERR_TOO_SLOW").headerMatches("Retry-After", "^1$")
	offset := e.offset(u)
	if offset == 0 {
		e.Error("nothing was kept")
	}
	e.wantStored(u, data[:offset])
	e.patch(u, offset, data[offset:]).status(204)
	e.wantStored(u, data)
	e.wantExceeded("rate", 1)
}

func limitRateAverage(e *env) {
	e.config.MinRate, e.config.MinRateTime = 100, 500*time.Millisecond
	u, data := e.create(2000), content(2000)
	s := e.another().open(u, 0, 2000)
	s.send(data[:1000])
	<-time.After(100 * time.Millisecond) // nothing comes, but 1000 bytes were here
	s.send(data[1000:])
	s.end()
	s.answer().status(204)
	e.wantStored(u, data)
}

func limitRequests(e *env) {
	e.config.MaxRequests, e.config.DisableIETF = 1, false
	u := e.create(100)
	e.waitIdle() // an answer may arrive before its request has ended
	s := e.another().open(u, 0, 100)
	e.do(http.MethodHead, u, nil, version).status(423).headerMatches("Retry-After", "^1$")
	e.post("Upload-Length: 1").status(503).code("ERR_TOO_MANY_REQUESTS")
	e.raw(http.MethodHead, u, nil, "Upload-Draft-Interop-Version: 8", "Upload-Complete: ?0").status(503).headerMatches("Retry-After", "^1$")
	e.get(u).status(503)
	e.do(http.MethodOptions, "/files/", nil).status(200)
	s.send(content(100))
	s.end()
	s.answer().status(204)
	e.waitIdle()
	e.head(u).status(200)
	e.wantExceeded("requests", 4)
}

func limitRefused(e *env) {
	e.config.MaxRequests = 1
	u := e.create(100)
	e.waitIdle()
	s := e.another().open(u, 0, 100)
	refused := e.another().openNow(u, 0, 1<<20)
	refused.answer().status(503).code("ERR_TOO_MANY_REQUESTS") // and its content is still waited for
	s.send(content(100))
	s.end()
	s.answer().status(204)
	e.eventually("there is a place", func() bool {
		return e.do(http.MethodHead, u, nil, version).Status == http.StatusOK
	})
	refused.end()
}

// limitAnswered checks that a request counts until the rest of its body has been read.
func limitAnswered(e *env) {
	if e.protocol.name == "http2" {
		return // nothing is read behind an answer: the stream ends
	}
	e.config.MaxRequests = 1
	u := e.create(100)
	e.waitIdle()
	failed := e.another().openNow("/files/nothing", 0, 1<<20)
	failed.answer().status(404) // and its content is still waited for
	e.do(http.MethodHead, u, nil, version).status(423)
	failed.end()
	e.eventually("there is a place", func() bool {
		return e.do(http.MethodHead, u, nil, version).Status == http.StatusOK
	})
}

func limitBehindProxies(e *env) {
	e.from(stranger)
	e.config.MaxUploadsPerClient, e.config.TrustForwarded = 1, true
	u, other := e.create(100), e.create(100)
	s := e.another().open(u, 0, 100)
	e.patch(other, 0, content(100)).status(204)
	s.send(content(100))
	s.end()
	s.answer().status(204)
}

func limitUploads(e *env) {
	e.from("192.0.2.1:1000")
	e.config.MaxUploadsPerClient = 1
	u, other := e.create(100), e.create(100)
	s := e.another().open(u, 0, 100)
	e.patch(other, 0, content(100)).status(503).code("ERR_TOO_MANY_UPLOADS").headerMatches("Retry-After", "^1$")
	e.wantOffset(other, 0)
	s.send(content(100))
	s.end()
	s.answer().status(204)
	e.waitIdle()
	e.patch(other, 0, content(100)).status(204)
	e.wantExceeded("uploads_per_client", 1)
}

func limitNeighbours(e *env) {
	e.config.MaxUploadsPerClient = 1 // of 127.0.0.1, which may be a proxy
	u, other := e.create(100), e.create(100)
	s := e.another().open(u, 0, 100)
	e.patch(other, 0, content(100)).status(204)
	s.send(content(100))
	s.end()
	s.answer().status(204)
}

func limitPartials(e *env) {
	counting := &lookUps{DataStore: e.config.StoreComposer.Core}
	e.config.StoreComposer.Core = counting
	a := e.createPartial(content(10))
	e.wantFinal(e.postFinal(repeated(a, 150)).status(201).location(), repeated(a, 150), bytes.Repeat(content(10), 150))
	counting.n.Store(0)
	e.wantFinalRefused([]int{400}, "Upload-Concat: final;"+repeated(a, 151))
	e.postFinal(repeated("/files/unknown", 2000)).status(400).code("ERR_TOO_MANY_PARTIALS").without("Location", "Retry-After")
	if n := counting.n.Load(); n != 0 {
		e.Errorf("%d uploads were looked up for finals of too many references", n)
	}
	e.wantExceeded("partials", 2)
}

// repeated is a list that names a partial n times.
func repeated(partial string, n int) string {
	return strings.TrimSuffix(strings.Repeat(partial+" ", n), " ")
}

// lookUps counts the calls of GetUpload.
type lookUps struct {
	tusd.DataStore
	n atomic.Int64
}

func (s *lookUps) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	s.n.Add(1)
	return s.DataStore.GetUpload(ctx, lease, id)
}

func limitHeader(e *env) {
	e.config.MaxHeaderSize, e.config.DisableIETF = 4<<10, false
	large := "X-Large: " + strings.Repeat("x", 4<<10)
	e.post(large, "Upload-Length: 1").status(431).code("ERR_HEADER_TOO_LARGE").without("Location")
	e.raw(http.MethodPost, "/files/", nil, "Upload-Complete: ?1", large).status(431).header("Content-Type", "application/problem+json")
	e.post("Upload-Length: 1").status(201)
	e.wantExceeded("header_size", 2)
}
