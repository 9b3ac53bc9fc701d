package lockservices_test

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/lockservices"
)

// TestRestart stores a value, kills the service, and starts it again. It must have the
// same address. Redis must have lost the value, the others must have kept it.
func TestRestart(t *testing.T) {
	for _, c := range []struct {
		name  string
		start func(t *testing.T) *lockservices.Server
		put   func(s *lockservices.Server) (string, error)
		get   func(s *lockservices.Server) (string, error)
		want  string // in the value after the restart
	}{
		{"redis", func(t *testing.T) *lockservices.Server { return lockservices.Redis(t) },
			func(s *lockservices.Server) (string, error) { return redis(s, "SET k v") },
			func(s *lockservices.Server) (string, error) { return redis(s, "GET k") },
			"$-1"},
		{"etcd", func(t *testing.T) *lockservices.Server { return lockservices.Etcd(t) },
			func(s *lockservices.Server) (string, error) {
				return send(http.MethodPost, s.URL()+"/v3/kv/put", `{"key":"aw==","value":"dg=="}`)
			},
			func(s *lockservices.Server) (string, error) {
				return send(http.MethodPost, s.URL()+"/v3/kv/range", `{"key":"aw=="}`)
			},
			`"value":"dg=="`},
		{"consul", func(t *testing.T) *lockservices.Server { return lockservices.Consul(t) },
			func(s *lockservices.Server) (string, error) {
				return send(http.MethodPut, s.URL()+"/v1/kv/k", "v")
			},
			func(s *lockservices.Server) (string, error) {
				return send(http.MethodGet, s.URL()+"/v1/kv/k?raw", "")
			},
			"v"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := c.start(t)
			address := s.Addr()
			if answer, err := c.put(s); err != nil {
				t.Fatal(answer, err)
			}
			s.Stop()
			if answer, err := c.get(s); err == nil {
				t.Errorf("a stopped service answers %q", answer)
			}
			s.Start()
			answer, err := c.get(s)
			if err != nil || s.Addr() != address || !strings.HasSuffix(s.URL(), address) {
				t.Fatalf("%s: %q, %v", s.URL(), answer, err)
			}
			if !strings.Contains(answer, c.want) {
				t.Errorf("the value after a restart: %q, want %q", answer, c.want)
			}
			s.Restart()
		})
	}
}

// redis sends one command and returns the first line of the answer.
func redis(s *lockservices.Server, command string) (string, error) {
	conn, err := net.Dial("tcp", s.Addr())
	if err != nil {
		return "", err
	}
	defer conn.Close()
	fmt.Fprint(conn, command, "\r\n")
	return bufio.NewReader(conn).ReadString('\n')
}

// send sends one request and returns the body of the answer.
func send(method, url, body string) (string, error) {
	request, err := http.NewRequest(method, url, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Close = true
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	return string(content), err
}

// echo is a server that sends back what it gets.
func echo(t *testing.T) (address string) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	return listener.Addr().String()
}

// TestLink cuts a link. What is sent then arrives only after it is restored, on an old and
// on a new connection.
func TestLink(t *testing.T) {
	l := lockservices.NewLink(t, echo(t))
	old := dial(t, l)
	wantEcho(t, old, "before")
	l.Cut()
	l.Cut()
	fresh := dial(t, l)
	for _, conn := range []net.Conn{old, fresh} {
		fmt.Fprint(conn, "meanwhile")
		conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
		if n, err := conn.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("a cut link: read %d bytes, %v, want a timeout", n, err)
		}
		conn.SetReadDeadline(time.Time{})
	}
	l.Restore()
	l.Restore()
	for _, conn := range []net.Conn{old, fresh} {
		wantRead(t, conn, "meanwhile")
		wantEcho(t, conn, "after")
	}
}

// TestLinkPassesClose closes one end. The other end is closed, when the link forwards.
func TestLinkPassesClose(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l := lockservices.NewLink(t, listener.Addr().String())
	client := dial(t, l)
	service, err := listener.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer service.Close()
	l.Cut()
	client.Close()
	service.SetReadDeadline(time.Now().Add(50 * time.Millisecond))
	if _, err := service.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a cut link: %v, want a timeout", err)
	}
	service.SetReadDeadline(time.Time{})
	l.Restore()
	if _, err := service.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the link is restored: %v, want %v", err, io.EOF)
	}
}

func dial(t *testing.T, l *lockservices.Link) net.Conn {
	t.Helper()
	conn, err := net.Dial("tcp", l.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return conn
}

func wantEcho(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	fmt.Fprint(conn, text)
	wantRead(t, conn, text)
}

func wantRead(t *testing.T, conn net.Conn, text string) {
	t.Helper()
	got := make([]byte, len(text))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, []byte(text)) {
		t.Fatalf("read %q, %v, want %q", got, err, text)
	}
}
