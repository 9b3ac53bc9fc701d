package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/cmd/tusd/cli/doctor"
	"github.com/tus/tusd/internal/lease"
)

// doctorLockTimeout bounds how long tusd doctor waits for a lock. A service that has just
// started gives out locks after ten seconds.
const doctorLockTimeout = 20 * time.Second

// unsafeLocker is a locker whose service can have settings by which locks are lost.
type unsafeLocker interface {
	// unsafe returns a sentence on each. An error means that they are not known.
	unsafe(context.Context) ([]string, error)
}

// examineLocker takes a lock of a lock service and releases it. The storage examines other
// locks.
func (cfg config) examineLocker(ctx context.Context, report *doctor.Report) {
	kind, settings := cfg.chosenLocker()
	if kind.scope != tusd.ScopeLease {
		return
	}
	subject := "lock service (-locker " + kind.name + ")"
	locker, err := settings.open(cfg, slog.New(slog.DiscardHandler))
	if err != nil {
		report.Missing(subject, err.Error())
		return
	}
	defer locker.close()
	ctx, cancel := context.WithTimeout(ctx, doctorLockTimeout)
	defer cancel()
	err = probeLocker(ctx, locker)
	for errors.Is(err, lease.ErrSettling) && ctx.Err() == nil {
		err = probeLocker(ctx, locker) // which takes a moment
	}
	if err != nil {
		if cause := errors.Unwrap(err); cause != nil && errors.Is(err, tusd.ErrLockServiceUnavailable) {
			err = cause // the rest is for clients
		}
		report.Missing(subject, fmt.Sprintf("no lock can be acquired: %v; %s", err, lockAdvice(kind.name, err)))
		return
	}
	report.OK(subject, "a lock is acquired and released")
	if l, ok := locker.(unsafeLocker); ok {
		problems, _ := l.unsafe(ctx) // some services do not tell their settings
		for _, problem := range problems {
			report.Warn(subject, problem)
		}
	}
}

// The words of errors of lock services, in lower case.
var (
	credentialWords = []string{"wrongpass", "noauth", "noperm", "auth", "password", "permission denied", "acl", "403"}
	tlsWords        = []string{"x509", "tls:", "certificate", "http request to an https server"}
)

// lockAdvice returns which flags of a lock service to look at after an error.
func lockAdvice(locker string, err error) string {
	secret := "-" + locker + "-password-file"
	if locker == consulLockerKind.name {
		secret = "-consul-token-file"
	}
	text := strings.ToLower(err.Error())
	has := func(words []string) bool {
		return slices.ContainsFunc(words, func(word string) bool { return strings.Contains(text, word) })
	}
	switch {
	case has(tlsWords):
		return fmt.Sprintf("look at -%[1]s-tls-ca, -%[1]s-tls-certificate, and whether -%[1]s-url says TLS", locker)
	case has(credentialWords) && !errors.Is(err, fs.ErrPermission): // of a socket
		return fmt.Sprintf("look at %s, at the user and password or token that the service wants, and whether they have the rights to -%s-prefix", secret, locker)
	case locker == redisLockerKind.name:
		return "look at -redis-url, -redis-cluster and -redis-sentinel-master, and whether the service wants TLS"
	}
	return fmt.Sprintf("look at -%[1]s-url, and whether the service wants TLS", locker)
}
