package filestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// UpdateInfo implements tusd.Upload.
func (u *upload) UpdateInfo(ctx context.Context, change func(*tusd.FileInfo) error) error {
	if err := u.usable(ctx); err != nil {
		return failed("update upload", u.id, err)
	}
	now := u.current()
	next := now.Clone()
	if err := change(&next); err != nil {
		return err
	}
	next.ID, next.Offset, next.Storage = now.ID, now.Offset, now.Storage
	next.Size, next.SizeIsDeferred = now.Size, now.SizeIsDeferred
	if next.KnownLength != nil && now.KnownLength == nil {
		if err := u.checkLength(next); err != nil {
			return failed("update upload", u.id, err)
		}
	}
	return failed("update upload", u.id, u.store(ctx, next))
}

// DeclareLength implements tusd.LengthDeferrer.
func (s *FileStore) DeclareLength(ctx context.Context, up tusd.Upload, length int64) error {
	u, err := ours(up)
	if err != nil {
		return err
	}
	if err := u.usable(ctx); err != nil {
		return failed("declare the length of upload", u.id, err)
	}
	next := u.current()
	if length == -1 {
		next.Size, next.SizeIsDeferred = 0, true
		return failed("take back the length of upload", u.id, u.store(ctx, next))
	}
	if length > maxSize {
		return failed("declare the length of upload", u.id, tusd.ErrMaxSizeExceeded.With(fmt.Errorf("a length of %d is impossible", length)))
	}
	if !next.SizeIsDeferred || length < next.Offset {
		return failed("declare the length of upload", u.id,
			tusd.ErrInvalidUploadLength.With(fmt.Errorf("%d, with %d bytes stored", length, next.Offset)))
	}
	next.Size, next.SizeIsDeferred = length, false
	if err := u.checkLength(next); err != nil {
		return failed("declare the length of upload", u.id, err)
	}
	return failed("declare the length of upload", u.id, u.store(ctx, next))
}

// checkLength refuses a length that became known and does not fit. An upload
// that has all its bytes takes no more room.
func (u *upload) checkLength(next tusd.FileInfo) error {
	if missing(next) == 0 {
		return nil
	}
	return u.v.checkRoom(u.data, missing(next))
}

// store replaces the record.
func (u *upload) store(ctx context.Context, next tusd.FileInfo) error {
	content, err := formatRecord(next)
	if err != nil {
		return err
	}
	if err := u.usable(ctx); err != nil {
		return err
	}
	u.v.decoded.doubt(u.id)
	if err := u.v.replace(u.v.record(u.id), content, u.v.level.holds(next)); err != nil {
		return err
	}
	if u.v.level != Ack && !u.v.level.holds(next) {
		u.unsettle()
	}
	u.change(func(info *tusd.FileInfo) { *info = next })
	return nil
}

// unsettle remembers that the record was written and not synced.
func (u *upload) unsettle() {
	if m, ok := u.v.marks.trusted(u.id, u.v.scope, u.lease); ok {
		m.settled = false
		u.v.marks.set(u.id, u.lease, m)
	}
}

// FinishUpload implements tusd.Upload.
func (u *upload) FinishUpload(ctx context.Context) error {
	if err := u.usable(ctx); err != nil {
		return failed("finish upload", u.id, err)
	}
	info := u.current()
	if !info.Full() {
		return failed("finish upload", u.id, errors.New("bytes are missing"))
	}
	if err := u.settle(info); err != nil {
		return failed("finish upload", u.id, err)
	}
	u.v.forgetLater(u.id)
	return nil
}

// replace puts content in the place of a small file of the upload directory.
func (v *volume) replace(p place, content []byte, sync bool) error {
	r := v.replacer(sync)
	return v.inParents(func() error { return r.Replace(p.name, content) }, v.tempFile())
}

// replacer writes files by way of the directory for temporary files, which is
// made when it is first missed (tempFile says where).
func (v *volume) replacer(sync bool) durable.Replacer {
	return durable.Replacer{Tree: v.tree, Dir: tempDir, Prefix: v.tempPrefix, Perm: v.filePerm, Sync: sync}
}

// tempFile is a place in the directory for temporary files.
func (v *volume) tempFile() place { return v.own(tempDir + "/x") }
