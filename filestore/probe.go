package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/tus/tusd"
)

// Probe finds out whether uploads can be stored now, without making a file.
// nil: as far as can be seen they can. An error that matches tusd.ErrNoSpace
// means that less than MinFree, or nothing at all, is free: the store still
// does whatever needs no room. Any other error means that the directory is
// gone, cannot be written to, or does not answer as it should. The errors name
// no path, so that they can be shown to strangers.
//
// ctx is looked at only before the file system is asked. A file system that
// hangs, as one on a network may, holds Probe for as long as it hangs. Safe
// for concurrent use.
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
		return tusd.ErrNoSpace.With(fmt.Errorf("%d bytes are free, %d are to be kept", space.free, v.minFree))
	}
	return nil
}

// checkPath checks that the store's path still leads to the directory that was
// opened. One that was renamed, or lies below another mount by now, can be
// written to all the same, but nobody would find the uploads there.
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

// withoutPath is what the system said, without the path it said it of.
func withoutPath(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("%s: %w", path.Op, path.Err)
	}
	return err
}
