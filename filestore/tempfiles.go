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

// Several processes may share a directory. The name of a temporary file begins with
// its owner, an open store: the number of a byte of the lock file, in hexadecimal
// digits, and a dot. The owner has that byte locked until it is closed or its process
// ends. If the byte is free, its temporary files are leftovers. A process id is not unique:
// every container has process 1.

// The bytes for owners. filelocker uses other bytes.
const (
	ownerBits  = 59
	firstOwner = 1 << 60
	ownerName  = "%016x."
)

// tempAge is the age at which every temporary file is a leftover, even if its owner
// runs: a file is needed for moments only. It is the only rule for files without an owner: of older
// versions, and of systems without locks on single bytes.
const tempAge = 24 * time.Hour

// lockOwnerByte makes the store an owner of temporary files, where the system can
// lock single bytes.
func (v *volume) lockOwnerByte() error {
	if !locksBytes {
		return nil
	}
	for range 10 { // another owner with the same number is very unlikely
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

// isTempName reports whether name is that of a temporary file, with or without an owner.
func isTempName(name string) bool {
	random := name
	if _, ok := ownerOf(name); ok {
		_, random, _ = strings.Cut(name, ".")
	}
	return durable.IsTempName(random)
}

// sweepTemp removes leftovers.
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
	running := make(map[int64]bool)
	for _, entry := range entries {
		if v.isLeftover(entry, running) {
			v.root.Remove(tempDir + "/" + entry.Name()) // a leftover that stays is no reason to fail the start
		}
	}
	return nil
}

// isLeftover reports whether no process uses a temporary file any more. running caches
// whether owners are running.
func (v *volume) isLeftover(entry fs.DirEntry, running map[int64]bool) bool {
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
	runs, known := running[owner]
	if !known {
		free, err := isByteFree(v.lockFile, owner)
		runs = err != nil || !free
		running[owner] = runs
	}
	return !runs
}

// replace replaces the content of a small file of the upload directory, atomically.
func (v *volume) replace(p treePath, content []byte, sync bool) error {
	r := v.replacer(sync)
	return v.inParents(func() error { return r.Replace(p.name, content) }, v.tempFile())
}

// replacer returns a Replacer with the directory for temporary files. The directory
// may be missing: callers use inParents with tempFile.
func (v *volume) replacer(sync bool) durable.Replacer {
	return durable.Replacer{Tree: v.tree, Dir: tempDir, Prefix: v.tempPrefix, Perm: v.filePerm, Sync: sync}
}

// tempFile is some path in the directory for temporary files, for inParents.
func (v *volume) tempFile() treePath { return v.file(tempDir + "/x") }
