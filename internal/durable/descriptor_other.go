//go:build !linux

package durable

import (
	"io"
	"os"
)

// descriptor is an open file.
type descriptor struct{ f *os.File }

func (d descriptor) close() error { return d.f.Close() }

func (d descriptor) stat() (Info, error) {
	stat, err := d.f.Stat()
	if err != nil {
		return Info{}, err
	}
	return infoOf(stat), nil
}

func (d descriptor) readAt(p []byte, off int64) (int, error)  { return d.f.ReadAt(p, off) }
func (d descriptor) write(p []byte) (int, error)              { return d.f.Write(p) }
func (d descriptor) writeAt(p []byte, off int64) (int, error) { return d.f.WriteAt(p, off) }
func (d descriptor) truncate(size int64) error                { return d.f.Truncate(size) }

// copyFrom appends up to n bytes of src at the file's position.
func (d descriptor) copyFrom(_ string, src *os.File, n int64) (int64, error) {
	return d.f.ReadFrom(&io.LimitedReader{R: src, N: n})
}

func infoOf(stat os.FileInfo) Info {
	return Info{Mode: stat.Mode(), Size: stat.Size(), Modified: stat.ModTime()}
}
