package e2e

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
)

// The tests of this package rely on the records of the relay, so the relay is tested
// itself.

func TestRelayRecordsExchanges(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		w.Header().Set("Location", "/a")
		w.WriteHeader(http.StatusCreated)
	}))
	defer server.Close()
	r := startRelay(t, strings.TrimPrefix(server.URL, "http://"))
	for _, method := range []string{"POST", "HEAD", "POST"} {
		request, err := http.NewRequest(method, r.url()+"/files/", strings.NewReader("content"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Expect", "100-continue")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	posts := r.seen("POST")
	if len(posts) != 2 || len(r.seen("HEAD")) != 1 {
		t.Fatalf("the relay recorded %+v, want two POSTs and a HEAD", r.seen("POST", "HEAD"))
	}
	if want := (exchange{Method: "POST", Path: "/files/", Status: 201, Location: "/a"}); posts[0] != want {
		t.Errorf("first POST: %+v, want %+v", posts[0], want)
	}
}

func TestRelayCuts(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
	}))
	defer server.Close()
	r := startRelay(t, strings.TrimPrefix(server.URL, "http://"))
	r.after(1<<20, r.cut)
	body := bytes.NewReader(make([]byte, 4<<20))
	if response, err := http.Post(r.url(), "", body); err == nil {
		response.Body.Close()
		t.Fatalf("the request was answered with %s, want its connection cut", response.Status)
	}
	response, err := http.Post(r.url(), "", strings.NewReader("again"))
	if err != nil {
		t.Fatalf("after the cut: %v, want a working connection", err)
	}
	response.Body.Close()
}

// TestRelayWaitsForPatches counts two uploads: the first has enough bytes alone.
func TestRelayWaitsForPatches(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
	}))
	defer server.Close()
	r := startRelay(t, strings.TrimPrefix(server.URL, "http://"))
	var done atomic.Bool
	r.afterPatches(2, 1<<20, func() { done.Store(true) })
	for _, c := range []struct {
		path string
		want bool
	}{{"/a", false}, {"/a", false}, {"/b", true}} {
		request, err := http.NewRequest("PATCH", r.url()+c.path, bytes.NewReader(make([]byte, 2<<20)))
		if err != nil {
			t.Fatal(err)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if done.Load() != c.want {
			t.Fatalf("after PATCH %s: called %v, want %v", c.path, done.Load(), c.want)
		}
	}
}
