package durable

import (
	"errors"
	"sync"
)

// Spares are files that are not needed any more. A Replacer writes into them instead of new
// files. ext4 does not use an inode again for minutes after its file was removed, and looks at
// all such inodes when it creates a file: many small files with a short life make that a
// hundred times slower. The zero value is ready to use, by several goroutines.
type Spares struct {
	mu    sync.Mutex
	names []string // the oldest first
}

// maxSpares limits the files that wait.
const maxSpares = 256

// take returns "" if there is none.
func (s *Spares) take() (name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.names) == 0 {
		return ""
	}
	name, s.names = s.names[0], s.names[1:]
	return name
}

func (s *Spares) add(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.names = append(s.names, name)
}

func (s *Spares) full() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.names) >= maxSpares
}

// Clear removes the files.
func (r Replacer) Clear() error {
	for {
		name := r.Spares.take()
		if name == "" {
			return nil
		}
		if err := r.drop(name); err != nil {
			return err
		}
	}
}

// Remove removes name, which a Replace of r has written. With Sync it is durable before Remove
// returns, and before the file is written again. Somebody who has the file open may read what is
// written then: readers look whether name is still the same file. An absent name is os.ErrNotExist.
func (r Replacer) Remove(name string) error {
	temp := ""
	if !r.Spares.full() {
		temp = r.temp()
		if err := r.Tree.Rename(name, temp); err != nil {
			temp = ""
		}
	}
	if temp == "" {
		if err := r.Tree.Remove(name); err != nil {
			return err
		}
	}
	err := r.syncName(name)
	switch {
	case temp == "":
		return err
	case err != nil:
		return errors.Join(err, r.drop(temp))
	}
	r.Spares.add(temp)
	return nil
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
	if err != nil { // another process may have removed it, as a leftover
		return "", File{}, false
	}
	info, err := f.Info()
	if err == nil && info.Size > size {
		err = f.Truncate(size)
	}
	if err != nil {
		f.Close()
		r.drop(temp)
		return "", File{}, false
	}
	return temp, f, true
}
