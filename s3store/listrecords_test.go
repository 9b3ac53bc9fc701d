package s3store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

// inventory is a bucket and a store on it.
type inventory struct {
	*testing.T
	server *s3server.Server
	store  *s3store.Store
	locker tusd.LocalLocker
}

func newInventory(t *testing.T, configure func(*s3store.Store)) *inventory {
	t.Helper()
	v := &inventory{T: t}
	v.server = s3server.Start(t, s3server.Options{Quirks: s3server.Quirks{MinPart: testMinPart}})
	v.store = testStore(v.server.Bucket(), clientOf(t, v.server))
	configure(v.store)
	v.open(v.store)
	return v
}

func (v *inventory) open(store *s3store.Store) {
	v.Helper()
	if err := store.Open(v.Context(), tusd.Env{Locker: &v.locker}); err != nil {
		v.Fatal(err)
	}
}

// lock returns a lease, which ends with the returned function.
func (v *inventory) lock(id string) (tusd.Lease, func()) {
	v.Helper()
	lease, err := v.locker.Lock(v.Context(), id, tusd.LockTry)
	if err != nil {
		v.Fatal(err)
	}
	return lease, func() { lease.Unlock(context.WithoutCancel(v.Context())) }
}

// upload creates an upload and stores bytes of it; if it is full then, it is finished.
func (v *inventory) upload(info tusd.FileInfo, bytes int64) {
	v.Helper()
	lease, release := v.lock(info.ID)
	defer release()
	u, err := v.store.NewUpload(v.Context(), lease, info)
	if err == nil && bytes > 0 {
		_, err = u.WriteChunk(v.Context(), 0, storetest.ContentReader(info.ID, 0, bytes))
	}
	if err == nil && bytes == info.Size {
		err = u.FinishUpload(v.Context())
	}
	if err != nil {
		v.Fatal(err)
	}
}

// update changes the record of an upload.
func (v *inventory) update(id string, change func(*tusd.FileInfo)) {
	v.Helper()
	lease, release := v.lock(id)
	defer release()
	u, err := v.store.GetUpload(v.Context(), lease, id)
	if err == nil {
		err = u.UpdateInfo(v.Context(), func(info *tusd.FileInfo) error { change(info); return nil })
	}
	if err != nil {
		v.Fatal(err)
	}
}

// calls returns how often an operation was called since the last Recount.
func (v *inventory) calls(operation s3server.Operation) int {
	return v.server.Counts()[operation].Calls
}

// A sweep reads only the records of uploads that may be old enough for their class.
func TestListingReadsOnlyCandidates(t *testing.T) {
	require.LongWithoutRace(t)
	t.Parallel()
	const complete, unfinished, old = 1200, 40, 5
	v := newInventory(t, func(*s3store.Store) {})
	for i := range complete { // in one call each; the hint of their records says nothing about completion
		v.upload(tusd.FileInfo{ID: fmt.Sprintf("complete-%04d", i), Size: 10}, 10)
	}
	for i := range old {
		v.upload(tusd.FileInfo{ID: fmt.Sprintf("old-%d", i), Size: 10}, 0)
		v.upload(tusd.FileInfo{ID: fmt.Sprintf("old-part-%d", i), Size: 10 * testMinPart}, testMinPart)
		v.upload(tusd.FileInfo{ID: fmt.Sprintf("partial-%d", i), Size: 10, IsPartial: true}, 0)
	}
	v.server.Age(48 * time.Hour)
	for i := range unfinished {
		v.upload(tusd.FileInfo{ID: fmt.Sprintf("young-%02d", i), Size: 10}, 5)
	}
	day := time.Now().Add(-24 * time.Hour)
	filter := tusd.ListFilter{Before: map[tusd.UploadClass]time.Time{tusd.ClassNeverStarted: day, tusd.ClassUnfinished: day}}
	paced := atomic.Int64{}
	filter.Pace = func(ctx context.Context) error { paced.Add(1); return nil }
	v.server.Recount()
	got := idsOf(listPages(t, v.store, filter, 1000))
	if len(got) != 2*old || slices.ContainsFunc(got, func(id string) bool { return !strings.HasPrefix(id, "old-") }) {
		t.Errorf("listed are %q", got)
	}
	objects := len(v.server.Objects())
	if pages := v.calls(s3server.ListObjectsV2); pages > objects/1000+1 {
		t.Errorf("%d listings of %d objects", pages, objects)
	}
	if reads := v.server.Counts().Total().Calls - v.calls(s3server.ListObjectsV2); reads != 2*old || paced.Load() != 2*old {
		t.Errorf("%d calls to read records, %d of them paced, want %d: %v", reads, paced.Load(), 2*old, v.server.Counts())
	}
	v.server.Recount()
	filter.Before = map[tusd.UploadClass]time.Time{tusd.ClassPartial: day}
	if got := idsOf(listPages(t, v.store, filter, 3)); len(got) != old || !strings.HasPrefix(got[0], "partial-") {
		t.Errorf("listed are %q", got)
	}
	if reads := v.calls(s3server.GetObject); reads != old {
		t.Errorf("%d records were read, want %d", reads, old)
	}
}

