package filestore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

const (
	// maxLooks bounds how often Verify looks at an upload.
	maxLooks = 60
	// confirmAfter is the time between two looks. In between, a request that is creating or
	// removing the upload goes on: the files of such an upload do not agree for a moment.
	confirmAfter = 250 * time.Millisecond
)

// undoAge is how long an undo record and its data stay the same before the undo record
// counts as left behind. A chunk that arrives changes one of them at least every hour.
const undoAge = time.Hour

// Verify implements tusd.Verifier. The digests are compared by the handler, which reads the
// data of every store.
func (s *FileStore) Verify(ctx context.Context, id string) (faults []string, err error) {
	v, err := s.volume()
	if err != nil {
		return nil, err
	}
	if err := tusd.ValidateID(id); err != nil {
		return nil, err
	}
	var before filesSeen
	for look := range maxLooks {
		if err := waitToLook(ctx, look); err != nil {
			return nil, failed("verify upload", id, err)
		}
		found, now, err := v.lookAt(id)
		if err != nil {
			return nil, failed("verify upload", id, err)
		}
		if len(found) == 0 {
			return nil, nil
		}
		if look > 0 && now == before { // what was found before is of files that did not change meanwhile
			return faults, nil
		}
		faults, before = found, now
	}
	return nil, failed("verify upload", id, errors.New("it changes all the time"))
}

// waitToLook waits before every look but the first.
func waitToLook(ctx context.Context, look int) error {
	if look > 0 {
		timer := time.NewTimer(confirmAfter)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return context.Cause(ctx)
}

// filesSeen are the files of an upload as they were at one look.
type filesSeen struct {
	record, undo durable.Info
	offset       int64
	modified     time.Time // of the data
}

// lookAt returns what does not agree among the files of an upload. They may change while it
// looks.
func (v *volume) lookAt(id string) (faults []string, seen filesSeen, err error) {
	if err := v.checkNoLinks(id); errors.Is(err, errLinked) {
		return nil, seen, notFound(err)
	} else if err != nil {
		return nil, seen, err
	}
	seen.record, _ = v.tree.Lstat(v.record(id).name) // if it is absent, so is the record below
	seen.undo, _ = v.tree.Lstat(v.undo(id).name)
	info, written, err := v.readRecordOnce(id)
	if err != nil {
		return faultOrError(err, seen)
	}
	u := &upload{v: v, id: id, once: true, info: *info}
	err = u.findData(written)
	seen.offset, seen.modified = u.info.Offset, u.modified
	if err != nil {
		return faultOrError(err, seen)
	}
	return u.faults(seen), seen, nil
}

// faultOrError returns the error of reading a record or finding its data as a fault, if it
// means that one of them is not valid.
func faultOrError(err error, seen filesSeen) ([]string, filesSeen, error) {
	if b, ok := errors.AsType[*brokenError](err); ok {
		return []string{fmt.Sprintf("%s: %v", b.path, b.err)}, seen, nil
	}
	if isAbsent(err) {
		err = notFound(err)
	}
	return nil, seen, err
}

// faults returns what does not agree in an upload that can be loaded.
func (u *upload) faults(seen filesSeen) (faults []string) {
	info, record := &u.info, u.v.record(u.id).path()
	if said := wasFull(info); said != "" && !info.Full() {
		length := fmt.Sprintf("%d", info.Size)
		if info.SizeIsDeferred {
			length = "an unknown number of"
		}
		faults = append(faults, fmt.Sprintf("%s: the upload %s, but %s has %d of %s bytes", record, said, u.data.path(), info.Offset, length))
	}
	if sum, ok := u.v.lengthOfPartials(info); ok && sum != info.Size {
		faults = append(faults, fmt.Sprintf("%s: the upload has %d bytes, but its partial uploads have %d together", record, info.Size, sum))
	}
	if seen.undo.Mode.IsRegular() && seen.undo.Size > 0 && time.Since(seen.undo.Modified) > undoAge && time.Since(seen.modified) > undoAge {
		faults = append(faults, fmt.Sprintf("%s: a chunk that had to be stored as a whole has ended early; the next request cuts it off", u.v.undo(u.id).path()))
	}
	return faults
}

// wasFull returns what the record of an upload says that only a full one has, or "". The record of a
// tus upload without digests and callbacks does not tell.
func wasFull(info *tusd.FileInfo) string {
	switch {
	case info.State == tusd.StateComplete:
		return "is said to be complete"
	case slices.ContainsFunc(info.Digests, func(d tusd.Digest) bool { return d.Sum != nil }):
		return "has a digest of all bytes"
	}
	return ""
}

// lengthOfPartials returns the length that a complete final must have. ok is false if that
// is not known, because a partial is gone.
func (v *volume) lengthOfPartials(final *tusd.FileInfo) (sum int64, ok bool) {
	if !final.IsFinal || !final.Complete() {
		return 0, false
	}
	for _, id := range final.PartialUploads {
		partial, _, err := v.readRecordOnce(id)
		if err != nil || partial.SizeIsDeferred || sum > maxSize-partial.Size {
			return 0, false
		}
		sum += partial.Size
	}
	return sum, true
}
