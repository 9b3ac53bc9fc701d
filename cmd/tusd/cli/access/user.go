package access

import (
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
)

// User is a user of the system and a group.
type User struct{ ID, Group int }

// Me returns the user of this process. Its numbers are -1 on systems without
// such numbers.
func Me() User { return User{os.Geteuid(), os.Getegid()} }

// IsRoot reports whether u is root, who needs no permissions.
func (u User) IsRoot() bool { return u.ID == 0 }

// String returns the names and numbers of the user and its group.
func (u User) String() string {
	if u.ID < 0 {
		return "the current user"
	}
	return fmt.Sprintf("user %s, group %s", numbered(u.ID, userName(u.ID)), numbered(u.Group, groupName(u.Group)))
}

// Name returns the name of the user, or its number.
func (u User) Name() string {
	if name := userName(u.ID); name != "" {
		return name
	}
	return strconv.Itoa(u.ID)
}

// SudoName is Name as sudo -u takes it in a shell.
func (u User) SudoName() string {
	if name := userName(u.ID); name != "" {
		return name
	}
	return fmt.Sprintf("'#%d'", u.ID)
}

func numbered(id int, name string) string {
	if name == "" {
		return strconv.Itoa(id)
	}
	return fmt.Sprintf("%s (%d)", name, id)
}

func userName(id int) string {
	if found, err := user.LookupId(strconv.Itoa(id)); err == nil {
		return found.Username
	}
	return ""
}

func groupName(id int) string {
	if found, err := user.LookupGroupId(strconv.Itoa(id)); err == nil {
		return found.Name
	}
	return ""
}

// mayByMode reports whether mode allows u to read and write a file of owner.
func (u User) mayByMode(owner User, mode fs.FileMode) bool {
	const readWrite = 0o6
	switch {
	case u.IsRoot():
		return true
	case u.ID == owner.ID:
		return mode>>6&readWrite == readWrite
	case u.Group == owner.Group:
		return mode>>3&readWrite == readWrite
	}
	return mode&readWrite == readWrite
}
