package s3store

import (
	"context"
	"errors"
	"fmt"

	"github.com/tus/tusd"
)

// NewUpload implements tusd.DataStore. Storage["Key"] of info, which a callback can
// set, is the key of the data behind ObjectPrefix.
func (s *Store) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	b, err := s.bucket()
	if err != nil {
		return nil, err
	}
	if err := tusd.ValidateID(info.ID); err != nil {
		return nil, err
	}
	u := b.newUpload(info.ID, lease)
	if err := u.checkLease(ctx); err != nil {
		return nil, wrapError("create upload", info.ID, err)
	}
	if err := u.create(ctx, info); err != nil {
		return nil, wrapError("create upload", info.ID, err)
	}
	return u, nil
}

// create stores the record of a new upload.
func (u *upload) create(ctx context.Context, info tusd.FileInfo) error {
	st := state{info: info, layout: newLayout(), recordKey: u.b.recordKey(u.id)}
	st.layout.Writer, st.ours = u.writer, true
	if err := u.b.partSizes.checkLength(st.length()); err != nil {
		return err
	}
	key, err := u.b.newDataKey(info)
	if err != nil {
		return err
	}
	if _, err := u.b.rules.attributes(info); err != nil {
		return err
	}
	sharedKey := u.mayShareKey(info, key)
	if sharedKey {
		if err := u.b.checkKeyFree(ctx, key); err != nil {
			return u.refusedKey(ctx, err)
		}
	}
	st.info.Storage, st.info.Created = u.b.storage(key), info.Created.Round(0)
	if u.b.partSizes.equal {
		st.layout.PartSize = u.b.partSizes.equalSize(st.length())
	}
	if err := u.checkIDFree(ctx); err != nil {
		return err
	}
	return u.storeNew(ctx, st, sharedKey)
}

// mayShareKey reports whether another upload may use the same data key: a callback
// has chosen it, or the id, with which the template can produce the key of
// another id.
func (u *upload) mayShareKey(info tusd.FileInfo, key string) bool {
	if key == u.b.prefix+u.id {
		return false
	}
	return info.Storage["Key"] != "" || !isRandomID(u.id)
}

// refusedKey returns the error for a data key that cannot be used. If it is taken, that is the
// fault of who has chosen the key, unless the upload exists.
func (u *upload) refusedKey(ctx context.Context, err error) error {
	if !errors.Is(err, errTaken) {
		return err
	}
	if existing := u.b.checkAbsent(ctx, u.b.recordKey(u.id)); existing != nil {
		return orExists(existing)
	}
	return tusd.ErrInvalidName.With(err)
}

// storeNew stores the record of a new upload, and refuses it if its keys cannot
// be used.
func (u *upload) storeNew(ctx context.Context, st state, sharedKey bool) error {
	err := u.b.putRecord(ctx, &st)
	switch {
	case isRefusedCondition(err):
		return tusd.ErrUploadExists.With(err)
	case isNestingRefused(err):
		return tusd.ErrInvalidName.With(err)
	}
	if err == nil {
		err = u.b.checkNesting(ctx, &st, sharedKey)
	}
	if errors.Is(err, errTaken) {
		err = tusd.ErrInvalidName.With(err)
	}
	if err != nil {
		return u.rollBackCreation(ctx, st, err)
	}
	u.setState(st)
	return nil
}

// checkIDFree refuses an id that is in use, if the service supports no
// conditions.
func (u *upload) checkIDFree(ctx context.Context) error {
	if u.b.conditions.create {
		return nil
	}
	return orExists(u.b.checkAbsent(ctx, u.b.recordKey(u.id)))
}

// errTaken means that an object has the key of a new one, or a key that excludes it.
var errTaken = errors.New("the key is taken")

// orExists returns ErrUploadExists for a key that is taken, and any other error as it is.
func orExists(err error) error {
	if errors.Is(err, errTaken) {
		return tusd.ErrUploadExists.With(err)
	}
	return err
}

// checkAbsent returns errTaken for a key that is in use.
func (b *bucket) checkAbsent(ctx context.Context, key string) error {
	_, err := b.head(ctx, key)
	switch {
	case err == nil:
		return fmt.Errorf("%w: the object %s exists", errTaken, key)
	case isMissing(err):
		return nil
	}
	return err
}

// rollBackCreation removes a record that may be stored although the call
// failed. It must be this upload's: another process may have created the same
// id and use it.
func (u *upload) rollBackCreation(ctx context.Context, st state, cause error) error {
	ctx = context.WithoutCancel(ctx)
	stored, err := u.b.readSmall(ctx, st.recordKey, maxRecord)
	if err != nil {
		return cause
	}
	r, err := parseRecord(st.recordKey, u.id, stored.content)
	if err == nil && r.S3 != nil && r.S3.Proof == st.layout.Proof {
		err = u.b.remove(ctx, st.recordKey)
		if err != nil {
			u.b.log.Warn("cannot remove the record of an upload that was not created", "id", u.id, "err", err)
		}
	}
	return cause
}
