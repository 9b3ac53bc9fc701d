//go:build !unix

package cli

import (
	"errors"
	"net"
)

func listenForRoot(string) (*net.UnixListener, error) {
	return nil, errors.New("-unix-sock-mode and -unix-sock-group have no effect on this system")
}
