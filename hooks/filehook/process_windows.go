package filehook

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/tus/tusd/hooks"
)

// find returns the file of an event, which has one of the extensions in PATHEXT, or
// hooks.ErrNothingToCall.
func find(dir, name string) (string, error) {
	path, err := filepath.Abs(filepath.Join(dir, name))
	if err != nil {
		return "", err
	}
	extensions := os.Getenv("PATHEXT")
	if extensions == "" {
		extensions = ".COM;.EXE;.BAT;.CMD"
	}
	for _, extension := range strings.Split(extensions, ";") {
		info, err := os.Stat(path + extension)
		if err != nil {
			err = missing(path+extension, err)
		}
		if err != nil && !errors.Is(err, hooks.ErrNothingToCall) {
			return "", err
		}
		if err == nil && !info.IsDir() {
			return path + extension, nil
		}
	}
	return "", hooks.ErrNothingToCall
}

// killGroup lets the end of its context kill a command and the processes that it has started.
func killGroup(cmd *exec.Cmd) {
	cmd.Cancel = func() error {
		if exec.Command("taskkill", "/T", "/F", "/PID", strconv.Itoa(cmd.Process.Pid)).Run() == nil {
			return nil
		}
		return cmd.Process.Kill()
	}
}

// isUnread reports whether the only error is that a program has not read all of its input.
func isUnread(err error) bool {
	const noData = syscall.Errno(232)
	return errors.Is(err, syscall.ERROR_BROKEN_PIPE) || errors.Is(err, noData)
}
