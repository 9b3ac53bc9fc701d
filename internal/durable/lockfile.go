package durable

import (
	"errors"
	"io/fs"
	"os"
	"runtime"
)

// OpenLockFile opens a file of root that is used only for locks, and creates it if it is
// missing, with the permissions perm before the umask. It removes the read permission of
// users who cannot write to the file: their locks could block the others.
func OpenLockFile(root *os.Root, name string, perm os.FileMode) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDWR|os.O_CREATE, withoutReaders(perm))
	if err != nil {
		return nil, err
	}
	if err := keepFromReaders(f, name); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

var errIrregular = errors.New("it is no regular file: move it away")

// keepFromReaders also refuses a file that is not regular, such as a FIFO: locks on it
// succeed, and later calls fail.
func keepFromReaders(f *os.File, name string) error {
	info, err := f.Stat()
	switch {
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return &fs.PathError{Op: "open", Path: name, Err: errIrregular}
	case runtime.GOOS == "windows": // it has other permissions
		return nil
	case withoutReaders(info.Mode()) == info.Mode():
		return nil
	}
	err = f.Chmod(withoutReaders(info.Mode().Perm()))
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, errors.ErrUnsupported) {
		return nil // the file belongs to another user, or the file system has no permissions
	}
	return err
}

// withoutReaders removes the right to read of group and others if they cannot write.
func withoutReaders(mode os.FileMode) os.FileMode {
	if mode&0o020 == 0 {
		mode &^= 0o040
	}
	if mode&0o002 == 0 {
		mode &^= 0o004
	}
	return mode
}
