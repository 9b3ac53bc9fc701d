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

// pidFile is the file of -pid-file, with the ID of this process. It names the
// server for operators and scripts. It protects no upload; locks do.
//
// The library opens handles of processes that it never closes. So it is called
// only where no file exists, and at the end, when it opens two for the rest of
// the process's life.
type pidFile struct {
	file lockfile.Lockfile
	made os.FileInfo // the file that writePIDFile made
}

// writePIDFile makes the file at path. It replaces a stale one, which names a
// process that has ended, or this one: in a container every server has the same
// ID after a restart.
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

// remove removes the file, unless another file has replaced it.
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

// removeStalePIDFile removes a stale PID file at path, and nothing else: a
// mistyped path may name a valuable file.
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

// maxPIDFile is the size limit of a PID file, in bytes.
const maxPIDFile = 32

// readPIDFile returns the process that the file at path names; 0 if it is empty
// or all zeros, as after a power cut.
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

// isRunning reports whether process pid exists, of any user.
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
