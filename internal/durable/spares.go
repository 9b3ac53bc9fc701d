package durable

import (
	"errors"
	"os"
	"path"
	"sync"
)

// Spares are files that are not needed any more. A Replacer writes into them instead of new
// files: that changes no blocks and no sizes, and ext4 does not use an inode again for minutes after its
// file was removed, and looks at all such inodes when it creates a file. A file is used again when its
// removal from its directory is durable. The zero value is ready to use, by several goroutines.
type Spares struct {
	mu      sync.Mutex
	free    []string            // names; the oldest first
	removed map[string][]string // those whose removal may not be durable, by the directory that they were in
	count   int                 // of both
}

// maxSpares limits the files that wait.
const maxSpares = 256

// take returns "" if there is none.
func (s *Spares) take() (name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.free) == 0 {
		return ""
	}
	name, s.free = s.free[0], s.free[1:]
	s.count--
	return name
}

func (s *Spares) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.count >= maxSpares
}

// add adds a file that was removed from dir.
func (s *Spares) add(name, dir string, durable bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.count++
	if durable {
		s.free = append(s.free, name)
		return
	}
	if s.removed == nil {
		s.removed = make(map[string][]string)
	}
	s.removed[dir] = append(s.removed[dir], name)
}

// takeRemoved returns the files that were removed from dir, and forgets them.
func (s *Spares) takeRemoved(dir string) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := s.removed[dir]
	delete(s.removed, dir)
	s.count -= len(names)
	return names
}

// Clear removes the files.
func (r Replacer) Clear() error {
	var errs []error
	for _, name := range r.Spares.takeAll() {
		errs = append(errs, r.drop(name))
	}
	return errors.Join(errs...)
}

func (s *Spares) takeAll() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	names := s.free
	for _, more := range s.removed {
		names = append(names, more...)
	}
	s.free, s.removed, s.count = nil, nil, 0
	return names
}

// Remove removes name, which CreateNew or Replace of r has written. It does not sync: with Sync, the
// caller calls SyncDir soon. Whoever has the file open may read another content later, see CreateNew.
// An absent name is os.ErrNotExist.
func (r Replacer) Remove(name string) error {
	if r.Spares.full() {
		return r.Tree.Remove(name)
	}
	temp := r.temp()
	err := r.Tree.Rename(name, temp)
	if err == nil {
		r.Spares.add(temp, path.Dir(name), !r.Sync)
		return nil
	}
	removed := r.Tree.Remove(name)
	if errors.Is(removed, os.ErrNotExist) && !errors.Is(err, os.ErrNotExist) {
		return r.drop(temp) // renamed, but the answer was lost
	}
	return removed
}

// SyncDir makes the names in a directory durable. After an error, what was removed from it is not
// used again: a later sync would not tell whether the removal is durable.
func (r Replacer) SyncDir(dir string) error {
	if r.Spares == nil {
		return r.Tree.SyncDir(dir)
	}
	removed := r.Spares.takeRemoved(dir)
	err := r.Tree.SyncDir(dir)
	for _, name := range removed {
		if err == nil {
			r.Spares.add(name, dir, true)
		} else {
			r.drop(name) // or it is a leftover
		}
	}
	return err
}

// openSpare opens a spare for content of this size. ok is false if there is none.
func (r Replacer) openSpare(size int64) (temp string, f File, ok bool) {
	if r.Spares == nil {
		return "", File{}, false
	}
	if temp = r.Spares.take(); temp == "" {
		return "", File{}, false
	}
	f, err := r.Tree.Open(temp)
	if errors.Is(err, os.ErrNotExist) { // another process took it for a leftover
		return "", File{}, false
	}
	if err == nil {
		if ok, err = r.isUsable(f, size); ok && err == nil {
			return temp, f, true
		}
		f.Close()
	}
	r.drop(temp)
	return "", File{}, false
}

// isUsable cuts a spare to size, if its content is Usable.
func (r Replacer) isUsable(f File, size int64) (bool, error) {
	info, err := f.Info()
	if err != nil || info.Size > r.SpareSize {
		return false, err
	}
	old := make([]byte, info.Size)
	if n, err := f.ReadAt(old, 0); err != nil || n < len(old) || !r.Usable(old) {
		return false, err
	}
	if info.Size > size {
		err = f.Truncate(size)
	}
	return true, err
}
