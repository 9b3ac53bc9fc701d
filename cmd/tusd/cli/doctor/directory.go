package doctor

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/cmd/tusd/cli/access"
	"github.com/tus/tusd/filelocker"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/durable"
)

// Directory is a directory for uploads.
type Directory struct {
	Path         string // absolute
	Durability   filestore.Durability
	MinFree      int64 // bytes
	FileKey      string
	StorageRoots []string
	// DirPerm and FilePerm are the permissions of new directories and files; 0:
	// the defaults of the store.
	DirPerm, FilePerm os.FileMode
	OneProcess        bool // the locker locks within one process, so no locks of files are needed
}

// stepTimeout is how long a file system may take for a step.
const stepTimeout = 15 * time.Second

// tempPrefix begins the name of the directory in which everything is tried. No
// upload has such a name.
const tempPrefix = ".tusd-doctor-"

var errStepTimeout = fmt.Errorf("the file system does not answer in %v", stepTimeout)

// inspection is one examination of a directory.
type inspection struct {
	Directory
	ctx     context.Context
	report  *Report
	tempDir string // a directory of this inspection
}

// Examine tries what the server does with files, until ctx ends, in a directory
// of its own, which it removes afterwards.
func (d Directory) Examine(ctx context.Context, report *Report) {
	i := &inspection{Directory: d, ctx: ctx, report: report}
	if !i.open() {
		return
	}
	defer i.cleanUp()
	for _, step := range []func() error{
		i.nameFileSystem, i.measureSpace, i.writeFiles, i.timeSync, i.tryLinks, i.tryNames, i.tryLocks, i.tryStart, i.tryOwnFiles, i.readRecords, i.lookAtRoots,
	} {
		err := i.bounded(step)
		if errors.Is(err, errStepTimeout) {
			report.Missing("file system", err.Error()+", as one on a network may when its server is gone")
		}
		if err != nil {
			return
		}
	}
}

// bounded runs a step, and stops waiting for it after stepTimeout or when ctx
// ends: a call of a file system that hangs cannot be cancelled. A step that
// fails has reported it.
func (i *inspection) bounded(step func() error) error {
	if i.ctx.Err() != nil {
		return context.Cause(i.ctx)
	}
	done := make(chan error, 1)
	go func() { done <- step() }()
	timer := time.NewTimer(stepTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		return err
	case <-timer.C:
		return errStepTimeout
	}
}

// missing reports err, unless ctx has ended. The error of a step ends the
// inspection.
func (i *inspection) missing(subject string, err error) error {
	if i.ctx.Err() == nil {
		i.report.Missing(subject, err.Error())
	}
	return err
}

// open finds the directory and makes tempDir in it, or next to it if the
// directory does not exist yet.
func (i *inspection) open() bool {
	return i.bounded(func() (err error) {
		parent, err := existing(i.Path)
		if err != nil {
			return i.missing("directory "+i.Path, fmt.Errorf("%w%s", err, access.Advice(err, i.Path)))
		}
		removeStaleTempDirs(parent)
		i.tempDir, err = os.MkdirTemp(parent, tempPrefix)
		switch {
		case err != nil:
			return i.missing("directory "+i.Path, fmt.Errorf("nothing can be made in %s: %w%s", parent, access.Cause(err), access.Advice(err, parent)))
		case parent != i.Path:
			i.report.OK("directory "+i.Path, "it is not there yet; the server makes it")
		default:
			i.report.OK("directory "+i.Path, "")
		}
		return nil
	}) == nil
}

// existing returns path or the nearest directory above it that exists.
func existing(path string) (string, error) {
	place, info, err := access.Nearest(path)
	if err == nil && !info.IsDir() {
		err = errors.New(place + " is no directory")
	}
	return place, err
}

// removeStaleTempDirs removes the directories of doctors that were killed.
func removeStaleTempDirs(parent string) {
	found, _ := filepath.Glob(filepath.Join(parent, tempPrefix+"*"))
	for _, path := range found {
		if info, err := os.Lstat(path); err == nil && info.IsDir() && time.Since(info.ModTime()) > staleAfter {
			os.RemoveAll(path)
		}
	}
}

func (i *inspection) file(name string) string { return filepath.Join(i.tempDir, name) }

// writeFiles writes, reads and cuts a file, as chunks and their rollback do.
func (i *inspection) writeFiles() error {
	const subject = "write, read and cut files"
	content := []byte(strings.Repeat("tusd doctor\n", 10_000))
	path := i.file("content")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		return i.missing(subject, access.Cause(err))
	}
	read, err := os.ReadFile(path)
	if err == nil && string(read) != string(content) {
		err = errors.New("what is read is not what was written")
	}
	if err == nil {
		err = os.Truncate(path, 12)
	}
	if err != nil {
		return i.missing(subject, access.Cause(err))
	}
	i.report.OK(subject, "")
	return nil
}