// A listing tells the same as a load, however an upload is stored.
func TestListingAgreesWithLoad(t *testing.T) {
	const large = 5 * testMinPart
	for _, key := range []string{"", "data/{id}/{filename}"} {
		v := newInventory(t, func(s *s3store.Store) { s.Key = key })
		want := map[string]tusd.Completeness{}
		add := func(id string, complete tusd.Completeness, info tusd.FileInfo, bytes int64) {
			info.ID = id
			v.upload(info, bytes)
			want[id] = complete
		}
		add("empty", tusd.Complete, tusd.FileInfo{}, 0)
		add("new", tusd.Incomplete, tusd.FileInfo{Size: 10}, 0)
		add("tail", tusd.Incomplete, tusd.FileInfo{Size: 10}, 5)
		add("small", tusd.Complete, tusd.FileInfo{Size: 10}, 10)
		add("parts", tusd.Incomplete, tusd.FileInfo{Size: large}, 2*testMinPart)
		add("parts-and-tail", tusd.Incomplete, tusd.FileInfo{Size: large}, 2*testMinPart+10)
		add("large", tusd.Complete, tusd.FileInfo{Size: large}, large)
		add("deferred", tusd.Incomplete, tusd.FileInfo{SizeIsDeferred: true}, 5)
		add("partial", tusd.Complete, tusd.FileInfo{Size: 10, IsPartial: true}, 10)
		add("dir/elsewhere", tusd.Complete, tusd.FileInfo{Size: 10, Storage: map[string]string{"Key": "chosen/place"}}, 10)
		add("asked", tusd.Incomplete, tusd.FileInfo{Size: 10, State: tusd.StateUploading}, 10)
		add("agreed", tusd.Complete, tusd.FileInfo{Size: 10}, 10)
		v.update("agreed", func(info *tusd.FileInfo) { info.State = tusd.StateComplete })
		add("failed", tusd.Incomplete, tusd.FileInfo{Size: 10}, 5)
		v.update("failed", func(info *tusd.FileInfo) { info.State = tusd.StateFailed })
		reopened := testStore(v.server.Bucket(), clientOf(t, v.server))
		reopened.Key = key
		v.open(reopened)
		later := time.Now().Add(time.Hour)
		for _, listed := range listPages(t, v.store, tusd.ListFilter{}, 100) {
			complete, ok := want[listed.ID]
			delete(want, listed.ID)
			u, err := reopened.GetUpload(t.Context(), nil, listed.ID)
			if !ok || err != nil {
				t.Errorf("%s is listed, and loaded with error %v", listed.ID, err)
				continue
			}
			info, _ := u.GetInfo(t.Context())
			if listed.Record == nil || listed.Record.Offset != info.Offset || listed.Complete != complete || listed.Bytes != info.Offset {
				t.Errorf("%q: listed is %+v, %+v, the offset is %d", listed.ID, listed, listed.Record, info.Offset)
				continue
			}
			if !listed.Changed.Equal(info.Changed) || !listed.Record.Changed.Equal(info.Changed) || info.Changed.IsZero() {
				t.Errorf("%s: listed is %v, %v, loaded %v", listed.ID, listed.Changed, listed.Record.Changed, info.Changed)
			}
			only := tusd.ListFilter{Before: map[tusd.UploadClass]time.Time{info.Class(): later}}
			if !slices.Contains(idsOf(listPages(t, v.store, only, 100)), listed.ID) {
				t.Errorf("%s of class %s is not listed by its class", listed.ID, info.Class())
			}
		}
		if len(want) > 0 {
			t.Errorf("not listed: %v", want)
		}
	}
}

