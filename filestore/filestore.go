// Package filestore keeps uploads as files of a directory.
//
// # Layout
//
// An upload is two files, as in tusd v2: <id> has the bytes, <id>.info the
// record. A directory of tusd v2 can be taken over with its unfinished uploads.
// Slashes in an id are directories, which are created on demand. <id>.bin of tusd
// 0.x is read and continued. While a chunk is written that must be stored as a
// whole or not at all, the undo record <id>.undo tells where to cut the data if
// the chunk fails. The store's own files are .tusd.locks (who uses the directory)
// and .tusd.d (temporary files and side records).
//
// No name leads out of the directory, also if there are symbolic links in it
// (openat2 on Linux, os.Root elsewhere).
//
// # Offset and durability
//
// The offset is the length of the data file; the record never overrules it.
// Durability is the level: it says what must be on disk before which answer.
//
// # Leftovers
//
// A crash may leave temporary files, an undo record, empty data. Tidy, which a sweep calls,
// removes those a day later. A removal that was cut leaves a record without data, which is no
// upload.
//
// # Finished files
//
// A program may take the data of an upload when it has its post-finish: all bytes are then
// in the file that Storage["Path"] of the record names, and the store never writes to it
// again. The program gives the file a second name, and later removes the upload by
// [tusd.Handler.TryTerminate], which leaves that name.
//
//   - Link in EventSink.Send. That the target exists is no error, because the event may
//     come twice. Sync the directory of the target before Send returns nil: the event does
//     not come again, and the removal is durable.
//   - To another file system, copy outside of Send, which has 10 s: copy to a temporary
//     name, sync, rename, sync the directory, and only then remove the upload.
//   - Remove outside of Send, which holds the lock, and when no client needs the upload any
//     more, for example a day later: a client that has lost the last answer asks with HEAD,
//     and sends the whole file again if the upload is gone.
//   - Name targets by the ids of the uploads, and use no id again: the server's own ids
//     never come twice. Otherwise an old target is taken for that of a new upload. For
//     names that people read, let FileKey end in {filename}, which makes the client's name
//     safe, use the last element of Storage["Path"], and compare an existing target by
//     os.SameFile.
//   - Partial uploads have no post-finish, and stay when their final is built: the sweep
//     removes them. TryTerminate refuses those that a final still needs.
//
// The example in example_movefiles_test.go of package tusd does this, and survives a crash
// at any point.
//
// A program that renames the file instead does that after post-finish was accepted, not in
// Send, and calls Terminate at once. In between, and after a crash there, the record has no
// data: requests get 404, [tusd.Handler.Info] returns an error that matches
// [tusd.ErrBroken], and only the program's own notes tell that the file is safe. List
// still has the upload, and a sweep reports it after a day. Terminate and a client's DELETE remove it.
// No callback may give the path of the data to another upload before that: the record would name
// its data.
//
// While the record exists, the data must not be written to, truncated or replaced, under
// either name: both are the same file. Files of uploads that are not complete, and names
// that begin with .tusd, are the store's alone.
package filestore

import (
	"os"
	"sync/atomic"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// FileStore keeps uploads below a directory. Fill the fields before Open (which
// tusd.NewHandler calls) and do not change them afterwards. Its methods may be called
// concurrently.
type FileStore struct {
	// Path is the directory. It is created, with its parents, if missing.
	Path string
	// Durability is the level. The zero value is Ack.
	Durability Durability
	// MinFree is the number of bytes of the file system that stay free. An upload whose
	// length would leave less is refused at once, and a chunk is cut off when no more are
	// free. Each chunk that is being written may exceed it by 1 MiB.
	MinFree int64
	// StorageRoots are further directories in which Storage.Path of an upload may be.
	// They must exist.
	StorageRoots []string
	// FileKey is a template for the path of the data of new uploads, relative to
	// Path. It must contain {id}, and may contain {date} (of the creation, UTC)
	// and {filename} (of the metadata, made safe); "" means {id}. The path of the
	// record is always the id. Storage.Path of a callback takes precedence over FileKey.
	FileKey string
	// DirPerm and FilePerm are the permissions of new directories and files,
	// before the umask; 0 means 0775 and 0664.
	DirPerm, FilePerm os.FileMode

	hook    durable.Hook // for tests: injects faults
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
	_ tusd.Tidier         = (*FileStore)(nil)
	_ tusd.Verifier       = (*FileStore)(nil)
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
