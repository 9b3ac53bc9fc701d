//go:build unix

package filehook

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
)

// find returns the file of an event, or hooks.ErrNothingToCall.
func find(dir, name string) (string, error) {
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return "", err
	}
	info, err := os.Stat(path)
	if err != nil {
		return "", missing(path, err)
	}
	if info.IsDir() {
		return "", &fs.PathError{Op: "run", Path: path, Err: syscall.EISDIR}
	}
	return path, nil
}

// killGroup lets the end of its context kill a command and the processes that it has started.
func killGroup(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// isUnread reports whether the only error is that a program has not read all of its input.
func isUnread(err error) bool { return errors.Is(err, syscall.EPIPE) }