// A record without a hint is read, and decides.
func TestListingWithoutHint(t *testing.T) {
	v := newInventory(t, func(*s3store.Store) {})
	v.upload(tusd.FileInfo{ID: "complete", Size: 10}, 10)
	v.upload(tusd.FileInfo{ID: "partial", Size: 10, IsPartial: true}, 5)
	var reads atomic.Int64
	for _, id := range []string{"complete", "partial"} {
		v.server.Put(id+".info", bytes.TrimRight(mustObject(v, id+".info"), " "))
	}
	for class, want := range map[tusd.UploadClass][]string{
		tusd.ClassUnfinished: nil, tusd.ClassComplete: {"complete"}, tusd.ClassPartial: {"partial"},
	} {
		filter := tusd.ListFilter{Before: map[tusd.UploadClass]time.Time{class: time.Now().Add(time.Hour)}}
		filter.Pace = func(context.Context) error {
			if class == tusd.ClassUnfinished {
				reads.Add(1)
			}
			return nil
		}
		if got := idsOf(listPages(t, v.store, filter, 10)); !slices.Equal(got, want) {
			t.Errorf("of class %s are %q, want %q", class, got, want)
		}
	}
	if reads.Load() != 1 {
		t.Errorf("%d records were read, want only the one without data", reads.Load())
	}
}

// Uploads of tusd v2 are listed under ids with which they can be opened.
func TestListingOfV2(t *testing.T) {
	for name, step := range map[string]func(*v2Upload){
		"begun":    func(f *v2Upload) { f.part(1, 0, 50_000); f.tail(50_000, 50_010) },
		"complete": func(f *v2Upload) { f.part(1, 0, 100_000); f.complete() },
	} {
		f := newV2Upload(t, 100_000)
		step(f)
		store := testStore(f.server.Bucket(), f.client)
		if err := store.Open(t.Context(), tusd.Env{Locker: new(tusd.LocalLocker)}); err != nil {
			t.Fatal(err)
		}
		uploads := listPages(t, store, changedBefore(time.Now().Add(time.Hour)), 10)
		if len(uploads) != 1 || uploads[0].ID != f.id {
			t.Errorf("%s: listed are %q, want %s", name, idsOf(uploads), f.id)
			continue
		}
		if complete := uploads[0].Complete == tusd.Complete; complete != (name == "complete") {
			t.Errorf("%s: listed as %v", name, uploads[0].Complete)
		}
		if _, err := store.GetUpload(t.Context(), nil, uploads[0].ID); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// What is no upload is not listed, and a record that cannot be read is.
func TestListingOfForeignRecords(t *testing.T) {
	v := newInventory(t, func(*s3store.Store) {})
	v.upload(tusd.FileInfo{ID: "ours", Size: 10}, 5)
	v.server.Put("foreign.info", []byte("a text about foreign"))
	v.server.Put("other.info", []byte(`{"ID":"another","Size":3}`))
	v.server.Put("empty.info", nil)
	v.server.Put("cut.info", []byte(`{"ID":"cut","Size":1`))
	v.server.Put("newer.info", []byte(`{"ID":"newer","Version":99}`))
	var got []string
	for _, listed := range listPages(t, v.store, tusd.ListFilter{}, 10) {
		if got = append(got, listed.ID); (listed.Record == nil) != (listed.ID != "ours") {
			t.Errorf("%s is listed with the record %v", listed.ID, listed.Record)
		}
	}
	if want := []string{"cut", "newer", "ours"}; !slices.Equal(got, want) {
		t.Errorf("listed are %q, want %q", got, want)
	}
}

// A pace that ends ends the listing.
func TestListingEndsWithPace(t *testing.T) {
	v := newInventory(t, func(*s3store.Store) {})
	v.upload(tusd.FileInfo{ID: "a", Size: 10}, 5)
	ended := errors.New("ended")
	filter := tusd.ListFilter{Pace: func(context.Context) error { return ended }}
	if uploads, _, err := v.store.List(t.Context(), "", filter, 10); len(uploads) > 0 || !errors.Is(err, ended) {
		t.Errorf("listed are %v, %v", uploads, err)
	}
}

// A record of another version may by chance have the size of any hint. It is never left out
// for that.
func TestListingOfV2WithHintOfRemoval(t *testing.T) {
	f := newV2Upload(t, 100_000)
	f.part(1, 0, 100_000)
	f.complete()
	record, _ := f.server.Object(v2Object + ".info")
	f.server.Put(v2Object+".info", append(record.Bytes(), bytes.Repeat([]byte(" "), 1030-len(record.Bytes()))...)) // 4*256+6
	store := testStore(f.server.Bucket(), f.client)
	if err := store.Open(t.Context(), tusd.Env{Locker: new(tusd.LocalLocker)}); err != nil {
		t.Fatal(err)
	}
	for _, filter := range []tusd.ListFilter{{}, {Before: map[tusd.UploadClass]time.Time{tusd.ClassComplete: time.Now().Add(time.Hour)}}} {
		if got := idsOf(listPages(t, store, filter, 10)); !slices.Equal(got, []string{f.id}) {
			t.Errorf("listed are %q, want %s", got, f.id)
		}
	}
}
