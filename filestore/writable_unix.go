//go:build linux || darwin || freebsd

package filestore

import "golang.org/x/sys/unix"

// checkWritable asks whether files can be made in the directory path: not if this
// user may not, nor if the file system is mounted read-only.
func checkWritable(path string) error { return unix.Access(path, unix.W_OK|unix.X_OK) }
