package filelocker

import (
	"os"
	"path/filepath"

	"github.com/nightlyone/lockfile"
)

// writePIDFiles makes <id>.lock for leases. One that cannot be made is
// missing, and no more than that.
func (l *FileLocker) writePIDFiles(leases []*lease) {
	l.mu.Lock()
	dir := l.dir
	l.mu.Unlock()
	if dir == nil {
		return // closed: all leases have ended
	}
	for _, s := range leases {
		s.writePIDFile(dir)
	}
}

func (s *lease) writePIDFile(dir *directory) {
	s.pidMu.Lock()
	defer s.pidMu.Unlock()
	if s.unlocked {
		return
	}
	if file, err := dir.writePIDFile(s.id + ".lock"); err == nil {
		s.pidFile = file
	}
}

// removePIDFile removes the file, if there is one, and sees to it that none
// comes any more. The lock must still be held: the file of the next holder has
// the same name.
func (s *lease) removePIDFile() {
	s.pidMu.Lock()
	defer s.pidMu.Unlock()
	s.unlocked = true
	if s.pidFile != "" {
		s.pidFile.Unlock() // fails if somebody has removed or replaced it
		s.pidFile = ""
	}
}

// writePIDFile writes name in place of what is there: whoever left that behind
// does not hold the lock. To remove it fails if links lead out of the upload
// directory, where the library would follow them.
func (d *directory) writePIDFile(name string) (lockfile.Lockfile, error) {
	if err := d.root.Remove(filepath.FromSlash(name)); err != nil && !os.IsNotExist(err) {
		return "", err
	}
	file, err := lockfile.New(filepath.Join(d.path, filepath.FromSlash(name)))
	if err != nil {
		return "", err
	}
	return file, file.TryLock()
}
