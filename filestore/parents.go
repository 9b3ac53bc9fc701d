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

// knownDirsBytes bounds the memory for directories that are on the disk.
const knownDirsBytes = 1 << 20

// knownDirs remembers directories below the trees whose own names are on the
// disk, so that an upload in them costs one sync and not one per level.
// An eviction is safe.
type knownDirs struct {
	mu   sync.Mutex
	dirs *bytecache.Cache[place, struct{}]
}

func newKnownDirs() knownDirs {
	return knownDirs{dirs: bytecache.New(knownDirsBytes, func(p place, _ struct{}) int { return len(p.name) }, nil)}
}

func (k *knownDirs) has(p place) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_, ok := k.dirs.Get(p)
	return ok
}

func (k *knownDirs) add(p place) {
	k.mu.Lock()
	defer k.mu.Unlock()
	p.name = strings.Clone(p.name) // it is a slice of the name of a file
	k.dirs.Put(p, struct{}{})
}

func (k *knownDirs) forget(p place) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dirs.Delete(p)
}

// inParents calls make, which creates something in the directories of places,
// and makes those where they are missing: again if somebody removed an empty
// one meanwhile.
func (v *volume) inParents(make func() error, places ...place) error {
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
func (v *volume) makeParents(p place) error {
	dir := path.Dir(p.name)
	if dir == "." {
		return nil
	}
	made, err := p.tree.Mkdir(dir, v.dirPerm)
	if errors.Is(err, os.ErrNotExist) {
		if err := v.makeParents(place{p.tree, p.base, dir}); err != nil {
			return err
		}
		made, err = p.tree.Mkdir(dir, v.dirPerm)
	}
	if made {
		v.parents.forget(place{p.tree, p.base, dir})
	}
	return err
}

// syncNamesOf makes the names of an upload's files durable.
func (v *volume) syncNamesOf(data, record place) error {
	if err := v.syncParents(record); err != nil || sameParent(data, record) {
		return err
	}
	return v.syncParents(data)
}

func sameParent(a, b place) bool { return a.tree == b.tree && parent(a) == parent(b) }

// syncParents makes the name of p durable, and the names of the directories
// on the way to it.
func (v *volume) syncParents(p place) error {
	dir := place{p.tree, p.base, path.Dir(p.name)}
	if err := p.tree.SyncDir(dir.name); err != nil {
		return err
	}
	if dir.name == "." || v.parents.has(dir) {
		return nil
	}
	if err := v.syncParents(dir); err != nil {
		return err
	}
	v.know(dir)
	return nil
}

// know remembers that dir's name is durable; not if another process may remove
// and make it again.
func (v *volume) know(dir place) {
	if v.scope == tusd.ScopeProcess {
		v.parents.add(dir)
	}
}

// removeEmptyParents removes the directories that p was the last file of. It
// is no error if that does not succeed.
func (v *volume) removeEmptyParents(p place) {
	for dir := path.Dir(p.name); dir != "."; dir = path.Dir(dir) {
		known := place{p.tree, p.base, dir}
		stat, err := p.tree.Lstat(dir)
		if absent(err) {
			continue
		}
		if err != nil || !stat.Mode.IsDir() {
			return // a link to a directory would be removed whatever is in there
		}
		v.parents.forget(known)
		err = p.tree.Remove(dir)
		v.parents.forget(known)
		if err != nil {
			return
		}
	}
}
