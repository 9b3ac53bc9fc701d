package tusclient_test

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// start runs a server that answers with what it has received, and counts its connections
// by the address of the client.
func start(t *testing.T) (address string, connections map[string]bool) {
	connections = make(map[string]bool)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections[r.RemoteAddr] = true // one request at a time
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Upload-Offset", r.Header.Get("Upload-Offset"))
		w.Header().Set("Location", "http://elsewhere/files/a%2Fb")
		fmt.Fprintf(w, "%s %s %d %q %q %s", r.Method, r.RequestURI, r.ContentLength, r.Header["X"], r.Trailer["X-After"], body)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String(), connections
}

func TestRequests(t *testing.T) {
	address, connections := start(t)
	c := tusclient.New(address)
	for want, send := range map[string]func() (tusclient.Answer, error){
		`FOO /x?y 3 ["1" "2"] [] abc`: func() (tusclient.Answer, error) { return c.Do("FOO", "/x?y", []byte("abc"), "X: 1", "x: 2") },
		`FOO /x -1 [] [] abc`:         func() (tusclient.Answer, error) { return c.Do("FOO", "/x", []byte("abc"), tusclient.Chunked) },
		`PUT /x 0 [] [] `:             func() (tusclient.Answer, error) { return tusclient.Do("PUT", "http://"+address+"/x", nil) },
		`PATCH /x 3 ["1"] [] abc`:     func() (tusclient.Answer, error) { return c.Patch("/x", 7, []byte("abc"), "X: 1") },
		`PATCH /x -1 ["1"] ["2"] abc`: func() (tusclient.Answer, error) {
			r, err := c.OpenPatch("/x", 7, wire.Unknown, "X: 1", "Trailer: X-After")
			if err == nil {
				err = r.Send([]byte("abc"), "X-After: 2")
			}
			if err != nil {
				return tusclient.Answer{}, err
			}
			return r.Answer()
		},
	} {
		got, err := send()
		if err != nil || string(got.Body) != want || got.Path() != "/files/a%2Fb" {
			t.Errorf("%v, %v, want %s", got, err, want)
		}
		if patched := want[0] == 'P' && want[1] == 'A'; patched != (got.Offset() == 7) {
			t.Errorf("%s: offset %d", want, got.Offset())
		}
	}
	if len(connections) != 5 {
		t.Errorf("%d connections, want one for each request", len(connections))
	}
}

func TestKeptConnection(t *testing.T) {
	address, connections := start(t)
	c := tusclient.New(address)
	c.Keep = true
	defer c.Close()
	for range 3 {
		if _, err := c.Head("/x"); err != nil {
			t.Fatal(err)
		}
		r, err := c.OpenPatch("/x", 0, 3)
		if err == nil {
			_, err = r.Write([]byte("abc"))
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := r.Answer(); err != nil {
			t.Fatal(err)
		}
	}
	if len(connections) != 1 {
		t.Errorf("%d connections, want 1", len(connections))
	}
	if _, err := c.Do("GET", "/x", nil, "Connection: close"); err != nil || c.Conn() != nil {
		t.Errorf("the connection is kept that the server closes, %v", err)
	}
	if _, err := c.Head("/x"); err != nil || len(connections) != 2 {
		t.Errorf("%d connections, want 2, %v", len(connections), err)
	}
}

func TestHTTP2(t *testing.T) {
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %d %s", r.Proto, r.Method, r.ContentLength, body)
	}))
	wire.StartHTTP2(server)
	t.Cleanup(server.Close)
	c := &tusclient.Client{Dial: func() (wire.Conn, error) { return wire.DialHTTP2(server.Listener.Addr().String()) }}
	defer c.Close()
	for _, c.Keep = range []bool{false, true} {
		got, err := c.Patch("/x", 0, []byte("abc"))
		if want := "HTTP/2.0 PATCH 3 abc"; err != nil || string(got.Body) != want {
			t.Errorf("keep %v: %v, %v, want %s", c.Keep, got, err, want)
		}
	}
}

func TestNoAnswer(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }))
	t.Cleanup(server.Close)
	c := tusclient.New(server.Listener.Addr().String())
	for _, c.Keep = range []bool{false, true} {
		if a, err := c.Head("/x"); !errors.Is(err, tusclient.ErrNoAnswer) || a.Offset() != -1 || a.Transient() {
			t.Errorf("%v, %v", a, err)
		}
	}
	server.Close()
	if _, err := c.Create(1); !errors.Is(err, tusclient.ErrNoAnswer) {
		t.Errorf("without a server: %v", err)
	}
}
