package s3store

import (
	"context"
	"errors"
	"time"

	"github.com/tus/tusd"
)

// Tidy implements tusd.Tidier. It goes through the bucket's listing and reads only what may
// be a leftover or have one: records beside tail objects, records that this version has not stored, and
// those of uploads that are being removed. It removes
//
//   - tail objects whose bytes are in a recorded part, or whose record is gone,
//   - what is left of an upload whose removal was interrupted,
//   - with SweepMultipart, multipart uploads that no record names.
//
// Nothing below another prefix is touched, and no object of another program: its records and
// data are reported, as far as the listing tells that they are in the place of ours. Without
// SweepMultipart the multipart uploads are only counted.
func (s *Store) Tidy(ctx context.Context, t tusd.Tidying) error {
	b, err := s.bucket()
	if err != nil {
		return err
	}
	y := &tidying{b: b, Tidying: t, sweepsMultipart: s.SweepMultipart}
	if err := y.objects(ctx); err != nil {
		return wrapError("tidy", "bucket "+b.name, err)
	}
	return wrapError("tidy", "multipart uploads of bucket "+b.name, y.multiparts(ctx))
}

// tidying is one call of Tidy. Its methods return an error only if Tidy must end.
type tidying struct {
	b *bucket
	tusd.Tidying
	sweepsMultipart bool
}

// objects looks at all objects.
func (y *tidying) objects(ctx context.Context) error {
	w, err := y.b.walkFrom("")
	if err != nil {
		return err
	}
	for {
		o, ok, err := w.next(ctx)
		if err != nil || !ok {
			return err
		}
		if !o.Changed.Before(y.Before) {
			continue
		}
		if err := y.look(ctx, &o); err != nil {
			return err
		}
	}
}

func (y *tidying) look(ctx context.Context, o *listedObjects) error {
	hint := o.hint()
	switch {
	case o.hasRecord && (o.Tails > 0 || hint == hintRemoving || hint == hintNone && !o.HasData):
		return y.record(ctx, o)
	case o.hasRecord:
		return nil
	case o.Tails > 0:
		if err := y.tails(ctx, o.id); err != nil {
			return err
		}
	}
	if o.HasData && isRandomID(o.id) {
		return y.data(ctx, o)
	}
	return nil
}

// record looks at a record, and at the tail objects beside it.
func (y *tidying) record(ctx context.Context, o *listedObjects) error {
	if err := y.Pace(ctx); err != nil {
		return err
	}
	found := tusd.Leftover{Name: y.b.recordKey(o.id), Upload: o.id, Bytes: o.size, Changed: o.Changed}
	mayHaveTails := false
	id, r, err := y.b.readRecordNamed(ctx, o.id)
	switch {
	case err == nil && id == "":
		found.Kind, found.Upload = tusd.LeftoverForeign, ""
		found.Err = errors.New("it is no record of an upload of this name")
		return y.report(ctx, found)
	case err == nil && r.S3 != nil && r.S3.Removed:
		return y.unfinishedRemoval(ctx, id, found)
	case err == nil && o.Tails > 0:
		mayHaveTails, err = y.b.mayHaveUselessTails(ctx, o, &r)
	}
	switch {
	case err == nil && mayHaveTails:
		return y.tails(ctx, id)
	case err == nil, isMissing(err), isRemoved(err):
		return nil
	case !isUnreadable(err):
		return err
	}
	found.Kind, found.Err = tusd.LeftoverBroken, err
	return y.report(ctx, found)
}

// mayHaveUselessTails reports whether the upload of a record may have tail objects that it
// does not need, as far as the record and the listing tell.
func (b *bucket) mayHaveUselessTails(ctx context.Context, o *listedObjects, r *record) (bool, error) {
	if r.S3 == nil {
		return true, nil
	}
	st := state{info: r.FileInfo, layout: *r.S3, recordKey: b.recordKey(o.id)}
	err := b.setOffset(ctx, &st, !st.isDataBesideRecord() || o.HasData)
	return st.hasObject || o.TailEnd <= st.layout.end(), err
}

// readRecordNamed reads the record that is stored under the name of an id. id is that in the
// record, also with an error if it is known; "": the record is of another program.
func (b *bucket) readRecordNamed(ctx context.Context, name string) (id string, r record, err error) {
	key := b.recordKey(name)
	stored, err := b.readSmall(ctx, key, maxRecord)
	if err != nil {
		return name, record{}, err
	}
	if id = idInRecord(name, stored.content); id == "" {
		return "", record{}, nil
	}
	r, err = parseRecord(key, id, stored.content)
	return id, r, err
}

// unfinishedRemoval removes what an interrupted removal of an upload has left.
func (y *tidying) unfinishedRemoval(ctx context.Context, id string, found tusd.Leftover) error {
	found.Kind, found.Upload, found.Removed = tusd.LeftoverBroken, id, true
	return y.removeUnderLock(ctx, id, []tusd.Leftover{found}, func(ctx context.Context) ([]tusd.Leftover, error) {
		st, err := y.b.loadAny(ctx, id)
		if isRemoved(err) || err == nil && !(st.layout.Removed && st.info.Changed.Before(y.Before)) {
			return nil, nil
		}
		if err == nil {
			err = y.b.terminate(ctx, id)
		}
		return []tusd.Leftover{found}, err
	})
}

