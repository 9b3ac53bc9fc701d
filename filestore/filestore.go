// Package filestore keeps uploads as files of a directory.
//
// # Layout
//
// An upload is two files, as in tusd v2, so that a directory can be taken over
// with its half-finished uploads: <id> has the bytes, <id>.info the record.
// Slashes in an id are directories, made on demand. <id>.bin of tusd 0.x is
// read and continued. While a chunk counts as a whole or not at all,
// <id>.undo says where to cut if it fails. What else the store needs lies in
// .tusd.locks (who uses the directory) and .tusd.d (temporary files and side
// records).
//
// No name reaches out of the directory, whatever links lie in it (openat2 on
// Linux, os.Root elsewhere).
//
// # Offset and durability
//
// The offset is the length of the data file; the record never overrules it.
// Durability says what is on the disk before it is answered.
package filestore

import (
	"os"
	"sync/atomic"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// FileStore keeps uploads below a directory. Fill the fields before Open (by
// way of tusd.NewHandler) and leave them alone afterwards. Its methods may be
// called concurrently.
type FileStore struct {
	// Path is the directory. It is made, with its parents, if missing.
	Path string
	// Durability says what is on the disk before it is answered; the zero
	// value is Ack.
	Durability Durability
	// MinFree is the number of bytes that stay free, to a MiB for each chunk
	// that is being written: an upload whose length does not fit beside them is
	// refused at once, and no more is written when they are all that is left.
	MinFree int64
	// StorageRoots are further directories that Storage.Path of an upload may
	// lie in. They must exist.
	StorageRoots []string
	// FileKey places the data of new uploads below Path: a relative path in
	// which {id} must stand, and {date} (of the creation, UTC) and {filename}
	// (of the metadata, made harmless) may; "": {id}. Records follow the id.
	// A hook's Storage.Path comes before it.
	FileKey string
	// DirPerm and FilePerm are the permissions of what is made, before the
	// umask; 0 means 0775 and 0664.
	DirPerm, FilePerm os.FileMode

	hook    durable.Hook // faults, for tests
	spaceOf func(dir *os.File) (space, error)
	opened  atomic.Pointer[volume]
}

var (
	_ tusd.DataStore      = (*FileStore)(nil)
	_ tusd.Terminater     = (*FileStore)(nil)
	_ tusd.Concater       = (*FileStore)(nil)
	_ tusd.LengthDeferrer = (*FileStore)(nil)
	_ tusd.ContentServer  = (*FileStore)(nil)
	_ tusd.Lister         = (*FileStore)(nil)
	_ tusd.SideRecords    = (*FileStore)(nil)
	_ tusd.AtomicWriter   = (*FileStore)(nil)
	_ tusd.Rewinder       = (*FileStore)(nil)
)

// New returns a store for the directory path with the defaults of every field.
func New(path string) *FileStore { return &FileStore{Path: path} }

// UseIn makes s the store of c, with all its abilities.
func (s *FileStore) UseIn(c *tusd.StoreComposer) { c.UseCore(s) }

func (s *FileStore) dirPerm() os.FileMode {
	if s.DirPerm == 0 {
		return 0o775
	}
	return s.DirPerm
}

func (s *FileStore) filePerm() os.FileMode {
	if s.FilePerm == 0 {
		return 0o664
	}
	return s.FilePerm
}
