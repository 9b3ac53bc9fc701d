package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/nightlyone/lockfile"
)

// pidFile is the file of -pid-file, with the id of this process. It names the
// server for operators and scripts, and protects no upload: locks do that.
//
// The library opens handles of processes that it never releases. So it is only
// called where no file lies, and at the end, when it opens two for the rest of
// the process's life.
type pidFile struct {
	file lockfile.Lockfile
	made os.FileInfo // what writePIDFile made
}

// writePIDFile makes the file at path. It replaces a stale one: one that names
// a process that is gone, or this one, as after a restart in a container, where
// every server has the same id.
func writePIDFile(path string) (*pidFile, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("PID file: %w", err)
	}
	if err := removeStalePIDFile(path); err != nil {
		return nil, err
	}
	file, err := lockfile.New(path)
	if err != nil {
		return nil, fmt.Errorf("PID file: %w", err)
	}
	if err := file.TryLock(); err != nil {
		return nil, fmt.Errorf("the PID file %s cannot be made: %w", path, err)
	}
	p := &pidFile{file: file}
	if p.made, err = os.Lstat(path); err == nil {
		err = os.Chmod(path, 0o644) // the library makes it readable for its owner only
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("PID file: %w", err), file.Unlock())
	}
	return p, nil
}

// remove removes the file, unless another one has taken its place.
func (p *pidFile) remove() error {
	path := string(p.file)
	there, err := os.Lstat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("remove the PID file: %w", err)
	case !os.SameFile(there, p.made):
		return nil
	}
	if err := p.file.Unlock(); err != nil && !errors.Is(err, lockfile.ErrRogueDeletion) {
		return fmt.Errorf("remove the PID file %s: %w", path, err)
	}
	return nil
}

// removeStalePIDFile makes room for a PID file. It removes only what is one: a
// path that was mistyped may name something precious.
func removeStalePIDFile(path string) error {
	pid, err := readPIDFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return nil
	case err != nil:
		return err
	case pid != os.Getpid() && isRunning(pid):
		return fmt.Errorf("the PID file %s names process %d, which is running: if that is no tusd, remove the file", path, pid)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the stale PID file: %w", err)
	}
	return nil
}

// maxPIDFile is the size that no PID file exceeds, in bytes.
const maxPIDFile = 32

// readPIDFile returns the process that the file at path names; 0 if it is empty,
// or has zeros in place of contents, as after a power cut.
func readPIDFile(path string) (pid int, err error) {
	stat, err := os.Lstat(path)
	if err != nil {
		return 0, fmt.Errorf("PID file: %w", err)
	}
	foreign := fmt.Errorf("%s is not a PID file: remove it, or name another path", path)
	if !stat.Mode().IsRegular() {
		return 0, foreign
	}
	file, err := os.Open(path)
	if err != nil {
		return 0, fmt.Errorf("PID file: %w", err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxPIDFile+1))
	if err != nil {
		return 0, fmt.Errorf("read the PID file %s: %w", path, err)
	}
	text := string(bytes.Trim(content, "\x00 \t\r\n"))
	if len(content) > maxPIDFile {
		return 0, foreign
	}
	if text == "" {
		return 0, nil
	}
	pid, err = strconv.Atoi(text)
	if err != nil || pid <= 0 {
		return 0, foreign
	}
	return pid, nil
}

// isRunning reports whether there is a process pid, of whatever user.
func isRunning(pid int) bool {
	if pid == 0 {
		return false
	}
	process, err := os.FindProcess(pid)
	if err != nil {
		return false // only Windows looks for it already here
	}
	defer process.Release()
	err = process.Signal(syscall.Signal(0))
	return err == nil || !errors.Is(err, os.ErrProcessDone) && !errors.Is(err, syscall.ESRCH)
}
