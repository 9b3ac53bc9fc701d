//go:build unix && !linux

package cli

import (
	"net"
	"syscall"
)

// listenForRoot listens on a Unix socket to which only root can connect. The umask
// is the process's: it is called before requests are served.
func listenForRoot(path string) (*net.UnixListener, error) {
	defer syscall.Umask(syscall.Umask(0o777))
	return listenControlled(path, nil)
}
