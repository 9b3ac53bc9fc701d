package storetest

import (
	"net/http"
	"slices"
	"strings"

	"github.com/tus/tusd"
)

const absentRule = "StoreComposer: nil ability"

var handlerCases = []testCase{
	{"handler/advertised", absentRule, 0, handlerAdvertises},
	{"handler/unclaimed", absentRule, 0, handlerRefusesUnclaimed},
	{"handler/refused", resumeRule, 0, func(e *env) { sweepHandler(e, Refused, 0) }},
	{"handler/answer-lost", resumeRule, 0, func(e *env) { sweepHandler(e, Lost, 0) }},
	{"handler/source-cut", resumeRule, 0, func(e *env) {
		sweepHandler(e, CutSource, 0)
		sweepHandler(e, CutSource, 999)
	}},
	{"handler/blocked", resumeRule, 0, func(e *env) { sweepHandler(e, Blocked, 0) }},
}

// advertisedBy returns the extensions of a claim.
var advertisedBy = map[Claims][]string{
	Terminate:   {"termination"},
	Concat:      {"concatenation", "concatenation-unfinished"},
	DeferLength: {"creation-defer-length"},
}

func handlerAdvertises(e *env) {
	s := e.serve(nil)
	defer s.stop()
	_, header, _ := s.request(http.MethodOptions, s.server.URL)
	advertised := strings.Split(header.Get("Tus-Extension"), ",")
	for claim, names := range advertisedBy {
		for _, name := range names {
			if got, want := slices.Contains(advertised, name), e.harness.Claims&claim != 0; got != want {
				e.Errorf("extension %s: advertised %t, claimed %t", name, got, want)
			}
		}
	}
}

// handlerRefusesUnclaimed requests every ability that the store does not claim.
func handlerRefusesUnclaimed(e *env) {
	s := e.serve(nil)
	defer s.stop()
	c := &tusClient{testServer: s, size: 1000}
	e.must(c.upload(e.Context()))
	e.exist[c.id()] = true
	unclaimed := func(claim Claims) bool { return e.harness.Claims&claim == 0 }
	if unclaimed(Terminate) {
		s.wantRefused(http.MethodDelete, c.url)
	}
	if unclaimed(Concat) {
		s.wantRefused(http.MethodPost, s.server.URL, "Upload-Concat", "final;"+c.url)
	}
	if unclaimed(DeferLength) {
		s.wantRefused(http.MethodPost, s.server.URL, "Upload-Defer-Length", "1")
	}
	want := bytesOf(c.id(), 1000)
	status, header, body := s.request(http.MethodGet, c.url, "Range", "bytes=10-19")
	switch {
	case !unclaimed(ServeContent) && (status != http.StatusPartialContent || body != want[10:20]):
		e.Errorf("a range: status %d, %d bytes", status, len(body))
	case unclaimed(ServeContent) && (status != http.StatusOK || body != want || header.Get("Accept-Ranges") == "bytes"):
		e.Errorf("a range without the ability: status %d, %d bytes, Accept-Ranges %q", status, len(body), header.Get("Accept-Ranges"))
	}
}

func (s *testServer) wantRefused(method, url string, header ...string) {
	s.e.Helper()
	if status, _, _ := s.request(method, url, header...); status < 400 {
		s.e.Errorf("%s %v is answered with %d although the store cannot do it", method, header, status)
	}
}

// sweepHandler uploads through a handler with the fault at the first operation of the
// store, the second, and so on, until an upload has fewer operations.
func sweepHandler(e *env, form FaultForm, cutAfter int64) {
	for n := int64(1); n <= maxOperations; n++ {
		faults := &Faults{FailAt: n, Form: form, CutAfter: cutAfter}
		stop := faults.releaseWhenBlocked()
		s := e.serve(faults)
		c := &tusClient{testServer: s, size: faultSize}
		err := c.upload(e.Context())
		s.stop()
		stop()
		if err != nil || c.failures > 1 || form == Blocked && c.failures > 0 {
			e.Fatalf("%s at operation %d: the client failed %d times: %v; last error: %v", form, n, c.failures, err, c.last)
		}
		e.exist[c.id()] = true
		e.wantStored(c.id(), faultSize)
		e.allowOrphans(c.creations - 1)
		if !faults.Fired() {
			return
		}
	}
	e.Errorf("the upload takes more than %d operations", maxOperations)
}

// releaseWhenBlocked releases the operation as soon as it has blocked.
func (f *Faults) releaseWhenBlocked() (stop func()) {
	done := make(chan struct{})
	go func() {
		select {
		case <-f.Blocked():
			f.Release()
		case <-done:
		}
	}()
	return func() { close(done) }
}

// allowOrphans allows n uploads whose creation was answered with an error, so that the
// client does not know them. It adds them to the uploads of the case.
func (e *env) allowOrphans(n int) {
	e.Helper()
	if e.composer.Lister == nil {
		if n > 0 {
			e.harness.Leftovers = nil // the ids of the orphans are unknown
		}
		return
	}
	orphans := 0
	for _, id := range e.list(tusd.ListFilter{}, 100, noChange) {
		if !e.exist[id] {
			e.exist[id] = true
			orphans++
		}
	}
	if orphans > n {
		e.Errorf("%d uploads are unknown to the client, %d creations failed", orphans, n)
	}
}
