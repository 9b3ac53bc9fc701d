// Package access explains errors of the file system to operators: which file or
// directory denies access to which user, and what to do about it.
package access

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// Advice returns what helps against err, to be appended to its text, or "" if
// nothing is known. Relative paths in err are below base.
func Advice(err error, base string) string {
	switch {
	case errors.Is(err, syscall.EROFS):
		return "; it must be mounted for writing"
	case errors.Is(err, syscall.ENOSPC):
		return "; free some space, or use another disk"
	case errors.Is(err, syscall.EISDIR), errors.Is(err, syscall.ENOTDIR):
		if path, _ := pathOf(err, base); path != "" {
			return fmt.Sprintf("; move away what is at %s, or name another path", path)
		}
	case errors.Is(err, fs.ErrPermission):
		return permission(err, base)
	}
	return ""
}

// permission names the file or directory that denies access to this user.
func permission(err error, base string) string {
	path, opens := pathOf(err, base)
	if path == "" {
		return "; " + Me().String() + " must be allowed to do this"
	}
	place := culprit(path, opens)
	info, failed := os.Stat(place)
	if failed != nil {
		return fmt.Sprintf("; %s must be allowed to use %s", Me(), place)
	}
	owner, known := Owner(info)
	switch {
	case !known:
		return fmt.Sprintf("; %s must be allowed to use %s", Me(), place)
	case Me().mayByMode(owner, info.Mode()):
		return fmt.Sprintf("; the permissions of %s would let %s in: look for an attribute (lsattr), an access list (getfacl) or a security module (SELinux, AppArmor)", place, Me())
	}
	return fmt.Sprintf("; %s belongs to %s and has the mode %04o, and this runs as %s: change one of the three (chown, chmod, or the user of the server)",
		place, owner, info.Mode().Perm(), Me())
}

// pathOf returns the path that err is about, and whether the operation was to open it, not
// to create or remove it.
func pathOf(err error, base string) (path string, opens bool) {
	if e, ok := errors.AsType[*fs.PathError](err); ok {
		path, opens = e.Path, strings.HasPrefix(e.Op, "open") || strings.HasPrefix(e.Op, "chmod")
	} else if e, ok := errors.AsType[*os.LinkError](err); ok {
		path = e.New
	} else {
		return "", false
	}
	if !filepath.IsAbs(path) {
		path = filepath.Join(base, path)
	}
	return path, opens
}

// culprit returns the part of path that denies access: a directory on the way that cannot be
// entered, the path itself if it was to be opened, or else its directory.
func culprit(path string, opens bool) string {
	parent := filepath.Dir(path)
	if parent == path {
		return path
	}
	switch _, err := os.Stat(path); {
	case errors.Is(err, fs.ErrPermission):
		return culprit(parent, true)
	case err == nil && opens:
		return path
	case errors.Is(err, fs.ErrNotExist):
		place, _, _ := Nearest(parent)
		return place
	}
	return parent
}

// Nearest returns path, or the nearest directory above it that exists, and its
// description. If err is not nil, place cannot be described.
func Nearest(path string) (place string, info fs.FileInfo, err error) {
	for {
		info, err = os.Stat(path)
		above := filepath.Dir(path)
		if !errors.Is(err, fs.ErrNotExist) || above == path {
			return path, info, err
		}
		path = above
	}
}

// Cause is an error of the system without the path it is about.
func Cause(err error) error {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		return path.Err
	}
	if link, ok := errors.AsType[*os.LinkError](err); ok {
		return link.Err
	}
	return err
}