// The time that a sync may take before uploads suffer, and how many syncs are
// measured.
const (
	slowSync     = 30 * time.Millisecond
	syncs        = 9
	enoughOfSync = 3 * time.Second
)

// timeSync measures the wait of a client at -durability ack.
func (i *inspection) timeSync() error {
	const subject = "have data on the disk (fsync)"
	f, err := os.Create(i.file("sync"))
	if err != nil {
		return i.missing(subject, access.Cause(err))
	}
	defer f.Close()
	var took []time.Duration
	for began := time.Now(); len(took) < syncs && time.Since(began) < enoughOfSync; {
		_, err := f.Write(make([]byte, 4096))
		started := time.Now()
		if err = errors.Join(err, f.Sync()); err != nil {
			return i.missing(subject, access.Cause(err))
		}
		took = append(took, time.Since(started))
	}
	if err := durable.SyncDirectory(i.tempDir); err != nil {
		return i.missing(subject, fmt.Errorf("names cannot be synced: %w", access.Cause(err)))
	}
	slices.Sort(took)
	told := fmt.Sprintf("takes %v (median of %d)", took[len(took)/2].Round(10*time.Microsecond), len(took))
	if took[len(took)/2] > slowSync && i.Durability == filestore.Ack {
		i.report.Warn(subject, told+", and each request waits for one or more: use another disk, or -durability complete")
	} else {
		i.report.OK(subject, told)
	}
	return nil
}

// tryLinks does what the store does with side records, a link to a new name, and with
// records, a rename.
func (i *inspection) tryLinks() error {
	from, to := i.file("from"), i.file("to")
	if err := os.WriteFile(from, nil, 0o600); err != nil {
		return i.missing("make files", access.Cause(err))
	}
	if err := os.Link(from, to); err != nil {
		i.report.Warn("hard links", access.Cause(err).Error()+": let one server alone use this directory, as two could create one side record at the same time")
	} else {
		i.report.OK("hard links", "")
	}
	if err := os.Rename(from, to); err != nil {
		return i.missing("replace files by others (rename)", access.Cause(err))
	}
	i.report.OK("replace files by others (rename)", "")
	return nil
}

// tryNames finds out whether the file system ignores the case of names.
func (i *inspection) tryNames() error {
	if err := os.WriteFile(i.file("case"), nil, 0o600); err != nil {
		return i.missing("make files", access.Cause(err))
	}
	if _, err := os.Stat(i.file("CASE")); err == nil {
		i.report.Warn("names", "the file system ignores the case of names: ids that callbacks choose must differ in more than case")
	}
	return nil
}

// tryLocks lets two lockers exclude each other. They share no state, as in two
// processes: the system's locks belong to open files.
func (i *inspection) tryLocks() error {
	const subject = "locks between processes"
	if i.OneProcess {
		i.report.OK("locks", "within one process (-locker memory): no other server can use the directory")
		return nil
	}
	one, other := filelocker.New(i.tempDir), filelocker.New(i.tempDir)
	defer one.Close()
	defer other.Close()
	held, err := one.Lock(i.ctx, "doctor", tusd.LockTry)
	if err != nil {
		return i.missing(subject, err)
	}
	if lease, err := other.Lock(i.ctx, "doctor", tusd.LockTry); !errors.Is(err, tusd.ErrUploadLocked) {
		if err == nil {
			err = errors.Join(errors.New("two processes get the same lock"), lease.Unlock(i.ctx))
		}
		return i.missing(subject, errors.Join(err, held.Unlock(i.ctx)))
	}
	if err := held.Unlock(i.ctx); err != nil {
		return i.missing(subject, err)
	}
	lease, err := other.Lock(i.ctx, "doctor", tusd.LockTry)
	if err != nil {
		return i.missing(subject, fmt.Errorf("a lock that was given back cannot be had: %w", err))
	}
	i.report.OK(subject, "")
	return lease.Unlock(i.ctx)
}

// lookAtRoots makes a directory in each -storage-root.
func (i *inspection) lookAtRoots() error {
	for _, root := range i.StorageRoots {
		subject := "directory " + root + " (-storage-root)"
		temp, err := os.MkdirTemp(root, tempPrefix)
		if err != nil {
			i.report.Missing(subject, access.Cause(err).Error()+access.Advice(err, root))
			continue
		}
		if err := os.Remove(temp); err != nil {
			i.report.Warn("left behind", temp+": "+access.Cause(err).Error())
			continue
		}
		i.report.OK(subject, "")
	}
	return nil
}

// cleanUp removes tempDir, if the file system allows it.
func (i *inspection) cleanUp() {
	done := make(chan error, 1)
	go func() { done <- os.RemoveAll(i.tempDir) }()
	timer := time.NewTimer(stepTimeout)
	defer timer.Stop()
	select {
	case err := <-done:
		if err != nil {
			i.report.Warn("left behind", i.tempDir+": "+access.Cause(err).Error())
		}
	case <-timer.C:
		i.report.Warn("left behind", i.tempDir+", as far as can be told")
	}
}
