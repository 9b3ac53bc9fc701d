package cli

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
	"github.com/tus/tusd/cmd/tusd/cli/doctor"
	"github.com/tus/tusd/filestore"
)

// fileStorageKind keeps uploads in the files of a directory. A lease can be lost
// while a file is written, so lockers of leases do not protect it.
var fileStorageKind = storageKind{
	title:    "File storage",
	flag:     "upload-dir",
	settings: func() storageSettings { return new(fileSettings) },
	scopes:   []tusd.Scope{tusd.ScopeProcess, tusd.ScopeMachine},
	locker:   fileLockerKind.name,

	refusesSecond: true,
}

// fileSettings are the flags of file storage.
type fileSettings struct {
	uploadDir    string
	durability   filestore.Durability
	minFree      int64 // bytes
	fileKey      string
	storageRoots string // a list as in PATH
	dirPerms     os.FileMode
	filePerms    os.FileMode
}

// files returns the settings of file storage.
func (cfg config) files() *fileSettings { return settingsOf[*fileSettings](cfg.storages) }

func (s *fileSettings) declare(f *flag.FlagSet) {
	dirVar(f, &s.uploadDir, "upload-dir", "./data", "`directory` for the uploads; made if missing")
	durabilityVar(f, &s.durability, "durability", "ack", "what survives a power cut: ack (everything a client\nwas told), complete (complete uploads) or none;\na killed process loses nothing at any `level`")
	sizeVar(f, &s.minFree, "min-free", "refuse an upload that would leave less than this many\n`bytes` of the disk free")
	keyVar(f, &s.fileKey, "file-key", filestore.CheckKey, "where the data of an upload lies in the directory: a path\nmade of {id}, which must be there, {date} and {filename};\nthe `template` is {id} if this is empty")
	f.StringVar(&s.storageRoots, "storage-root", "", "further `directories` in which the data of uploads may be,\nseparated as in PATH; they must exist")
	permsVar(f, &s.dirPerms, "dir-perms", "775", 0o700, "`permissions` of new directories, octal, before the umask")
	permsVar(f, &s.filePerms, "file-perms", "664", 0o600, "`permissions` of new files, octal, before the umask")
}

// chosen is false: files are used if the flags choose nothing else.
func (s *fileSettings) chosen() bool { return false }

func (s *fileSettings) validate(config) error { return nil }

// directory returns the absolute path of -upload-dir: the working directory may
// change later.
func (s *fileSettings) directory() (string, error) {
	dir, err := filepath.Abs(s.uploadDir)
	if err != nil {
		return "", fmt.Errorf("upload directory: %w", err)
	}
	return dir, nil
}

func (s *fileSettings) open(*slog.Logger) (uploadStorage, error) {
	dir, err := s.directory()
	if err != nil {
		return nil, err
	}
	return &fileStorage{&filestore.FileStore{
		Path: dir, Durability: s.durability, MinFree: s.minFree,
		FileKey: s.fileKey, StorageRoots: filepath.SplitList(s.storageRoots),
		DirPerm: s.dirPerms, FilePerm: s.filePerms,
	}}, nil
}

func (s *fileSettings) examine(ctx context.Context, cfg config, report *doctor.Report) {
	path, err := s.directory()
	if err != nil {
		report.Missing("directory "+s.uploadDir, err.Error())
		return
	}
	locker, _ := cfg.chosenLocker()
	doctor.Directory{
		Path: path, Durability: s.durability, MinFree: s.minFree, StorageRoots: filepath.SplitList(s.storageRoots),
		FileKey: s.fileKey, DirPerm: s.dirPerms, FilePerm: s.filePerms, OneProcess: locker.scope == tusd.ScopeProcess,
	}.Examine(ctx, report)
}

// fileStorage keeps uploads in the files of a directory.
type fileStorage struct{ store *filestore.FileStore }

func (f *fileStorage) useIn(composer *tusd.StoreComposer) { f.store.UseIn(composer) }

func (f *fileStorage) where() string {
	return fmt.Sprintf("%s (durability: %v)", f.store.Path, f.store.Durability)
}

func (f *fileStorage) present() error {
	info, err := os.Stat(f.store.Path)
	if err == nil && !info.IsDir() {
		err = fmt.Errorf("%s is no directory", f.store.Path)
	}
	return err
}

func (f *fileStorage) storedRecord(context.Context, string) ([]byte, error) { return nil, nil }

func (f *fileStorage) probes() []*probe { return []*probe{storeProbe(f.store)} }

// retryFor returns 0: an operator, or systemd, mounts the directory before the
// start.
func (f *fileStorage) retryFor(error) time.Duration { return 0 }

func (f *fileStorage) advised(err error) error { return withAdvice(err, f.store.Path) }

func (f *fileStorage) collectors() []prometheus.Collector { return nil }

func (f *fileStorage) close() error { return f.store.Close() }
