//go:build !linux

package bare

import "os"

// file is an open file.
type file struct{ *os.File }

func open(name string, flags int) (file, error) {
	f, err := os.OpenFile(name, flags, filePerm)
	return file{f}, err
}

// Size returns the length of the file.
func (f file) Size() (int64, error) {
	stat, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return stat.Size(), nil
}
