//go:build linux || darwin || freebsd

package filestore

import "golang.org/x/sys/unix"

// checkWritable returns an error if this user cannot create files in the directory path:
// without permission, or on a file system that is mounted read-only.
func checkWritable(path string) error { return unix.Access(path, unix.W_OK|unix.X_OK) }
