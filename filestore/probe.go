package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/tus/tusd"
)

// Probe checks whether uploads can be stored now, without creating a file. An error that
// matches tusd.ErrNoSpace means that less than MinFree, or nothing, is free: operations
// that need no space still work. Any other error means that the directory is missing, not
// writable, or not working. The errors contain no path, so that they may be public.
//
// ctx is checked only at the start. If the file system hangs, as one on a network
// may, Probe hangs, too. It is safe for concurrent use.
func (s *FileStore) Probe(ctx context.Context) error {
	v, err := s.volume()
	if err != nil {
		return err
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if err := v.probe(); err != nil {
		return fmt.Errorf("filestore: %w", withoutPath(err))
	}
	return nil
}

func (v *volume) probe() error {
	if err := v.checkPath(); err != nil {
		return err
	}
	if err := checkWritable(v.path); err != nil {
		return fmt.Errorf("the directory cannot be written to: %w", err)
	}
	space, err := v.spaceOf(v.dirFile)
	if err != nil {
		return err
	}
	if space.free < max(v.minFree, 1) {
		return tusd.ErrNoSpace.With(fmt.Errorf("%d bytes are free, %d must stay free", space.free, v.minFree))
	}
	return nil
}

// checkPath checks that the store's path still leads to the directory that was
// opened. If it was renamed, or another file system was mounted over it, writes
// succeed, but the uploads are not found at the path.
func (v *volume) checkPath() error {
	opened, err := v.dirFile.Stat()
	if err != nil {
		return err
	}
	found, err := os.Stat(v.path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errors.New("the directory is gone")
	case err != nil:
		return err
	case !os.SameFile(opened, found):
		return errors.New("another directory has taken the place of the one that was opened")
	}
	return nil
}

// withoutPath removes the path from an error of the system.
func withoutPath(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", path.Op, path.Err)
	}
	return err
}
