package bare

import "golang.org/x/sys/unix"

// file is the descriptor of an open file. An os.File would make five more system
// calls when it is opened, to find that a regular file cannot be polled.
type file int

func open(name string, flags int) (file, error) {
	fd, err := unix.Open(name, flags|unix.O_CLOEXEC, filePerm)
	return file(fd), err
}

// Read reads at the file's position.
func (f file) Read(p []byte) (int, error) { return unix.Read(int(f), p) }

// Write writes p at the file's position: as a whole, unless the disk is full.
func (f file) Write(p []byte) (int, error) { return unix.Write(int(f), p) }

// WriteAt writes p at an offset: as a whole, unless the disk is full.
func (f file) WriteAt(p []byte, offset int64) (int, error) { return unix.Pwrite(int(f), p, offset) }

// Size returns the length of the file.
func (f file) Size() (int64, error) {
	var stat unix.Stat_t
	err := unix.Fstat(int(f), &stat)
	return stat.Size, err
}

// Sync makes the bytes of the file, and its size, durable.
func (f file) Sync() error { return unix.Fdatasync(int(f)) }

// Close closes the file.
func (f file) Close() error { return unix.Close(int(f)) }
