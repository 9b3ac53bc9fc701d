package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/tus/tusd/cmd/tusd/cli/access"
)

// withAdvice returns err with what an operator can do about it. Relative paths
// in err are below base.
func withAdvice(err error, base string) error {
	if err == nil {
		return nil
	}
	advice := access.Advice(err, base)
	if advice == "" {
		return err
	}
	return fmt.Errorf("%w%s", err, advice)
}

// withSocketAdvice is withAdvice for a Unix socket that cannot be made at path.
func withSocketAdvice(err error, path string) error {
	if err == nil {
		return nil
	}
	if advice := access.Advice(&fs.PathError{Op: "bind", Path: path, Err: err}, "."); advice != "" {
		return fmt.Errorf("%w%s", err, advice)
	}
	return err
}

// withPortAdvice is withAdvice for a TCP address that the server cannot listen
// on.
func withPortAdvice(err error) error {
	switch {
	case errors.Is(err, fs.ErrPermission):
		return fmt.Errorf("%w; a port below 1024 needs root, AmbientCapabilities=CAP_NET_BIND_SERVICE or a socket of systemd, or use another one", err)
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("%w; another program listens there: end it, or use another port", err)
	}
	return err
}
