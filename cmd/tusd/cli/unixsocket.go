package cli

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"syscall"
	"time"
)

// listenUnix listens on a Unix socket at path. The file that a server left
// behind which was killed is removed first; what is in use, or no socket, is
// not touched. The file is gone when the listener is closed.
func listenUnix(path string) (net.Listener, error) {
	if err := removeLeftSocket(path); err != nil {
		return nil, err
	}
	return net.Listen("unix", path)
}

func removeLeftSocket(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case info.Mode()&fs.ModeSocket == 0:
		return fmt.Errorf("%s is there already and no socket", path)
	}
	conn, err := net.DialTimeout("unix", path, time.Second)
	switch {
	case err == nil:
		conn.Close()
		return fmt.Errorf("another server listens on %s", path)
	case errors.Is(err, syscall.ECONNREFUSED): // nobody listens
		return os.Remove(path)
	}
	return fmt.Errorf("cannot tell whether another server listens on %s: %w", path, err)
}
