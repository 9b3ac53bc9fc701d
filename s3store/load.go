package s3store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// loadTries is how often an upload is read that changes meanwhile.
const loadTries = 20

// load reads the state of an upload. An upload that is being removed is broken.
func (b *bucket) load(ctx context.Context, id string) (state, error) {
	st, err := b.loadAny(ctx, id)
	if err == nil && st.layout.Removed {
		return state{}, brokenRecord(st.recordKey, "%w", errRemoving)
	}
	return st, err
}

// loadAny is load that accepts uploads that are being removed. Record and
// listing are two calls: it repeats them until they agree.
func (b *bucket) loadAny(ctx context.Context, id string) (state, error) {
	for try := range loadTries {
		st, ok, err := b.loadOnce(ctx, id)
		if err != nil || ok {
			return st, err
		}
		if err := sleep(ctx, time.Duration(try)*time.Millisecond); err != nil {
			return state{}, err
		}
	}
	return state{}, fmt.Errorf("%w: the upload changes faster than it can be read, or the service hides it because another object's key is a directory of its key", errDisagree)
}

// loadOnce reads record and listing in parallel. ok is false if they do not
// agree.
func (b *bucket) loadOnce(ctx context.Context, id string) (st state, ok bool, err error) {
	key := b.recordKey(id)
	var found uploadObjects
	var listErr error
	listed := make(chan struct{})
	go func() {
		defer close(listed)
		found, listErr = b.listUpload(ctx, id)
	}()
	stored, err := b.readSmall(ctx, key, maxRecord)
	<-listed
	switch {
	case isMissing(err) && listErr == nil && found.record == "":
		st, err := b.loadV2(ctx, id, found, err)
		return st, err == nil, err
	case isMissing(err) && listErr == nil:
		return state{}, false, nil
	case err != nil || listErr != nil:
		return state{}, false, errors.Join(err, listErr)
	case !sameETag(stored.etag, found.record):
		return state{}, false, nil
	}
	r, err := parseRecord(key, id, stored.content)
	if err == nil && r.S3 == nil {
		err = brokenRecord(key, "it does not say where the bytes are")
	}
	if err != nil {
		return state{}, false, err
	}
	st = state{info: r.FileInfo, layout: *r.S3, recordKey: key, etag: stored.etag, tailObjects: found.tailObjects}
	st.noteChange(later(stored.modified, found.changed))
	err = b.setOffset(ctx, &st, !b.listsData(&st) || found.data != "")
	return st, err == nil, err
}

// findUnlisted looks for a data object that a listing has not shown: some services store an
// object and do not list it. It is for a sweep, which removes what seems to have no data.
func (b *bucket) findUnlisted(ctx context.Context, st *state) error {
	if st.hasObject || st.layout.Multipart != "" || !b.listsData(st) {
		return nil
	}
	var err error
	if st.hasObject, err = b.hasWholeObject(ctx, st, false); err == nil {
		st.info.Offset = st.offset()
	}
	return err
}

// setOffset computes the offset of a state. mayHaveObject says whether there
// may be an object under the data key.
func (b *bucket) setOffset(ctx context.Context, st *state, mayHaveObject bool) (err error) {
	switch {
	case st.layout.ETag != "":
		st.hasObject = true
	case st.layout.Multipart == "" && mayHaveObject:
		if st.hasObject, err = b.hasWholeObject(ctx, st, b.listsData(st)); err != nil {
			return err
		}
	}
	st.maxLateNumber = st.layout.maxLateNumber()
	st.info.Offset = st.offset()
	if length := st.length(); length >= 0 && st.info.Offset > length {
		return brokenRecord(st.recordKey, "there are %d bytes of an upload of %d", st.info.Offset, length)
	}
	return nil
}

// listsData reports whether a listing of the upload includes its data object.
func (b *bucket) listsData(st *state) bool { return st.dataKey() == b.prefix+st.info.ID }

// hasWholeObject reports whether the data object is stored, belongs to the
// upload, and has all its bytes. isListed says that a listing has shown an object: if
// it is missing then, it is missing for a moment, and the offset must not fall to 0.
func (b *bucket) hasWholeObject(ctx context.Context, st *state, isListed bool) (bool, error) {
	if st.info.SizeIsDeferred {
		return false, nil
	}
	o, err := b.head(ctx, st.dataKey())
	if isMissing(err) && !isListed {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the data: %w", err)
	}
	if o.Size != st.info.Size || !st.owns(o) {
		return false, nil
	}
	st.noteChange(o.Modified)
	return true, nil
}
