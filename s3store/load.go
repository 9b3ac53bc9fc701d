package s3store

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// loadTries is how often an upload is looked at that changes meanwhile.
const loadTries = 20

// load reads the state of an upload. One that is being removed is not there.
func (b *bucket) load(ctx context.Context, id string) (state, error) {
	st, err := b.loadAny(ctx, id)
	if err == nil && st.content.Removed {
		return state{}, broken(st.recordKey, "%w", errRemoving)
	}
	return st, err
}

// loadAny is load for uploads that are being removed, too. Record and listing
// are two calls: it is repeated until both are of the same time.
func (b *bucket) loadAny(ctx context.Context, id string) (state, error) {
	for try := range loadTries {
		st, ok, err := b.loadOnce(ctx, id)
		if err != nil || ok {
			return st, err
		}
		if err := pause(ctx, time.Duration(try)*time.Millisecond); err != nil {
			return state{}, err
		}
	}
	return state{}, errors.New("its record and the listing do not agree: it changes faster than it can be read, or an object lies above its key")
}

// loadOnce reads record and listing side by side. ok is false if they do not
// fit together.
func (b *bucket) loadOnce(ctx context.Context, id string) (st state, ok bool, err error) {
	key := b.recordKey(id)
	var found listing
	var listErr error
	listed := make(chan struct{})
	go func() {
		defer close(listed)
		found, listErr = b.listUpload(ctx, id)
	}()
	stored, etag, err := b.readSmall(ctx, key, maxRecord)
	<-listed
	switch {
	case isMissing(err) && listErr == nil && found.record == "":
		st, err := b.loadForeign(ctx, id, found.pieces, err)
		return st, err == nil, err
	case isMissing(err) && listErr == nil:
		return state{}, false, nil
	case err != nil || listErr != nil:
		return state{}, false, errors.Join(err, listErr)
	case !sameETag(etag, found.record):
		return state{}, false, nil
	}
	r, err := parseRecord(key, id, stored)
	if err == nil && r.S3 == nil {
		err = broken(key, "it does not say where the bytes are")
	}
	if err != nil {
		return state{}, false, err
	}
	st = state{info: r.FileInfo, content: *r.S3, recordKey: key, etag: etag, pieces: found.pieces}
	err = b.settle(ctx, &st, !b.lists(&st) || found.data != "")
	return st, err == nil, err
}

// settle finds the offset of a state. there tells that there may be an object
// under the data key.
func (b *bucket) settle(ctx context.Context, st *state, there bool) (err error) {
	switch {
	case st.content.ETag != "":
		st.whole = true
	case st.content.Multipart == "" && there:
		if st.whole, err = b.isWhole(ctx, st); err != nil {
			return err
		}
	}
	st.taken = st.content.mayBeTaken()
	st.info.Offset = st.offset()
	if length := st.length(); length >= 0 && st.info.Offset > length {
		return broken(st.recordKey, "there are %d bytes of an upload of %d", st.info.Offset, length)
	}
	return nil
}

// lists tells whether a listing of the upload has its data object, too.
func (b *bucket) lists(st *state) bool { return st.dataKey() == b.prefix+st.info.ID }

// isWhole tells whether the data object is there, this upload's, and has all
// its bytes. If listings have it, this one had: what is not there then is away
// for a moment, and the offset must not fall to 0.
func (b *bucket) isWhole(ctx context.Context, st *state) (bool, error) {
	if st.info.SizeIsDeferred {
		return false, nil
	}
	o, err := b.head(ctx, st.dataKey())
	if isMissing(err) && !b.lists(st) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("look for the data: %w", err)
	}
	return o.Size == st.info.Size && st.owns(o), nil
}
