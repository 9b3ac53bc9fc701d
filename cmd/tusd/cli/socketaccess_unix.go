//go:build unix && !linux

package cli

import (
	"net"
	"syscall"
)

// listenForNobody listens on a Unix socket whose file lets nobody but root
// connect. The umask is the process's: it is called before requests are served.
func listenForNobody(path string) (*net.UnixListener, error) {
	defer syscall.Umask(syscall.Umask(0o777))
	return listenControlled(path, nil)
}
