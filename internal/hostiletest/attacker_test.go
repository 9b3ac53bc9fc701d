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

// The source addresses of the attacker and of the healthy client.
var (
	attackerAddress = net.IPv4(127, 0, 0, 3)
	healthyAddress  = net.IPv4(127, 0, 0, 2)
)

// attacker runs one attack on a target. ctx ends with the attack.
type attacker struct {
	*target
	ctx   context.Context
	conns *conns
	ready chan struct{} // closed when the attack is in full effect
	once  sync.Once     // closes ready
}

// conns are the open connections of an attack.
type conns struct {
	mu  sync.Mutex
	all map[net.Conn]bool
}

func newAttacker(ctx context.Context, tb testing.TB, to *target) *attacker {
	a := &attacker{target: to, ctx: ctx, conns: &conns{all: make(map[net.Conn]bool)}, ready: make(chan struct{})}
	tb.Cleanup(a.closeAll)
	return a
}

// markReady reports that the attack is in full effect. The attack goes on until ctx
// ends.
func (a *attacker) markReady() { a.once.Do(func() { close(a.ready) }) }

// combine runs attacks at the same time. If one ends before it is in full effect, all
// fail.
func combine(attacks ...func(*attacker) error) func(*attacker) error {
	return func(a *attacker) error {
		ended := make(chan error, len(attacks))
		var parts []*attacker
		for _, run := range attacks {
			part := &attacker{target: a.target, ctx: a.ctx, conns: a.conns, ready: make(chan struct{})}
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
		a.markReady()
		for ; left > 0; left-- {
			failed = errors.Join(failed, <-ended)
		}
		return failed
	}
}

// waitForEnd is the rest of an attack that only keeps its connections open.
func (a *attacker) waitForEnd() error {
	a.markReady()
	<-a.ctx.Done()
	return nil
}

// stopped reports whether the attack has to end.
func (a *attacker) stopped() bool { return a.ctx.Err() != nil }

// dial connects from the attacker's address. The connection is closed when the attack
// ends, or by close.
func (a *attacker) dial() (net.Conn, error) { return a.dialSmall(0) }

// dialSmall is dial with a receive buffer of receive bytes.
func (a *attacker) dialSmall(receive int) (net.Conn, error) {
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

// close closes a connection.
func (a *attacker) close(conn net.Conn) {
	a.conns.mu.Lock()
	delete(a.conns.all, conn)
	a.conns.mu.Unlock()
	conn.Close()
}

// closeAll closes all connections, as the exit of a process does.
func (a *attacker) closeAll() {
	a.conns.mu.Lock()
	defer a.conns.mu.Unlock()
	for conn := range a.conns.all {
		conn.Close()
	}
	clear(a.conns.all)
}

// sendText sends text over a new connection, which stays open.
func (a *attacker) sendText(text string) (net.Conn, error) {
	conn, err := a.dial()
	if err != nil {
		return nil, err
	}
	// An error is ignored: the server may refuse the text and close the connection.
	_, _ = io.WriteString(conn, text)
	return conn, nil
}

// parallel calls do n times in a few goroutines, until the attack ends.
func (a *attacker) parallel(n int, do func(i int) error) error {
	const workers = 8
	var group sync.WaitGroup
	var mu sync.Mutex
	var failed error
	next := 0
	for range workers {
		group.Go(func() {
			for !a.stopped() {
				mu.Lock()
				i := next
				next++
				mu.Unlock()
				if i >= n {
					return
				}
				if err := do(i); err != nil && !a.stopped() {
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

// loop repeats do until the attack ends. It ignores errors of do, since the server may
// close a connection.
func (a *attacker) loop(do func() error) error {
	for !a.stopped() {
		if err := do(); err != nil {
			a.sleep(20 * time.Millisecond)
		}
	}
	return nil
}

// sleep waits for d, or until the attack ends.
func (a *attacker) sleep(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-a.ctx.Done():
	}
}

// pace limits a flood to a number of steps per second.
type pace struct {
	a     *attacker
	begun time.Time
	every time.Duration
	steps int
}

func (a *attacker) pace(perSecond int) *pace {
	return &pace{a: a, begun: time.Now(), every: time.Second / time.Duration(perSecond)}
}

// step waits for the next step. It reports false when the attack ends.
func (p *pace) step() bool {
	p.steps++
	if ahead := time.Duration(p.steps)*p.every - time.Since(p.begun); ahead > 5*time.Millisecond {
		p.a.sleep(ahead)
	}
	return !p.a.stopped()
}

// head returns the head of a tus 1.0 request over HTTP/1.1.
func (a *attacker) head(method, path string, lines ...string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nTus-Resumable: 1.0.0\r\n", method, path, a.Address)
	for _, line := range lines {
		b.WriteString(line + "\r\n")
	}
	return b.String() + "\r\n"
}

// roundTrip sends a request over conn and reads the answer.
func roundTrip(conn net.Conn, method, text string) (*http.Response, error) {
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

// create creates an upload and returns its path.
func (a *attacker) create(length int64, lines ...string) (string, error) {
	conn, err := a.dial()
	if err != nil {
		return "", err
	}
	defer a.close(conn)
	lines = append(lines, fmt.Sprintf("Upload-Length: %d", length), "Content-Length: 0")
	answer, err := roundTrip(conn, http.MethodPost, a.head(http.MethodPost, uploads, lines...))
	if err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusCreated {
		return "", fmt.Errorf("POST: %s", answer.Status)
	}
	_, path, _ := strings.Cut(answer.Header.Get("Location"), a.Address)
	return path, nil
}

// createComplete creates an upload, sends its content, and returns its path.
func (a *attacker) createComplete(length int64, lines ...string) (string, error) {
	path, err := a.create(length, lines...)
	if err != nil {
		return "", err
	}
	conn, err := a.dial()
	if err != nil {
		return "", err
	}
	defer a.close(conn)
	answer, err := roundTrip(conn, http.MethodPatch, a.head(http.MethodPatch, path,
		"Upload-Offset: 0", offsetStream, fmt.Sprintf("Content-Length: %d", length))+strings.Repeat("x", int(length)))
	if err != nil {
		return "", err
	}
	if answer.StatusCode != http.StatusNoContent {
		return "", fmt.Errorf("PATCH: %s", answer.Status)
	}
	return path, nil
}
