//go:build linux

package hostiletest

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// Where the two sides connect from.
var (
	attackerAddress = net.IPv4(127, 0, 0, 3)
	healthyAddress  = net.IPv4(127, 0, 0, 2)
)

// arena is what an attack has: a target, and a context that ends with it.
type arena struct {
	*target
	ctx   context.Context
	conns *conns
	ready chan struct{} // closed when the attack is in full effect
	once  sync.Once     // closes ready
}

// conns are what an attack has open.
type conns struct {
	mu  sync.Mutex
	all map[net.Conn]bool
}

func newArena(ctx context.Context, tb testing.TB, to *target) *arena {
	a := &arena{target: to, ctx: ctx, conns: &conns{all: make(map[net.Conn]bool)}, ready: make(chan struct{})}
	tb.Cleanup(a.leave)
	return a
}

// set tells that the attack is in full effect. It goes on until ctx ends.
func (a *arena) set() { a.once.Do(func() { close(a.ready) }) }

// together runs attacks at the same time. One that ends before it is in full
// effect fails them all.
func together(attacks ...func(*arena) error) func(*arena) error {
	return func(a *arena) error {
		ended := make(chan error, len(attacks))
		var parts []*arena
		for _, run := range attacks {
			part := &arena{target: a.target, ctx: a.ctx, conns: a.conns, ready: make(chan struct{})}
			parts = append(parts, part)
			go func() { ended <- run(part) }()
		}
		var failed error
		left := len(parts)
		for _, part := range parts {
			select {
			case <-part.ready:
			case err := <-ended:
				failed, left = errors.Join(failed, err), left-1
			}
		}
		a.set()
		for ; left > 0; left-- {
			failed = errors.Join(failed, <-ended)
		}
		return failed
	}
}

// hold is for an attack that only has to stay.
func (a *arena) hold() error {
	a.set()
	<-a.ctx.Done()
	return nil
}

// over reports whether the attack has to end.
func (a *arena) over() bool { return a.ctx.Err() != nil }

// dial connects from the attacker's address. The connection is closed when
// the attack ends, if not before.
func (a *arena) dial() (net.Conn, error) { return a.dialSmall(0) }

// dialSmall is dial with a receive buffer of that many bytes.
func (a *arena) dialSmall(receive int) (net.Conn, error) {
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: attackerAddress}, Timeout: waitTimeout}
	if receive > 0 {
		dialer.Control = func(_, _ string, c syscall.RawConn) error {
			var failed error
			err := c.Control(func(fd uintptr) {
				failed = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, receive)
			})
			if err != nil {
				return err
			}
			return failed
		}
	}
	conn, err := dialer.DialContext(a.ctx, "tcp", a.Address)
	if err != nil {
		return nil, err
	}
	if err := conn.SetDeadline(time.Now().Add(2 * waitTimeout)); err != nil {
		return nil, err
	}
	a.conns.mu.Lock()
	defer a.conns.mu.Unlock()
	a.conns.all[conn] = true
	return conn, nil
}

// drop closes a connection before the end.
func (a *arena) drop(conn net.Conn) {
	a.conns.mu.Lock()
	delete(a.conns.all, conn)
	a.conns.mu.Unlock()
	conn.Close()
}

// leave closes all connections, as a process that is gone does.
func (a *arena) leave() {
	a.conns.mu.Lock()
	defer a.conns.mu.Unlock()
	for conn := range a.conns.all {
		conn.Close()
	}
	clear(a.conns.all)
}

// say sends text over a new connection, which stays open.
func (a *arena) say(text string) (net.Conn, error) {
	conn, err := a.dial()
	if err != nil {
		return nil, err
	}
	// A server may refuse what it hears, and close.
	_, _ = io.WriteString(conn, text)
	return conn, nil
}

// many runs do n times with a few goroutines, until the attack ends.
func (a *arena) many(n int, do func(i int) error) error {
	const workers = 8
	var group sync.WaitGroup
	var mu sync.Mutex
	var failed error
	next := 0
	for range workers {
		group.Go(func() {
			for !a.over() {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n {
					return
				}
				if err := do(i); err != nil && !a.over() {
					mu.Lock()
					failed = err
					mu.Unlock()
					return
				}
			}
		})
	}
	group.Wait()
	return failed
}

// again repeats do until the attack ends. A server that closes a connection
// ends only that, so do may return any error.
func (a *arena) again(do func() error) error {
	for !a.over() {
		if err := do(); err != nil {
			a.rest(20 * time.Millisecond)
		}
	}
	return nil
}

// rest waits, at most until the attack ends.
func (a *arena) rest(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.ctx.Done():
	}
}

// pace holds a flood to a number of steps per second.
type pace struct {
	a     *arena
	begun time.Time
	every time.Duration
	steps int
}

func (a *arena) pace(perSecond int) *pace {
	return &pace{a: a, begun: time.Now(), every: time.Second / time.Duration(perSecond)}
}

// step waits for the next step and reports whether there is one.
func (p *pace) step() bool {
	p.steps++
	if ahead := time.Duration(p.steps)*p.every - time.Since(p.begun); ahead > 5*time.Millisecond {
		p.a.rest(ahead)
	}
	return !p.a.over()
}

// head is the head of a request of tus 1.0 over HTTP/1.1.
func (a *arena) head(method, path string, lines ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nTus-Resumable: 1.0.0\r\n", method, path, a.Address)
	for _, line := range lines {
		b.WriteString(line + "\r\n")
	}
	return b.String() + "\r\n"
}

// ask sends a request over conn and reads the answer.
func ask(conn net.Conn, method, text string) (*http.Response, error) {
	if _, err := io.WriteString(conn, text); err != nil {
		return nil, err
	}
	answer, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	_, err = io.Copy(io.Discard, answer.Body)
	return answer, err
}

// create makes an upload of a length, and returns its path.
func (a *arena) create(length int64, lines ...string) (string, error) {
	conn, err := a.dial()
	if err != nil {
		return "", err
	}
	defer a.drop(conn)
	lines = append(lines, fmt.Sprintf("Upload-Length: %d", length), "Content-Length: 0")
	answer, err := ask(conn, http.MethodPost, a.head(http.MethodPost, uploads, lines...))
	if err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("POST: %s", answer.Status)
	}
	_, path, _ := strings.Cut(answer.Header.Get("Location"), a.Address)
	return path, nil
}

// filled makes an upload that is complete.
func (a *arena) filled(length int64, lines ...string) (string, error) {
	path, err := a.create(length, lines...)
	if err != nil {
		return "", err
	}
	conn, err := a.dial()
	if err != nil {
		return "", err
	}
	defer a.drop(conn)
	answer, err := ask(conn, http.MethodPatch, a.head(http.MethodPatch, path,
		"Upload-Offset: 0", offsetStream, fmt.Sprintf("Content-Length: %d", length))+strings.Repeat("x", int(length)))
	if err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusNoContent {
		return "", fmt.Errorf("PATCH: %s", answer.Status)
	}
	return path, nil
}
