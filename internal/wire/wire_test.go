package wire_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/wire"
)

// forBoth runs test over HTTP/1.1 and over HTTP/2.
func forBoth(t *testing.T, handler http.HandlerFunc, test func(*testing.T, wire.Conn)) {
	t.Run("http1", func(t *testing.T) {
		server := httptest.NewServer(handler)
		defer server.Close()
		conn, err := wire.DialHTTP1(server.Listener.Addr().String())
		runOn(t, conn, err, test)
	})
	t.Run("http2", func(t *testing.T) {
		server := httptest.NewUnstartedServer(handler)
		wire.StartHTTP2(server)
		defer server.Close()
		conn, err := wire.DialHTTP2(server.Listener.Addr().String())
		runOn(t, conn, err, test)
	})
}

func runOn(t *testing.T, conn wire.Conn, err error, test func(*testing.T, wire.Conn)) {
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	test(t, conn)
}

// echo answers with the request line, the header and the body.
func echo(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	w.Header().Set("Seen", fmt.Sprintf("%s %s %q %d", r.Method, r.RequestURI, r.Header["X-Twice"], r.ContentLength))
	_, _ = w.Write(body)
}

func TestSendsWhatItIsTold(t *testing.T) {
	forBoth(t, echo, func(t *testing.T, conn wire.Conn) {
		body := bytes.Repeat([]byte("0123456789"), 300_000) // more than any window
		for _, length := range []int64{int64(len(body)), wire.Unknown} {
			r, err := wire.Do(conn, wire.Request{
				Method: "PATCH", Target: "/a%2Fb", Header: []string{"X-Twice: 1", "x-twice: 2"}, Length: length,
			}, body)
			if err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf("PATCH /a%%2Fb [\"1\" \"2\"] %d", length)
			if got := r.Header.Get("Seen"); got != want {
				t.Errorf("the server saw %s, want %s", got, want)
			}
			if !bytes.Equal(r.Body, body) {
				t.Errorf("the body came back changed: %d bytes of %d", len(r.Body), len(body))
			}
		}
	})
}

func TestSendsLongHeads(t *testing.T) {
	forBoth(t, echo, func(t *testing.T, conn wire.Conn) {
		long := strings.Repeat("~{", 30_000) // no code of HPACK makes this shorter
		r, err := wire.Do(conn, wire.Request{Method: "GET", Target: "/", Header: []string{"X-Twice: " + long}}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := fmt.Sprintf("GET / %q 0", []string{long}); r.Header.Get("Seen") != want {
			t.Errorf("the server saw another head of %d bytes", len(r.Header.Get("Seen")))
		}
	})
}

func TestWaitsForContinue(t *testing.T) {
	forBoth(t, echo, func(t *testing.T, conn wire.Conn) {
		s, err := conn.Open(wire.Request{Method: "PUT", Target: "/", Header: []string{"Expect: 100-continue"}, Length: 2})
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-s.Continued():
		case <-time.After(10 * time.Second):
			t.Fatal("no 100 arrived")
		}
		if _, err := s.Write([]byte("ok")); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		r, err := s.Response()
		if err != nil || r.Status != http.StatusOK || string(r.Body) != "ok" {
			t.Fatalf("got %+v, %v", r, err)
		}
	})
}

func TestAbortCutsTheBody(t *testing.T) {
	seen := make(chan error, 1)
	handler := func(_ http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		seen <- err
	}
	forBoth(t, handler, func(t *testing.T, conn wire.Conn) {
		s, err := conn.Open(wire.Request{Method: "POST", Target: "/", Length: 100})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write([]byte("half")); err != nil {
			t.Fatal(err)
		}
		if err := s.Abort(); err != nil {
			t.Fatal(err)
		}
		if err := <-seen; err == nil {
			t.Error("the server read the cut body to its end")
		}
		if _, err := s.Response(); err == nil {
			t.Error("an aborted request has an answer")
		}
	})
}

func TestAnswerBeforeTheBodyEnds(t *testing.T) {
	refuse := func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusConflict) }
	forBoth(t, refuse, func(t *testing.T, conn wire.Conn) {
		r, err := wire.Do(conn, wire.Request{Method: "POST", Target: "/", Length: 1 << 20}, make([]byte, 1<<20))
		if err != nil || r.Status != http.StatusConflict {
			t.Fatalf("got %+v, %v", r, err)
		}
	})
}

func TestTakesInterimAnswers(t *testing.T) {
	inform := func(w http.ResponseWriter, r *http.Request) {
		for _, at := range []string{"1", "2"} {
			w.Header().Set("At", at)
			w.WriteHeader(104)
		}
		_, _ = io.Copy(io.Discard, r.Body)
	}
	forBoth(t, inform, func(t *testing.T, conn wire.Conn) {
		s, err := conn.Open(wire.Request{Method: "POST", Target: "/", Length: 1})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"1", "2"} {
			select {
			case i := <-s.Interim():
				if i.Status != 104 || i.Header.Get("At") != want {
					t.Errorf("got %+v, want 104 with At: %s", i, want)
				}
			case <-time.After(10 * time.Second):
				t.Fatal("no interim answer arrived")
			}
		}
		if _, err := s.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Response(); err != nil || r.Status != http.StatusOK {
			t.Fatalf("got %+v, %v", r, err)
		}
	})
}

func TestSendsTrailers(t *testing.T) {
	show := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Seen", r.Trailer.Get("X-After"))
	}
	forBoth(t, show, func(t *testing.T, conn wire.Conn) {
		s, err := conn.Open(wire.Request{Method: "POST", Target: "/", Length: wire.Unknown, Header: []string{"Trailer: X-After"}})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := s.Write([]byte("x")); err != nil {
			t.Fatal(err)
		}
		if err := s.CloseWrite("X-After: all"); err != nil {
			t.Fatal(err)
		}
		if r, err := s.Response(); err != nil || r.Header.Get("Seen") != "all" {
			t.Fatalf("got %+v, %v", r, err)
		}
	})
}
