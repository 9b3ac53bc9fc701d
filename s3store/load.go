package s3store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/tus/tusd"
)

// loadTries is how often an upload is looked at that changes meanwhile.
const loadTries = 20

// find returns the state of an upload, from memory if that still holds.
// guessed tells that only the client says so.
func (b *bucket) find(ctx context.Context, lease tusd.Lease, id string) (st state, guessed bool, err error) {
	known, ok := b.kept.get(id)
	switch {
	case ok && b.trusts(lease, &known):
		return known.state, false, nil
	case ok && b.guesses(ctx, lease, &known.state):
		return known.state, true, nil
	case ok:
		same, err := b.confirm(ctx, id, &known.state)
		if err != nil || same {
			return known.state, false, err
		}
	}
	st, err = b.load(ctx, id)
	if errors.Is(err, tusd.ErrNotFound) {
		b.kept.forget(id)
	}
	return st, false, err
}

// trusts tells whether nobody can have changed what is kept.
func (b *bucket) trusts(lease tusd.Lease, known *keptState) bool {
	if lease == nil || b.scope != tusd.ScopeLease {
		return false
	}
	_, before := lease.Fence()
	return before != 0 && before == known.n
}

// guesses tells whether a client that knows the offset says that nobody has
// changed what is kept, and the service is going to refuse what would be
// wrong if somebody has.
func (b *bucket) guesses(ctx context.Context, lease tusd.Lease, st *state) bool {
	if lease == nil || b.scope == tusd.ScopeLease || st.content.TakenOver != nil {
		return false
	}
	if b.profile.NoGaps || !b.conditions.create || !b.conditions.replace {
		return false
	}
	offset, ok := tusd.ClaimedOffset(ctx)
	return ok && offset == st.offset()
}

// confirm asks whether a state that was kept still holds. If so, it brings the
// pieces that do not count up to date.
func (b *bucket) confirm(ctx context.Context, id string, st *state) (bool, error) {
	if st.recordKey != b.recordKey(id) {
		return false, nil
	}
	found, err := b.listUpload(ctx, id)
	if err != nil || !sameETag(found.record, st.etag) {
		return false, err
	}
	if st.whole {
		return true, nil
	}
	now := *st
	now.pieces = found.pieces
	if !samePieces(now.tail(now.content.end()), st.tail(st.content.end())) {
		return false, nil
	}
	st.pieces = found.pieces // what does not count may be more, or less
	if st.content.Multipart != "" {
		return true, nil
	}
	if b.lists(st) && found.data == "" {
		return true, nil
	}
	whole, err := b.isWhole(ctx, st)
	return !whole, err
}

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
