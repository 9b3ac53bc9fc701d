package filestore

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tus/tusd/internal/durable"

	"github.com/tus/tusd"
)

// Temporary files in a directory that several processes share begin with the
// name of their owner, an opened store, and a point. The name is the number of a
// byte of the lock file in hexadecimal digits, which the owner has locked until
// it is closed or its process ends, however that ends. If the byte is free, the
// files are left. A process id would prove nothing: that of every container is 1.

// The bytes for owners. They are of those that a locker leaves to the store.
const (
	ownerBits  = 59
	firstOwner = 1 << 60
	ownerName  = "%016x."
)

// tempAge is when a temporary file without an owner, as older versions made
// them, belongs to no process any more, even if others use the directory.
const tempAge = 24 * time.Hour

// lockOwnerByte makes the store the owner of temporary files, where the system has locks
// on single bytes.
func (v *volume) lockOwnerByte() error {
	if !locksBytes {
		return nil
	}
	for range 10 { // another one has the same number: that does not happen
		number := firstOwner + rand.Int64N(1<<ownerBits)
		ok, err := tryLockByte(v.lockFile, number, true)
		if err != nil {
			return fmt.Errorf("lock %s: %w", lockFileName, err)
		}
		if ok {
			v.tempPrefix = fmt.Sprintf(ownerName, number)
			return nil
		}
	}
	return errors.New("no number is free for the owner of temporary files")
}

// ownerOf returns the number of the owner of a temporary file.
func ownerOf(name string) (number int64, ok bool) {
	digits, _, ok := strings.Cut(name, ".")
	if !ok {
		return 0, false
	}
	number, err := strconv.ParseInt(digits, 16, 64)
	ok = err == nil && number >= firstOwner && number < firstOwner+1<<ownerBits
	return number, ok && fmt.Sprintf(ownerName, number) == digits+"."
}

// sweepTemp removes temporary files of processes that died.
func (v *volume) sweepTemp() error {
	dir, err := v.root.Open(tempDir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer dir.Close()
	entries, err := dir.ReadDir(-1)
	if err != nil {
		return err
	}
	lives := make(map[int64]bool)
	for _, entry := range entries {
		if v.isOrphan(entry, lives) {
			v.root.Remove(tempDir + "/" + entry.Name()) // an older leftover is no reason not to start
		}
	}
	return nil
}

// isOrphan reports whether no process can use a temporary file any more. lives
// remembers what is known of owners.
func (v *volume) isOrphan(entry fs.DirEntry, lives map[int64]bool) bool {
	info, err := entry.Info()
	if err != nil || !info.Mode().IsRegular() {
		return false
	}
	if v.scope == tusd.ScopeProcess || time.Since(info.ModTime()) > tempAge {
		return true
	}
	owner, ok := ownerOf(entry.Name())
	if !ok || !locksBytes {
		return false
	}
	alive, known := lives[owner]
	if !known {
		free, err := isByteFree(v.lockFile, owner)
		alive = err != nil || !free
		lives[owner] = alive
	}
	return !alive
}

// replace puts content in the place of a small file of the upload directory.
func (v *volume) replace(p treePath, content []byte, sync bool) error {
	r := v.replacer(sync)
	return v.inParents(func() error { return r.Replace(p.name, content) }, v.tempFile())
}

// replacer writes files by way of the directory for temporary files, which is
// made when it is first missed (tempFile says where).
func (v *volume) replacer(sync bool) durable.Replacer {
	return durable.Replacer{Tree: v.tree, Dir: tempDir, Prefix: v.tempPrefix, Perm: v.filePerm, Sync: sync}
}

// tempFile is a place in the directory for temporary files.
func (v *volume) tempFile() treePath { return v.file(tempDir + "/x") }
