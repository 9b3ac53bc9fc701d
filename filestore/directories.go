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

// syncedDirsBytes bounds the memory for directories that are on the disk.
const syncedDirsBytes = 1 << 20

// syncedDirs remembers directories below the trees whose own names are on the
// disk, so that an upload in them costs one sync and not one per level.
// An eviction is safe.
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
	p.name = strings.Clone(p.name) // it is a slice of the name of a file
	k.dirs.Put(p, struct{}{})
}

func (k *syncedDirs) forget(p treePath) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dirs.Delete(p)
}

// inParents calls make, which creates something in the directories of places,
// and makes those where they are missing: again if somebody removed an empty
// one meanwhile.
func (v *volume) inParents(make func() error, places ...treePath) error {
	const tries = 100
	err := make()
	for try := 0; try < tries && errors.Is(err, os.ErrNotExist); try++ {
		for _, p := range places {
			if err := v.makeParents(p); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		err = make()
	}
	return err
}

// makeParents makes the directories that p lies in.
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
		v.syncedDirs.forget(treePath{p.tree, p.base, dir})
	}
	return err
}

// syncNamesOf makes the names of an upload's files durable.
func (v *volume) syncNamesOf(data, record treePath) error {
	if err := v.syncParents(record); err != nil || sameParent(data, record) {
		return err
	}
	return v.syncParents(data)
}

func sameParent(a, b treePath) bool { return a.tree == b.tree && parent(a) == parent(b) }

// syncParents makes the name of p durable, and the names of the directories
// on the way to it.
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

// rememberSynced remembers that dir's name is durable; not if another process may remove
// and make it again.
func (v *volume) rememberSynced(dir treePath) {
	if v.scope == tusd.ScopeProcess {
		v.syncedDirs.add(dir)
	}
}

// removeEmptyParents removes the directories that p was the last file of. It
// is no error if that does not succeed.
func (v *volume) removeEmptyParents(p treePath) {
	for dir := path.Dir(p.name); dir != "."; dir = path.Dir(dir) {
		known := treePath{p.tree, p.base, dir}
		stat, err := p.tree.Lstat(dir)
		if isAbsent(err) {
			continue
		}
		if err != nil || !stat.Mode.IsDir() {
			return // a link to a directory would be removed whatever is in there
		}
		v.syncedDirs.forget(known)
		err = p.tree.Remove(dir)
		v.syncedDirs.forget(known)
		if err != nil {
			return
		}
	}
}

// parent is the name of the directory that p is in.
func parent(p treePath) string { return path.Dir(p.name) }
