package s3store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"sync"

	"github.com/tus/tusd"
)

// List implements tusd.Lister. The order is that of the records' keys. A page costs a call
// for 1000 keys, and one for each record that is read: those that the filter may let in,
// judged by the keys, sizes and times in the bucket's listing. If tail objects belong to an
// upload, or its record changes meanwhile, it costs one or two more.
func (s *Store) List(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) (uploads []tusd.Listed, next string, err error) {
	b, err := s.bucket()
	if err != nil {
		return nil, "", err
	}
	w, err := b.walkFrom(cursor)
	if err != nil {
		return nil, "", err
	}
	var found []listedObjects
	for len(found) < limit {
		o, ok, err := w.next(ctx)
		if err != nil {
			return nil, "", wrapError("list uploads behind", cursor, err)
		}
		if !ok {
			break
		}
		if o.mayBeIncluded(filter) {
			found = append(found, o)
		}
	}
	if uploads, err = b.readListed(ctx, found, filter); err != nil {
		return nil, "", wrapError("list uploads behind", cursor, err)
	}
	next, err = w.cursor()
	return uploads, next, wrapError("list uploads behind", cursor, err)
}

// mayBeIncluded reports whether the objects may be those of an upload that the filter lets in.
func (o *listedObjects) mayBeIncluded(filter tusd.ListFilter) bool {
	return o.hasRecord && filter.Includes(o.Changed, o.hint().classes(o.HasData, o.Tails > 0)...)
}

// parallelRecordReads is how many records of a listing are read at the same time.
const parallelRecordReads = 16

// readListed reads the records of uploads, and describes those that the filter lets in.
func (b *bucket) readListed(ctx context.Context, found []listedObjects, filter tusd.ListFilter) ([]tusd.Listed, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([]*tusd.Listed, len(found))
	slots := make(chan struct{}, parallelRecordReads)
	var work sync.WaitGroup
	for i := range found {
		slots <- struct{}{}
		if ctx.Err() != nil {
			break
		}
		work.Go(func() {
			defer func() { <-slots }()
			var err error
			if results[i], err = b.readOneListed(ctx, &found[i], filter); err != nil {
				cancel(err)
			}
		})
	}
	work.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	uploads := make([]tusd.Listed, 0, len(results))
	for _, listed := range results {
		if listed != nil {
			uploads = append(uploads, *listed)
		}
	}
	return uploads, nil
}

// readOneListed describes an upload; nil: it is none, or the filter leaves it out.
func (b *bucket) readOneListed(ctx context.Context, o *listedObjects, filter tusd.ListFilter) (*tusd.Listed, error) {
	if filter.Pace != nil {
		if err := filter.Pace(ctx); err != nil {
			return nil, err
		}
	}
	id, st, err := b.readListedState(ctx, o)
	switch {
	case err == nil && id != "":
		listed := describe(id, &st)
		if !filter.Includes(listed.Changed, listed.Record.Class()) {
			return nil, nil
		}
		return &listed, nil
	case err == nil, isRemoved(err):
		return nil, nil
	case isUnreadable(err):
		return &tusd.Listed{ID: id, Changed: o.Changed, Bytes: -1}, nil
	}
	return nil, err
}

// isRemoved reports whether an error of loading an upload means that there is none any
// more, or only its remains.
func isRemoved(err error) bool {
	return errors.Is(err, errRemoving) || errors.Is(err, tusd.ErrNotFound) && !errors.Is(err, tusd.ErrBroken)
}

// isUnreadable reports whether an error is one of the record, and not of the service, the
// network or the context.
func isUnreadable(err error) bool {
	var e *Error
	if errors.As(err, &e) {
		return !isTransient(err)
	}
	return errors.Is(err, tusd.ErrBroken) || errors.Is(err, errNewerRecord) || errors.Is(err, errDisagree) || errors.Is(err, errWrongObject)
}

// readListedState reads the record of a listed upload. Where the listing and the record do
// not tell the offset, or do not agree, it loads the upload. id is "" if the record is of
// another program. It is known with an error, too.
func (b *bucket) readListedState(ctx context.Context, o *listedObjects) (id string, st state, err error) {
	stored, err := b.readSmall(ctx, b.recordKey(o.id), maxRecord)
	if isMissing(err) { // it was removed, or a proxy has answered
		st, err = b.load(ctx, o.id)
		return o.id, st, err
	}
	if err != nil {
		return o.id, state{}, err
	}
	if id = idInRecord(o.id, stored.content); id == "" {
		return "", state{}, nil
	}
	if st, ok, err := b.stateFromListing(ctx, o, id, &stored); ok || err != nil {
		return id, st, err
	}
	st, err = b.load(ctx, id)
	return id, st, err
}

// stateFromListing makes the state of an upload from its record and the listing. ok is
// false if these do not tell it.
func (b *bucket) stateFromListing(ctx context.Context, o *listedObjects, id string, stored *readObject) (st state, ok bool, err error) {
	key := b.recordKey(o.id)
	r, err := parseRecord(key, id, stored.content)
	if err != nil {
		return state{}, false, err
	}
	st = state{info: r.FileInfo, recordKey: key, etag: stored.etag}
	st.noteChange(later(o.Changed, stored.modified))
	isFull := o.HasData && st.isDataBesideRecord() && !st.info.SizeIsDeferred && o.DataSize == st.info.Size
	isV2 := r.S3 == nil || r.S3.TakenOver != nil
	if r.S3 != nil {
		st.layout = *r.S3
	}
	switch {
	case st.layout.Removed:
		return st, false, brokenRecord(key, "%w", errRemoving)
	case isFull, st.layout.ETag != "":
		st.hasObject = true
		st.info.Offset = st.info.Size
		return st, true, nil
	case isV2, o.Tails > 0, !sameETag(stored.etag, o.etag):
		return st, false, nil
	}
	err = b.setOffset(ctx, &st, !st.isDataBesideRecord())
	return st, err == nil, err
}

// describe returns what a listing tells of an upload.
func describe(id string, st *state) tusd.Listed {
	info := st.info
	listed := tusd.Listed{ID: id, Changed: info.Changed, Record: &info, Bytes: st.storedBytes(), Complete: tusd.Incomplete}
	if info.Complete() {
		listed.Complete = tusd.Complete
	}
	return listed
}

// storedBytes returns how many bytes are stored for the upload, without its record.
func (s *state) storedBytes() int64 {
	n := s.layout.end()
	if s.hasObject {
		n = s.info.Size
	}
	for _, p := range s.tailObjects {
		n += p.size
	}
	return n
}

// idInRecord returns the id in the record that is stored under the name of id: that id, or
// one of tusd v2. It returns "" if the record is of another program, or of no upload of
// this name. A record that is cut short counts.
func idInRecord(id string, stored []byte) string {
	var r struct{ ID string }
	if json.Unmarshal(stored, &r) != nil {
		if rest, ok := bytes.CutPrefix(stored, []byte(`{"ID":"`+id)); ok && len(rest) > 0 && (rest[0] == '"' || rest[0] == '+') {
			return id
		}
		return ""
	}
	object, _, isV2 := splitV2ID(r.ID)
	if r.ID == id || isV2 && object == id && tusd.ValidateID(r.ID) == nil {
		return r.ID
	}
	return ""
}
