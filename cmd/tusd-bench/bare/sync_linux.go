package bare

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// syncData makes data and size of f durable.
func syncData(f *os.File) error {
	err := unix.Fdatasync(int(f.Fd()))
	for err == unix.EINTR {
		err = unix.Fdatasync(int(f.Fd()))
	}
	runtime.KeepAlive(f)
	return os.NewSyscallError("fdatasync", err)
}
