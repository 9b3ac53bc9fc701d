package cli

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// maxSocketPath is the longest path that the system accepts, in bytes.
const maxSocketPath = len(syscall.RawSockaddrUnix{}.Path) - 1

// listenUnix listens on a Unix socket at path, for the users that access names.
// If a server was killed and left its socket, that is removed first; a socket
// in use, or another file, is not. Close of the listener removes the socket.
func listenUnix(path string, access socketAccess) (net.Listener, error) {
	if err := checkSocketPath(path); err != nil {
		return nil, err
	}
	if err := removeStaleSocket(path); err != nil {
		return nil, withAdvice(err, ".")
	}
	listener, err := listenFor(path, access)
	if err != nil {
		return nil, err
	}
	made, err := os.Lstat(path)
	if err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	listener.SetUnlinkOnClose(false) // it would also remove a newer socket of another server
	s := &unixSocket{UnixListener: listener}
	s.remove = sync.OnceFunc(func() { removeSame(path, made) })
	return s, nil
}

// listenFor makes the socket, which never accepts users that access does not
// name.
func listenFor(path string, access socketAccess) (*net.UnixListener, error) {
	if !access.restricted() {
		listener, err := listenControlled(path, nil)
		return listener, withSocketAdvice(err, path)
	}
	group, err := access.groupID()
	if err != nil {
		return nil, err
	}
	listener, err := listenForRoot(path)
	if err != nil {
		return nil, withSocketAdvice(err, path)
	}
	if err := access.open(path, group); err != nil {
		return nil, errors.Join(err, listener.Close())
	}
	return listener, nil
}

// listenControlled listens at path; control, if not nil, sees the socket before
// its file is made.
func listenControlled(path string, control func(network, address string, conn syscall.RawConn) error) (*net.UnixListener, error) {
	config := net.ListenConfig{Control: control}
	listener, err := config.Listen(context.Background(), "unix", path)
	if err != nil {
		return nil, err
	}
	return listener.(*net.UnixListener), nil
}

// unixSocket is a listener that removes only the file that it made.
type unixSocket struct {
	*net.UnixListener
	remove func()
}

// Close removes the file while the socket is open: until then the system gives
// its inode to no other file.
func (s *unixSocket) Close() error {
	s.remove()
	return s.UnixListener.Close()
}

// removeSame removes the file at path if it is still the file made.
func removeSame(path string, made fs.FileInfo) {
	if now, err := os.Lstat(path); err == nil && os.SameFile(now, made) {
		os.Remove(path) // the next start removes it otherwise
	}
}

func checkSocketPath(path string) error {
	if len(path) > maxSocketPath {
		return fmt.Errorf("%s has %d bytes; the path of a Unix socket has %d at most", path, len(path), maxSocketPath)
	}
	return nil
}

func removeStaleSocket(path string) error {
	switch used, err := findSocket(path); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case used:
		return fmt.Errorf("another server listens on %s", path)
	}
	return os.Remove(path)
}

// findSocket reports whether a server listens on the socket at path; if not,
// the socket is stale. It returns an error if there is no socket at path.
func findSocket(path string) (used bool, err error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return false, err
	case info.Mode()&fs.ModeSocket == 0:
		return false, fmt.Errorf("%s is there already and no socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		return true, conn.Close()
	case errors.Is(err, syscall.ECONNREFUSED): // no server listens
		return false, nil
	}
	return false, fmt.Errorf("cannot tell whether another server listens on %s: %w", path, err)
}
