package filestore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"path"
	"strings"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/datakey"
)

// Tidy implements tusd.Tidier. It looks only at what has not changed since t.Before:
// younger files look like those of a running request. It never looks into storage
// roots, which may have files of other programs.
//
// It removes these files:
//
//   - Temporary files with a name as this store makes them. A temporary file is written in
//     one piece of at most 1 MiB, and renamed at once. As long as a process in another
//     container or on a slow disk still writes it, its time of change is recent.
//   - <id>.undo without an upload of that id, under the lock.
//   - <id>.lock and <id>.stop of tusd v2, under the lock, if no program has locked them. No lock
//     of this program is in such a file, so nothing that waits for one is disturbed.
//   - Data without a record that is empty and has an id that the server makes as its name,
//     under the lock: a creation was cut short. No record names it.
//   - The rest of an upload whose removal was cut short, if the record is marked.
//
// It reports other data without a record, records that are broken or whose data is missing,
// directories that may not be read, and records and lock files of other programs. It leaves directories.
func (s *FileStore) Tidy(ctx context.Context, t tusd.Tidying) error {
	v, err := s.volume()
	if err != nil {
		return err
	}
	d := &tidying{Tidying: t, v: v}
	for _, step := range []func(context.Context) error{d.lookAtRecords, d.lookAtTemporaries, d.lookAtOthers} {
		if err := step(ctx); err != nil {
			return failed("tidy the directory", v.path, err)
		}
	}
	return nil
}

// tidying is one call of Tidy.
type tidying struct {
	tusd.Tidying
	v *volume
	// named has the names of data that records name, if it is not the id; nil: they were not
	// needed yet (findNames).
	named *nameSet
	// unsure is set if a record or a directory could not be read: a record may name any data.
	unsure bool
}

func everyDirectory(string) bool { return true }

// lookAtRecords reports records that are not valid. It loads only the old ones.
func (d *tidying) lookAtRecords(ctx context.Context) error {
	return d.v.walk(ctx, ".", everyDirectory, func(name string) error {
		id, ok := strings.CutSuffix(name, recordSuffix)
		if !ok {
			return nil
		}
		if err := d.Pace(ctx); err != nil {
			return err
		}
		if tusd.ValidateID(id) != nil {
			return d.reportForeign(name)
		}
		record := d.v.record(id)
		if stat, err := record.tree.Lstat(record.name); err != nil || !stat.Modified.Before(d.Before) {
			return nil
		}
		switch _, err := d.v.load(nil, id, true); {
		case errors.Is(err, errForeign):
			return d.reportForeign(name)
		case errors.Is(err, tusd.ErrBroken):
			return d.lookAtBroken(ctx, id)
		}
		return nil
	}, d.reportUnreadable)
}

// findNames fills in d.named, when it is needed for the first time: it reads every record.
func (d *tidying) findNames(ctx context.Context) error {
	if d.named != nil {
		return nil
	}
	d.named = newNameSet()
	return d.v.walk(ctx, ".", everyDirectory, func(name string) error {
		id, ok := strings.CutSuffix(name, recordSuffix)
		if !ok || tusd.ValidateID(id) != nil {
			return nil
		}
		if err := d.Pace(ctx); err != nil {
			return err
		}
		u, err := d.v.load(nil, id, true)
		switch {
		case err == nil && u.data != d.v.file(id):
			d.addNamed(u.data)
		case err != nil && !errors.Is(err, tusd.ErrNotFound):
			d.unsure = true
		}
		return nil
	}, unreadableIsKnown)
}

// reportUnreadable reports a directory that may not be read. A record in it may name any data.
func (d *tidying) reportUnreadable(dir string, err error) error {
	d.unsure = true
	p := d.v.file(dir)
	stat, _ := p.tree.Lstat(p.name) // without it, the time is not known
	d.Report(tusd.Leftover{Kind: tusd.LeftoverBroken, Name: p.path(), Changed: stat.Modified, Err: failed("look into the directory", dir, err)})
	return nil
}

// unreadableIsKnown is for the steps after lookAtRecords.
func unreadableIsKnown(string, error) error { return nil }

// addNamed notes that a record names data. A storage root, or a link to a directory, may
// lead to a name of the upload directory: data with the last part of the name counts as
// named, too.
func (d *tidying) addNamed(data treePath) {
	d.named.add(path.Base(data.name))
	if data.tree == d.v.tree {
		d.named.add(data.name)
	}
}

