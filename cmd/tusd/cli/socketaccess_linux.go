package cli

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// listenForRoot listens on a Unix socket to which only root can connect. Linux
// makes the file with the permissions of the socket.
func listenForRoot(path string) (*net.UnixListener, error) {
	return listenControlled(path, func(_, _ string, conn syscall.RawConn) error {
		var err error
		if failed := conn.Control(func(fd uintptr) { err = unix.Fchmod(int(fd), 0) }); failed != nil {
			return failed
		}
		return err
	})
}
