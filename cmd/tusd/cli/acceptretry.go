package cli

import (
	"errors"
	"log/slog"
	"net"
	"syscall"
	"time"
)

// retryListener is a listener that retries when the system lacks descriptors or
// memory: connections wait in the system until others are closed. net/http
// would log every attempt, and end the server if memory is lacking.
type retryListener struct {
	net.Listener
	log *slog.Logger

	failed uint64    // attempts since logged
	logged time.Time // time of the last line in the log
}

const (
	acceptRetryInterval = 50 * time.Millisecond // between attempts
	acceptLogInterval   = time.Minute           // between lines in the log
)

// Accept implements net.Listener. It is not for concurrent use.
func (l *retryListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err == nil || !isShortage(err) {
			return conn, err
		}
		l.logFailure(err)
		time.Sleep(acceptRetryInterval)
	}
}

func (l *retryListener) logFailure(err error) {
	l.failed++
	if now := time.Now(); now.Sub(l.logged) >= acceptLogInterval {
		l.log.Warn("new connections wait: the system gives no descriptor or memory for them (see ulimit -n, LimitNOFILE)",
			"err", err, "attempts", l.failed)
		l.failed, l.logged = 0, now
	}
}

// isShortage reports whether the system lacks a resource that may be free
// later.
func isShortage(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE) ||
		errors.Is(err, syscall.ENOBUFS) || errors.Is(err, syscall.ENOMEM)
}
