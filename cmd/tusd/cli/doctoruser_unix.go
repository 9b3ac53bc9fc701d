//go:build unix

package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"runtime"
	"strconv"
	"syscall"
)

// commandAs returns a command that runs this program with args as the user
// name, with all groups of that user.
func commandAs(ctx context.Context, name string, args []string, env environment) (*exec.Cmd, error) {
	if os.Geteuid() != 0 {
		return nil, errors.New("only root can run as another user")
	}
	credential, home, err := lookUp(name)
	if err != nil {
		return nil, err
	}
	program := "/proc/self/exe" // the user may have no access to the file
	if runtime.GOOS != "linux" {
		if program, err = os.Executable(); err != nil {
			return nil, err
		}
	}
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: credential}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) } // it cleans up
	cmd.WaitDelay = credentialsTimeout
	cmd.Env = env.with("USER="+name, "LOGNAME="+name, "HOME="+home)
	return cmd, nil
}

// lookUp finds a user by name or number. A number without a name is its own
// group.
func lookUp(name string) (*syscall.Credential, string, error) {
	found, err := user.Lookup(name)
	number, failed := strconv.ParseUint(name, 10, 31)
	if err != nil && failed == nil {
		if found, err = user.LookupId(name); err != nil {
			return &syscall.Credential{Uid: uint32(number), Gid: uint32(number)}, "/", nil
		}
	}
	if err != nil {
		return nil, "", fmt.Errorf("there is no such user")
	}
	ids, err := found.GroupIds()
	if err != nil {
		return nil, "", err
	}
	credential := &syscall.Credential{Uid: idOf(found.Uid), Gid: idOf(found.Gid)}
	for _, id := range ids {
		credential.Groups = append(credential.Groups, idOf(id))
	}
	return credential, found.HomeDir, nil
}

// idOf parses a number that the system has returned.
func idOf(text string) uint32 {
	n, _ := strconv.ParseUint(text, 10, 32)
	return uint32(n)
}