// lookAtBroken reports an upload that cannot be loaded. The lock excludes that a request is
// creating or removing it.
func (d *tidying) lookAtBroken(ctx context.Context, id string) error {
	listed := d.v.describeUnreadable(id)
	if !listed.Changed.Before(d.Before) {
		return nil
	}
	err := d.underLock(ctx, id, func(lease tusd.Lease) {
		_, broken := d.v.load(nil, id, true)
		if !errors.Is(broken, tusd.ErrBroken) {
			return
		}
		left := tusd.Leftover{Kind: tusd.LeftoverBroken, Name: d.v.record(id).path(), Upload: id, Bytes: max(0, listed.Bytes), Changed: listed.Changed, Err: broken}
		if errors.Is(broken, errRemovalCut) {
			d.completeRemoval(&upload{v: d.v, id: id, lease: lease}, left)
			return
		}
		d.Report(left)
	})
	if errors.Is(err, tusd.ErrUploadLocked) {
		return nil
	}
	return err
}

// completeRemoval completes a removal that was cut short, unless it is a dry run, and reports it.
func (d *tidying) completeRemoval(u *upload, left tusd.Leftover) {
	if u.lease.Context().Err() != nil {
		return
	}
	left.Err = nil
	if !d.DryRun {
		left.Err = failed("terminate upload", u.id, u.terminate())
	}
	left.Removed = left.Err == nil
	d.Report(left)
}

// underLock calls act with a lease on id.
func (d *tidying) underLock(ctx context.Context, id string, act func(tusd.Lease)) error {
	lease, err := d.Lock(ctx, id)
	if err != nil {
		return err
	}
	act(lease)
	return lease.Unlock(context.WithoutCancel(ctx))
}

// reportForeign reports a file of another program, if it is old enough.
func (d *tidying) reportForeign(name string) error {
	p := d.v.file(name)
	if stat, err := p.tree.Lstat(p.name); err == nil && stat.Modified.Before(d.Before) {
		d.Report(tusd.Leftover{Kind: tusd.LeftoverForeign, Name: p.path(), Bytes: stat.Size, Changed: stat.Modified})
	}
	return nil
}

// lookAtTemporaries removes old temporary files.
func (d *tidying) lookAtTemporaries(ctx context.Context) error {
	return d.v.walk(ctx, tempDir, func(string) bool { return false }, func(name string) error {
		if !isTempName(path.Base(name)) {
			return nil
		}
		if err := d.Pace(ctx); err != nil {
			return err
		}
		left, ok := d.leftover(tusd.LeftoverTemporary, name)
		if ok {
			d.remove(name, left)
		}
		return nil
	}, unreadableEnds)
}

// lookAtOthers looks at everything but records and the store's own directory.
func (d *tidying) lookAtOthers(ctx context.Context) error {
	return d.v.walk(ctx, ".", everyDirectory, func(name string) error {
		look := d.lookAtData
		switch id, suffix := cutReserved(name); {
		case suffix == ".undo":
			look = func(ctx context.Context, name string) error { return d.lookAtUndo(ctx, id, name) }
		case suffix == ".lock", suffix == ".stop":
			look = func(ctx context.Context, name string) error { return d.lookAtLock(ctx, id, name) }
		case datakey.Reserved(path.Base(name)):
			return nil
		}
		if err := d.Pace(ctx); err != nil {
			return err
		}
		return look(ctx, name)
	}, unreadableIsKnown)
}

// cutReserved splits the name of a file beside the data into the id of its upload and the
// suffix. suffix is "" for other names, and for those that no upload can have.
func cutReserved(name string) (id, suffix string) {
	for _, suffix := range datakey.ReservedSuffixes {
		if id, ok := strings.CutSuffix(name, suffix); ok && tusd.ValidateID(id) == nil {
			return id, suffix
		}
	}
	return "", ""
}

// lookAtUndo removes the undo record of an upload that does not exist. Beside a record it
// is needed, however old it is: it says how much of the data is the upload.
func (d *tidying) lookAtUndo(ctx context.Context, id, name string) error {
	left, ok := d.leftover(tusd.LeftoverUndo, name)
	needless := func() bool { return d.v.isFree(d.v.record(id)) }
	if !ok || !needless() {
		return nil
	}
	content, _, err := readSmall(d.v.file(name), maxUndoRecord)
	if err == nil {
		err = json.Unmarshal(content, new(undoRecord))
	}
	if left.Upload = id; err != nil {
		left.Err = failed("read", name, err)
		d.Report(left)
		return nil
	}
	return d.removeLocked(ctx, name, left, needless)
}

