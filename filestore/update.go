package filestore

import (
	"context"
	"errors"
	"fmt"

	"github.com/tus/tusd"
)

// UpdateInfo implements tusd.Upload.
func (u *upload) UpdateInfo(ctx context.Context, change func(*tusd.FileInfo) error) error {
	if err := u.checkLease(ctx); err != nil {
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
	u, err := asUpload(up)
	if err != nil {
		return err
	}
	if err := u.checkLease(ctx); err != nil {
		return failed("declare the length of upload", u.id, err)
	}
	next := u.current()
	if length == -1 {
		next.Size, next.SizeIsDeferred = 0, true
		return failed("undo the length of upload", u.id, u.store(ctx, next))
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

// checkLength refuses a newly known length for which there is no space. A full
// upload needs no more space.
func (u *upload) checkLength(next tusd.FileInfo) error {
	if missingBytes(next) == 0 {
		return nil
	}
	return u.v.checkAnnounced(u.data, missingBytes(next))
}

// store replaces the record.
func (u *upload) store(ctx context.Context, next tusd.FileInfo) error {
	content, err := formatRecord(next)
	if err != nil {
		return err
	}
	if err := u.checkLease(ctx); err != nil {
		return err
	}
	u.v.uploads.invalidateRecord(u.id)
	if err := u.v.replace(u.v.record(u.id), content, u.v.level.mustSync(next)); err != nil {
		return err
	}
	if u.v.level != Ack && !u.v.level.mustSync(next) {
		u.markRecordUnsynced()
	}
	u.change(func(info *tusd.FileInfo) { *info = next })
	u.setChanged()
	return nil
}

// FinishUpload implements tusd.Upload.
func (u *upload) FinishUpload(ctx context.Context) error {
	if err := u.checkLease(ctx); err != nil {
		return failed("finish upload", u.id, err)
	}
	info := u.current()
	if !info.Full() {
		return failed("finish upload", u.id, errors.New("bytes are missing"))
	}
	if err := u.ensureDurable(info); err != nil {
		return failed("finish upload", u.id, err)
	}
	u.v.uploads.rememberCompleted(u.id, u.v.level != None)
	return nil
}
