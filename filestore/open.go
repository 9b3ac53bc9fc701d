package filestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

const (
	lockFileName  = ".tusd.locks" // filelocker and tempfiles.go lock other bytes than 0
	ownDir        = ".tusd.d"
	tempDir       = ownDir + "/tmp"
	sideRecordDir = ownDir + "/side"
)

var errNotOpen = errors.New("filestore: the store is not open")

// ErrInUse is returned by Open if another process or store has the directory for itself, or
// this one wants it for itself.
var ErrInUse = errors.New("to share it, all of them need a locker that works across processes")

// volume is the state of an open FileStore.
type volume struct {
	root         *os.Root // of tree, which closes it
	tree         *durable.Tree
	path         string // absolute
	level        Durability
	minFree      int64
	fileKey      string
	dirPerm      os.FileMode
	filePerm     os.FileMode
	scope        tusd.Scope
	readOnly     bool
	dirFile      *os.File // the directory, for spaceOf
	spaceOf      func(dir *os.File) (space, error)
	reservations reservations
	lockFile     *os.File // has locks on byte 0 and on the owner's byte
	tempPrefix   string   // of temporary files
	aliases      []string // absolute paths of this directory
	roots        []storageRoot
	uploads      *uploadCache
	syncedDirs   syncedDirs
	spares       durable.Spares // for side records
	lateSyncs    lateSyncs
	lookAhead    lookAhead
	readBuffers  bufferPools
}

// Open makes the directory if it is missing, and opens it. It fails while another
// process, or another store of this process, uses the directory, unless the
// lockers of all work across processes. It also fails with a locker of scope
// lease, because a lost lease does not stop a write to a file. With env.ReadOnly it takes no
// locks: it can read a directory that another process uses.
func (s *FileStore) Open(ctx context.Context, env tusd.Env) error {
	v, err := s.open(ctx, env)
	if err != nil {
		return fmt.Errorf("filestore: open %s: %w", s.Path, err)
	}
	if !s.opened.CompareAndSwap(nil, v) {
		return errors.Join(fmt.Errorf("filestore: open %s: it is open already", s.Path), v.close())
	}
	return nil
}

// Close closes the directory. Loaded uploads cannot be used any more. A closed
// store can be opened again.
func (s *FileStore) Close() error {
	v := s.opened.Swap(nil)
	if v == nil {
		return nil
	}
	return v.close()
}

// volume is the opened store.
func (s *FileStore) volume() (*volume, error) {
	v := s.opened.Load()
	if v == nil {
		return nil, errNotOpen
	}
	return v, nil
}

func (s *FileStore) open(ctx context.Context, env tusd.Env) (*volume, error) {
	if err := ctx.Err(); err != nil {
		return nil, context.Cause(ctx)
	}
	if env.Locker.Scope() == tusd.ScopeLease {
		return nil, errors.New("a locker of leases (scope lease) cannot protect a directory, because no file refuses the write of a holder whose lease is lost: use filelocker (-locker file)")
	}
	if s.Path == "" {
		return nil, errors.New("the field Path is empty")
	}
	if err := CheckKey(s.FileKey); err != nil {
		return nil, fmt.Errorf("the field FileKey: %w", err)
	}
	v := &volume{
		uploads: newUploadCache(), syncedDirs: newSyncedDirs(),
		level: s.Durability, minFree: s.MinFree, fileKey: s.FileKey, scope: env.Locker.Scope(), readOnly: env.ReadOnly, spaceOf: spaceOf,
		dirPerm: s.dirPerm(), filePerm: s.filePerm(),
	}
	if s.spaceOf != nil {
		v.spaceOf = s.spaceOf
	}
	if err := v.open(s); err != nil {
		return nil, errors.Join(err, v.close())
	}
	return v, nil
}

// open fills in v. After an error the caller closes it.
func (v *volume) open(s *FileStore) (err error) {
	if !v.readOnly {
		if err := makeDirectory(s.Path, v.dirPerm, v.level != None); err != nil {
			return err
		}
	}
	if v.path, err = filepath.Abs(s.Path); err != nil {
		return err
	}
	v.aliases = aliases(v.path)
	if v.root, err = os.OpenRoot(v.path); err != nil {
		return err
	}
	if v.tree, err = durable.NewTree(v.root, s.hook); err != nil {
		return err
	}
	if !v.readOnly {
		if err := v.lockDirectory(); err != nil {
			return err
		}
	}
	if v.dirFile, err = v.root.Open("."); err != nil {
		return err
	}
	for _, path := range s.StorageRoots {
		if err := v.openStorageRoot(path, s.hook); err != nil {
			return err
		}
	}
	if v.readOnly {
		return nil
	}
	if err := v.lockOwnerByte(); err != nil {
		return err
	}
	return v.sweepTemp()
}

// lockDirectory locks byte 0 of the lock file: exclusively if the scope of the
// locker is this process.
func (v *volume) lockDirectory() (err error) {
	v.lockFile, err = durable.OpenLockFile(v.root, lockFileName, v.filePerm)
	if err != nil {
		return err
	}
	ok, err := tryLock(v.lockFile, v.scope == tusd.ScopeProcess)
	if err != nil {
		return fmt.Errorf("lock %s: %w", lockFileName, err)
	}
	if !ok {
		return fmt.Errorf("the directory %s is in use by another server or store; %w", v.path, ErrInUse)
	}
	return nil
}

// close closes what open has opened, also after an error of open.
func (v *volume) close() error {
	var errs []error
	if v.tree != nil {
		errs = append(errs, v.endLateSyncs(), v.sideReplacer(tusd.SideRecordKey{}).Clear())
	}
	for _, r := range v.roots {
		errs = append(errs, r.close())
	}
	for _, f := range []*os.File{v.dirFile, v.lockFile} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	if v.tree != nil {
		errs = append(errs, v.tree.Close())
	}
	return errors.Join(errs...)
}

// makeDirectory makes path and its parents. If sync is set, they are on disk when
// it returns.
func makeDirectory(path string, perm os.FileMode, sync bool) error {
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("%s is not a directory", path)
		}
		return nil
	}
	parent := filepath.Dir(path)
	if parent != path {
		if err := makeDirectory(parent, perm, sync); err != nil {
			return err
		}
	}
	if err := os.Mkdir(path, perm); err != nil && !errors.Is(err, os.ErrExist) {
		return err
	}
	if !sync {
		return nil
	}
	return durable.SyncDirectory(parent)
}
