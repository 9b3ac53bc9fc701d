package filestore

import (
	"errors"
	"os"
	"path"
	"strings"
	"sync"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/bytecache"
)

// syncedDirsBytes bounds the memory for synced directories.
const syncedDirsBytes = 1 << 20

// syncedDirs caches the directories whose own names are on disk, so that an upload
// in one of them costs one sync and not one per level. An eviction costs syncs.
type syncedDirs struct {
	mu   sync.Mutex
	dirs *bytecache.Cache[treePath, struct{}]
}

func newSyncedDirs() syncedDirs {
	return syncedDirs{dirs: bytecache.New(syncedDirsBytes, func(p treePath, _ struct{}) int { return len(p.name) }, nil)}
}

func (k *syncedDirs) has(p treePath) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.dirs.Get(p)
	return ok
}

func (k *syncedDirs) add(p treePath) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.name = strings.Clone(p.name) // it may be a slice of a longer string
	k.dirs.Put(p, struct{}{})
}

func (k *syncedDirs) remove(p treePath) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dirs.Delete(p)
}

// inParents calls make, which creates files at paths, and creates missing directories. It
// repeats both, because the end of another upload may remove an empty directory.
func (v *volume) inParents(make func() error, paths ...treePath) error {
	const tries = 100
	err := make()
	for try := 0; try < tries && errors.Is(err, os.ErrNotExist); try++ {
		for _, p := range paths {
			if err := v.makeParents(p); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		err = make()
	}
	return err
}

// makeParents creates the directories above p.
func (v *volume) makeParents(p treePath) error {
	dir := path.Dir(p.name)
	if dir == "." {
		return nil
	}
	made, err := p.tree.Mkdir(dir, v.dirPerm)
	if errors.Is(err, os.ErrNotExist) {
		if err := v.makeParents(treePath{p.tree, p.base, dir}); err != nil {
			return err
		}
		made, err = p.tree.Mkdir(dir, v.dirPerm)
	}
	if made {
		v.syncedDirs.remove(treePath{p.tree, p.base, dir})
	}
	return err
}

// syncNamesOf makes the names of an upload's two files durable.
func (v *volume) syncNamesOf(data, record treePath) error {
	if err := v.syncParents(record); err != nil || sameParent(data, record) {
		return err
	}
	return v.syncParents(data)
}

func sameParent(a, b treePath) bool { return a.tree == b.tree && parent(a) == parent(b) }

// syncParents makes the name of p durable, and the names of the directories above
// it.
func (v *volume) syncParents(p treePath) error {
	dir := treePath{p.tree, p.base, path.Dir(p.name)}
	if err := p.tree.SyncDir(dir.name); err != nil {
		return err
	}
	if dir.name == "." || v.syncedDirs.has(dir) {
		return nil
	}
	if err := v.syncParents(dir); err != nil {
		return err
	}
	v.rememberSynced(dir)
	return nil
}

// syncOwnDirectory makes the name of a directory durable in which the store keeps its own files,
// and the names of those above it. Nobody removes them.
func (v *volume) syncOwnDirectory(dir treePath) error {
	if v.syncedDirs.has(dir) {
		return nil
	}
	if err := v.syncParents(dir); err != nil {
		return err
	}
	v.syncedDirs.add(dir)
	return nil
}

// rememberSynced caches that dir's name is on disk, unless another process may remove and
// create the directory again.
func (v *volume) rememberSynced(dir treePath) {
	if v.scope == tusd.ScopeProcess {
		v.syncedDirs.add(dir)
	}
}

// removeEmptyParents removes the directories above p that have become empty. A
// failure is no error.
func (v *volume) removeEmptyParents(p treePath) {
	for dir := path.Dir(p.name); dir != "."; dir = path.Dir(dir) {
		known := treePath{p.tree, p.base, dir}
		stat, err := p.tree.Lstat(dir)
		if isAbsent(err) {
			continue
		}
		if err != nil || !stat.Mode.IsDir() {
			return // never remove a link: its directory need not be empty
		}
		v.syncedDirs.remove(known)
		err = p.tree.Remove(dir)
		v.syncedDirs.remove(known)
		if err != nil {
			return
		}
	}
}

// parent returns the name of the directory of p.
func parent(p treePath) string { return path.Dir(p.name) }