// lookAtLock removes a lock file of tusd v2.
func (d *tidying) lookAtLock(ctx context.Context, id, name string) error {
	left, ok := d.leftover(tusd.LeftoverLock, name)
	if !ok {
		return nil
	}
	if !d.isOfV2(id, name) {
		left.Kind = tusd.LeftoverForeign
		d.Report(left)
		return nil
	}
	left.Upload = id
	var held error // looked for under the lock of the upload only: a look by another sweep locks the file, too
	err := d.removeLocked(ctx, name, left, func() bool {
		held = d.checkNotHeld(name)
		return held == nil && d.isOfV2(id, name)
	})
	if left.Err = held; held != nil {
		d.Report(left)
	}
	return err
}

// isOfV2 reports whether a file is a lock file of tusd v2: <id>.lock with a process id, or
// <id>.stop, which is empty. The id is of an upload, or as servers make them: lock files of
// other programs have names like cleanup.lock, and are empty or have a process id, too.
func (d *tidying) isOfV2(id, name string) bool {
	if !isServerID(id) && d.v.isFree(d.v.record(id)) {
		return false
	}
	content, _, err := readSmall(d.v.file(name), maxLockFile)
	if err != nil {
		return false
	}
	if strings.HasSuffix(name, ".stop") {
		return len(content) == 0
	}
	number := bytes.TrimRight(content, "\r\n")
	return len(number) > 0 && len(bytes.Trim(number, "0123456789")) == 0
}

// maxLockFile bounds the length of a lock file of tusd v2, in bytes.
const maxLockFile = 32

var errHeld = errors.New("a process has locked it")

// checkNotHeld returns an error if a program has locked the file, which tusd v2 does not do.
func (d *tidying) checkNotHeld(name string) error {
	f, err := d.v.tree.OpenOS(name)
	if isAbsent(err) {
		return nil
	}
	if err == nil {
		defer f.Close()
		var free bool
		if free, err = isUnlocked(f); err == nil && !free {
			err = errHeld
		}
	}
	return failed("look at the lock file", name, err)
}

// lookAtData reports data without a record. It removes what a creation that was cut short
// has left.
func (d *tidying) lookAtData(ctx context.Context, name string) error {
	left, ok := d.leftover(tusd.LeftoverData, name)
	if !ok || d.hasRecord(name) {
		return nil
	}
	if err := d.findNames(ctx); err != nil || d.named.has(name) {
		return err
	}
	if left.Bytes > 0 || !isServerID(name) || d.unsure {
		d.Report(left)
		return nil
	}
	left.Upload = name
	return d.removeLocked(ctx, name, left, func() bool { return !d.hasRecord(name) })
}

// hasRecord reports whether there is a record for the data.
func (d *tidying) hasRecord(name string) bool {
	v := d.v
	old, isOld := strings.CutSuffix(name, ".bin") // of tusd 0.x
	return !v.isFree(v.record(name)) || isOld && !v.isFree(v.record(old))
}

// isServerID reports whether name is like the ids that the server makes.
func isServerID(name string) bool {
	return len(name) == 32 && strings.Trim(name, "0123456789abcdef") == ""
}

// leftover describes a file. ok is false if it is gone, is not regular, or is too young.
func (d *tidying) leftover(kind tusd.LeftoverKind, name string) (left tusd.Leftover, ok bool) {
	p := d.v.file(name)
	stat, err := p.tree.Lstat(p.name)
	ok = err == nil && stat.Mode.IsRegular() && stat.Modified.Before(d.Before)
	return tusd.Leftover{Kind: kind, Name: p.path(), Bytes: stat.Size, Changed: stat.Modified}, ok
}

// remove removes a leftover, unless it is a dry run, and reports it.
func (d *tidying) remove(name string, left tusd.Leftover) {
	if !d.DryRun {
		err := d.v.tree.Remove(name)
		if isAbsent(err) {
			return // another sweep was faster
		}
		left.Err = failed("remove", name, err)
	}
	left.Removed = left.Err == nil
	d.Report(left)
}

// removeLocked removes a leftover of the upload left.Upload if needless is still true under
// its lock.
func (d *tidying) removeLocked(ctx context.Context, name string, left tusd.Leftover, needless func() bool) error {
	err := d.underLock(ctx, left.Upload, func(lease tusd.Lease) {
		now, ok := d.leftover(left.Kind, name)
		if ok && now.Bytes == left.Bytes && needless() && lease.Context().Err() == nil {
			d.remove(name, left)
		}
	})
	if errors.Is(err, tusd.ErrUploadLocked) {
		left.Err = err
		d.Report(left)
		return nil
	}
	return err
}
