package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/tus/tusd"
	"github.com/tus/tusd/cmd/tusd/cli/access"
	"github.com/tus/tusd/filelocker"
	"github.com/tus/tusd/filestore"
)

// Names of files that the server makes in a directory (filestore, filelocker).
const (
	lockFile = ".tusd.locks"
	ownDir   = ".tusd.d"
)

// tryStart opens the directory as the server does at its start, and takes a
// lock. If no server has used the directory yet, it opens one in tempDir
// instead: the lock file would belong to this user, and the server's user might
// not be able to open it. The same holds for a server with the directory to
// itself (OneProcess): while it runs nothing else can open the directory.
func (i *inspection) tryStart() error {
	const subject = "open the directory as the server does"
	dir := i.Path
	if _, err := os.Lstat(filepath.Join(dir, lockFile)); errors.Is(err, fs.ErrNotExist) || i.OneProcess {
		dir = i.file("uploads")
	}
	if err := i.startIn(dir); err != nil {
		return i.missing(subject, fmt.Errorf("%w%s", err, access.Advice(err, dir)))
	}
	i.report.OK(subject, "")
	return nil
}

// startIn does what a start does in dir, and undoes it.
func (i *inspection) startIn(dir string) (err error) {
	store := &filestore.FileStore{
		Path: dir, Durability: i.Durability, FileKey: i.FileKey, DirPerm: i.DirPerm, FilePerm: i.FilePerm,
	}
	locker := filelocker.New(dir)
	if err := store.Open(i.ctx, tusd.Env{Locker: locker}); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, locker.Close(), store.Close()) }()
	return lockOnce(i.ctx, locker)
}

// lockOnce takes a lock and releases it. If another doctor holds it, locks
// work.
func lockOnce(ctx context.Context, locker tusd.Locker) error {
	lease, err := locker.Lock(ctx, "tusd-doctor", tusd.LockTry)
	switch {
	case errors.Is(err, tusd.ErrUploadLocked):
		return nil
	case err != nil:
		return err
	}
	return lease.Unlock(ctx)
}

// tryOwnFiles checks whether this user may make files in the directories for
// temporary files and side records. It makes none, because the server lists
// these directories.
func (i *inspection) tryOwnFiles() error {
	const subject = "temporary files and side records"
	own := filepath.Join(i.Path, ownDir)
	if _, err := os.Lstat(own); errors.Is(err, fs.ErrNotExist) {
		return nil // the server makes it
	}
	seen := 0
	err := filepath.WalkDir(own, func(path string, entry fs.DirEntry, err error) error {
		if seen++; seen > maxCensusFiles {
			return filepath.SkipAll
		}
		if err == nil {
			err = usable(path, entry, path == own || filepath.Dir(path) == own)
		}
		if errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			return nil
		}
		return err
	})
	if err != nil {
		i.report.Missing(subject, err.Error()+access.Advice(err, i.Path))
	}
	return nil
}

var errNoDirectory = errors.New("it is no directory: move it away")

// usable returns nil if the server can use the file or directory at path. If
// folder is true it must be a directory.
func usable(path string, entry fs.DirEntry, folder bool) error {
	switch {
	case entry.IsDir():
		return access.CanUse(path)
	case folder:
		return &fs.PathError{Op: "open", Path: path, Err: errNoDirectory}
	}
	return access.CanRead(path)
}
