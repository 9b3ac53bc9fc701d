package cli

import (
	"bytes"
	"errors"
	"log/slog"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
)

// shortListener fails with errno a number of times, then returns a connection, and
// then is closed.
type shortListener struct {
	net.Listener
	errno    syscall.Errno
	failures int
}

func (l *shortListener) Accept() (net.Conn, error) {
	switch l.failures--; {
	case l.failures >= 0:
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", l.errno)}
	case l.failures == -1:
		return &net.TCPConn{}, nil
	}
	return nil, net.ErrClosed
}

// A lack of descriptors or memory does not end Accept, and is logged rarely.
func TestAcceptIsRetried(t *testing.T) {
	for _, errno := range []syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM} {
		synctest.Test(t, func(t *testing.T) {
			var log bytes.Buffer
			const failures = 3000 // 2.5 minutes
			l := &retryListener{Listener: &shortListener{errno: errno, failures: failures}, log: slog.New(slog.NewTextHandler(&log, nil))}
			if conn, err := l.Accept(); conn == nil || err != nil {
				t.Errorf("after %v: %v, %v", errno, conn, err)
			}
			if n := strings.Count(log.String(), "\n"); n != 3 {
				t.Errorf("%d lines for %d attempts:\n%s", n, failures, log.String())
			}
			if _, err := l.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("when it is closed: %v", err)
			}
		})
	}
}
