package cli

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"

	"github.com/tus/tusd/cmd/tusd/cli/access"
)

// socketAccess says who may connect to a Unix socket besides its owner.
type socketAccess struct {
	mode  fs.FileMode // 0: the umask decides, or groupMode if there is a group
	group string      // name or number; "": that of the process
}

// groupMode is the mode of a socket with -unix-sock-group and without
// -unix-sock-mode: a group needs write permission to connect.
const groupMode fs.FileMode = 0o660

// restricted reports whether the settings decide, and not the umask.
func (a socketAccess) restricted() bool { return a.mode != 0 || a.group != "" }

func (a socketAccess) permissions() fs.FileMode {
	if a.mode == 0 {
		return groupMode
	}
	return a.mode
}

// groupID returns the number of the group; -1: the group of the process.
func (a socketAccess) groupID() (int, error) {
	if a.group == "" {
		return -1, nil
	}
	if n, err := strconv.ParseUint(a.group, 10, 31); err == nil {
		return int(n), nil
	}
	group, err := user.LookupGroup(a.group)
	if err != nil {
		return 0, fmt.Errorf("-unix-sock-group: there is no group %s", a.group)
	}
	return strconv.Atoi(group.Gid)
}

// open sets the group and the mode of the socket at path. Until then only root
// can connect. The group comes first, so that no other group can connect for a
// moment. A symbolic link that leads out of the directory is not followed.
func (a socketAccess) open(path string, group int) error {
	dir, err := os.OpenRoot(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer dir.Close()
	name := filepath.Base(path)
	if group >= 0 {
		if err := dir.Lchown(name, -1, group); err != nil {
			return fmt.Errorf("give the socket %s to group %s: %w; this user must be a member of the group", path, a.group, access.Cause(err))
		}
	}
	if err := dir.Chmod(name, a.permissions()); err != nil {
		return fmt.Errorf("give the socket %s the mode %04o: %w", path, a.permissions(), access.Cause(err))
	}
	return nil
}