// tails removes those tail objects of an upload that it does not need.
func (y *tidying) tails(ctx context.Context, id string) error {
	if err := y.Pace(ctx); err != nil {
		return err
	}
	found, err := y.uselessTails(ctx, id)
	if err != nil {
		return y.report(ctx, tusd.Leftover{Kind: tusd.LeftoverTail, Name: y.b.tailKey(id, 0), Upload: id, Err: err})
	}
	if len(found) == 0 {
		return nil
	}
	return y.removeUnderLock(ctx, id, found, func(ctx context.Context) ([]tusd.Leftover, error) {
		found, err := y.uselessTails(ctx, id)
		if err != nil {
			return nil, err
		}
		keys := make([]string, len(found))
		for i := range found {
			keys[i] = found[i].Name
		}
		return found, y.b.remove(ctx, keys...)
	})
}

// uselessTails returns those tail objects of an upload that it does not need, if nothing of
// it has changed lately: a request that began long ago stores its record again and again,
// and may still need them to rewind.
func (y *tidying) uselessTails(ctx context.Context, id string) (found []tusd.Leftover, err error) {
	var tails []tailObject
	var changed time.Time
	st, err := y.b.load(ctx, id)
	switch {
	case err == nil:
		tails, changed = st.tailsInParts(), st.info.Changed
	case errors.Is(err, tusd.ErrBroken):
		return nil, nil // the record is reported
	case errors.Is(err, tusd.ErrNotFound):
		if tails, changed, err = y.b.tailsWithoutRecord(ctx, id); err != nil {
			return nil, err
		}
	default:
		return nil, err
	}
	if !changed.Before(y.Before) {
		return nil, nil
	}
	for _, p := range tails {
		found = append(found, tusd.Leftover{Kind: tusd.LeftoverTail, Name: p.key, Upload: id, Bytes: p.size, Changed: changed, Removed: true})
	}
	return found, nil
}

// tailsWithoutRecord returns the tail objects of an id if listings, too, say that it has no
// record: a proxy may have answered.
func (b *bucket) tailsWithoutRecord(ctx context.Context, id string) (tails []tailObject, changed time.Time, err error) {
	found, err := b.listUpload(ctx, id)
	if err != nil || found.record != "" {
		return nil, changed, err
	}
	if object, _, ok := splitV2ID(id); ok { // the record has the name of the object
		if ofV2, err := b.listUpload(ctx, object); err != nil || ofV2.record != "" {
			return nil, changed, err
		}
	}
	tails, err = b.ownTails(ctx, found.tailObjects)
	return tails, found.changed, err
}

// tailsInParts returns the tail objects whose bytes are in a recorded part or in the data
// object.
func (s *state) tailsInParts() (tails []tailObject) {
	for _, p := range s.tailObjects {
		if s.hasObject || p.start >= 0 && p.end() <= s.layout.end() {
			tails = append(tails, p)
		}
	}
	return tails
}

// ownTails returns those objects that this program has stored: they have a proof.
func (b *bucket) ownTails(ctx context.Context, tails []tailObject) (own []tailObject, err error) {
	for _, p := range tails {
		o, err := b.head(ctx, p.key)
		if err != nil && !isMissing(err) {
			return nil, err
		}
		if err == nil && o.Attributes.Metadata[proofName] != "" {
			own = append(own, p)
		}
	}
	return own, nil
}

var errNoRecord = errors.New("no record has its name, but one may name it: a key that a callback has chosen looks the same")

// data reports a data object without a record.
func (y *tidying) data(ctx context.Context, o *listedObjects) error {
	if err := y.Pace(ctx); err != nil {
		return err
	}
	return y.report(ctx, tusd.Leftover{
		Kind: tusd.LeftoverData, Name: y.b.prefix + o.id, Upload: o.id, Bytes: o.DataSize, Changed: o.Changed, Err: errNoRecord,
	})
}

// removeUnderLock calls remove with the lock of the upload id, and reports what it returns.
// remove looks again and removes what no upload needs. If the id is locked, nothing is done.
// In a dry run found, which was seen without the lock, is reported instead.
func (y *tidying) removeUnderLock(ctx context.Context, id string, found []tusd.Leftover, remove func(context.Context) ([]tusd.Leftover, error)) error {
	if y.DryRun {
		for _, l := range found {
			y.Report(l)
		}
		return nil
	}
	lease, err := y.Lock(ctx, id)
	if errors.Is(err, tusd.ErrUploadLocked) {
		return nil
	}
	if errors.Is(err, tusd.ErrLockServiceUnavailable) {
		return err // so would the other leftovers
	}
	var removed []tusd.Leftover
	if err == nil {
		removed, err = y.underLease(ctx, lease, id, remove)
	}
	if err != nil && len(removed) == 0 {
		removed = found
	}
	for _, l := range removed {
		if err != nil {
			l.Removed, l.Err = false, err
		}
		if err := y.report(ctx, l); err != nil {
			return err
		}
	}
	return nil
}

// underLease calls remove with a context that ends with the lease, and then gives back the
// lock.
func (y *tidying) underLease(ctx context.Context, lease tusd.Lease, id string, remove func(context.Context) ([]tusd.Leftover, error)) ([]tusd.Leftover, error) {
	defer func() {
		if err := lease.Unlock(context.WithoutCancel(ctx)); err != nil {
			y.b.log.Warn("cannot give back a lock", "id", id, "err", err)
		}
	}()
	u := &upload{b: y.b, id: id, lease: lease}
	if err := u.checkLease(ctx); err != nil {
		return nil, err
	}
	leased, stop := u.underLease(ctx)
	defer stop()
	y.b.cache.invalidate(id)
	return remove(leased)
}

// report reports a leftover, unless its error is the end of ctx.
func (y *tidying) report(ctx context.Context, l tusd.Leftover) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	y.Report(l)
	return nil
}
