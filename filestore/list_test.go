package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// listPage returns the ids of one page of a listing.
func listPage(t *testing.T, s *FileStore, filter tusd.ListFilter, cursor string, limit int) (ids []string, next string) {
	t.Helper()
	page, next, err := s.List(t.Context(), cursor, filter, limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, listed := range page {
		ids = append(ids, listed.ID)
	}
	return ids, next
}

func listAll(t *testing.T, s *FileStore, filter tusd.ListFilter, limit int) []string {
	t.Helper()
	var all []string
	for cursor := ""; ; {
		ids, next := listPage(t, s, filter, cursor, limit)
		if len(ids) > limit {
			t.Fatalf("a page has %d ids, the limit is %d", len(ids), limit)
		}
		all = append(all, ids...)
		if next == "" {
			return all
		}
		cursor = next
	}
}

// A listing has every upload once, also those in directories, and no other files.
func TestListWalksDirectories(t *testing.T) {
	s := openStore(t, None)
	var want []string
	for i := range 25 {
		for _, id := range []string{fmt.Sprintf("u%d", i), fmt.Sprintf("d/%d", i), fmt.Sprintf("d/e/%d", i), fmt.Sprintf("d-%d/x", i)} {
			createUpload(t, s, id, 1)
			want = append(want, id)
		}
	}
	writeFiles(t, s, map[string]string{"broken.info": "", ".info": "", "data": "", "x.part": "", ".tusd.d/side/a/x.info": ""})
	want = append(want, "broken")
	slices.Sort(want)
	for _, limit := range []int{1, 7, 1000} {
		if got := listAll(t, s, tusd.ListFilter{}, limit); !slices.Equal(got, want) {
			t.Errorf("limit %d: listed %q,\nwant %q", limit, got, want)
		}
	}
}

// A listing has uploads that are created behind its cursor, and continues after a restart.
func TestListCursor(t *testing.T) {
	s := openStore(t, None)
	for _, id := range []string{"a", "b", "c"} {
		createUpload(t, s, id, 1)
	}
	ids, next := listPage(t, s, tusd.ListFilter{}, "", 1)
	if !slices.Equal(ids, []string{"a"}) {
		t.Fatalf("first page: %q", ids)
	}
	s = reopen(t, s)
	createUpload(t, s, "bb", 1)
	ids, next = listPage(t, s, tusd.ListFilter{}, next, 10)
	if !slices.Equal(ids, []string{"b", "bb", "c"}) || next != "" {
		t.Errorf("second page: %q, next %q", ids, next)
	}
}

// A listing does not use what an older one has found, also if another listing has used the
// newer walk meanwhile.
func TestConcurrentListings(t *testing.T) {
	s := openStore(t, None)
	for _, id := range []string{"a", "b", "c", "e"} {
		createUpload(t, s, id, 1)
	}
	page := func(cursor string, want ...string) string {
		t.Helper()
		ids, next := listPage(t, s, tusd.ListFilter{}, cursor, len(want))
		if !slices.Equal(ids, want) {
			t.Errorf("behind %q: %q, want %q", cursor, ids, want)
		}
		return next
	}
	older := page("", "a")
	createUpload(t, s, "d", 1)
	newer := page("", "a", "b")
	older = page(older, "b")
	page(newer, "c", "d")
	page(older, "c") // the newer walk is used up
	page(newer, "c", "d", "e")
	createUpload(t, s, "0", 1)
	page("", "0")
	if _, _, err := s.List(t.Context(), "a -", tusd.ListFilter{}, 1); err == nil {
		t.Error("a cursor that no listing has made is accepted")
	}
}

// The ids of an older walk may be all that is kept behind an id.
func TestListingBesideOlderWalk(t *testing.T) {
	s := openStore(t, None)
	for _, id := range []string{"a", "b", "c", "e"} {
		createUpload(t, s, id, 1)
	}
	_, older := listPage(t, s, tusd.ListFilter{}, "", 1)
	createUpload(t, s, "d", 1)
	_, newer := listPage(t, s, tusd.ListFilter{}, "", 2)
	listPage(t, s, tusd.ListFilter{}, newer, 1) // uses what is kept for the newer listing
	listPage(t, s, tusd.ListFilter{}, older, 1) // keeps what the older one has found, in its place
	if ids, _ := listPage(t, s, tusd.ListFilter{}, newer, 2); !slices.Equal(ids, []string{"c", "d"}) {
		t.Errorf("the newer listing continues with %q", ids)
	}
}

// A listing continues behind an id: programs may have kept cursors of earlier versions.
func TestListBehindID(t *testing.T) {
	s := openStore(t, None)
	for _, id := range []string{"a", "b", "c"} {
		createUpload(t, s, id, 1)
	}
	if ids, next := listPage(t, s, tusd.ListFilter{}, "a", 10); !slices.Equal(ids, []string{"b", "c"}) || next != "" {
		t.Errorf("%q, next %q", ids, next)
	}
}

// changedBefore leaves out what has changed at that time or later.
func changedBefore(before time.Time) tusd.ListFilter {
	filter := tusd.ListFilter{Before: map[tusd.UploadClass]time.Time{}}
	for _, class := range tusd.AllClasses {
		filter.Before[class] = before
	}
	return filter
}

// A listing omits uploads whose record or data has changed after before.
func TestListBefore(t *testing.T) {
	s := openStore(t, None)
	old, cut := time.Now().Add(-2*time.Hour), time.Now().Add(-time.Hour)
	for _, id := range []string{"both-old", "data-new", "record-new"} {
		if _, err := createAt(t, s, id, "data/"+id); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"both-old.info", "data/both-old", "data-new.info", "data/record-new"} {
		if err := os.Chtimes(filepath.Join(s.Path, name), old, old); err != nil {
			t.Fatal(err)
		}
	}
	filter := changedBefore(cut)
	for _, limit := range []int{1, 10} {
		if got := listAll(t, s, filter, limit); !slices.Equal(got, []string{"both-old"}) {
			t.Errorf("limit %d: listed %q", limit, got)
		}
	}
}

// A listing tells the bytes and the last change of every layout of record and data, and
// has uploads that cannot be loaded, without a record.
func TestListedLayouts(t *testing.T) {
	s := openStore(t, None)
	createWithContent(t, s, "plain", 11, stored)
	if _, err := createAt(t, s, "chosen", "d/e/data"); err != nil {
		t.Fatal(err)
	}
	write(t, loadUpload(t, s, "chosen"), 0, stored)
	createWithContent(t, s, "x/y", int64(len(stored)), stored)
	writeFiles(t, s, map[string]string{
		"v2": stored, "v2.info": v2Record("v2", 11, "/gone/v2"),
		"v0.bin": stored, "v0.info": `{"ID":"v0","Size":11,"Offset":3,"MetaData":{}}`,
		"missing.info": v2Record("missing", 11, "missing"),
		"broken":       stored, "broken.info": `{"ID":"bro`,
		"newer": stored, "newer.info": `{"ID":"newer","Size":11,"Version":1000}`,
		"too-long": stored, "too-long.info": v2Record("too-long", 3, "too-long"),
	})
	want := map[string]struct {
		data     string
		bytes    int64
		complete tusd.Completeness
		unread   bool
	}{
		"plain":    {data: "plain", bytes: 6, complete: tusd.Incomplete},
		"chosen":   {data: "d/e/data", bytes: 6, complete: tusd.Incomplete},
		"x/y":      {data: "x/y", bytes: 6, complete: tusd.Complete},
		"v2":       {data: "v2", bytes: 6, complete: tusd.Incomplete},
		"v0":       {data: "v0.bin", bytes: 6, complete: tusd.Incomplete},
		"missing":  {bytes: -1, unread: true},
		"broken":   {data: "broken", bytes: 6, unread: true},
		"newer":    {data: "newer", bytes: 6, unread: true},
		"too-long": {data: "too-long", bytes: 6, unread: true},
	}
	recordTime, dataTime := time.Unix(1e9, 0), time.Unix(2e9, 0)
	for id, w := range want {
		setTime(t, s, id+".info", recordTime)
		if w.data != "" {
			setTime(t, s, w.data, dataTime)
		}
	}
	page, _, err := s.List(t.Context(), "", tusd.ListFilter{}, 100)
	if err != nil || len(page) != len(want) {
		t.Fatalf("%d uploads are listed, want %d: %v", len(page), len(want), err)
	}
	for _, listed := range page {
		w, changed := want[listed.ID], dataTime
		if w.data == "" {
			changed = recordTime
		}
		if listed.Bytes != w.bytes || listed.Complete != w.complete || !listed.Changed.Equal(changed) || (listed.Record == nil) != w.unread {
			t.Errorf("%s: %+v, want %+v, changed at %v", listed.ID, listed, w, changed)
		}
		if r := listed.Record; r != nil && (r.ID != listed.ID || r.Offset != w.bytes || !r.Changed.Equal(changed)) {
			t.Errorf("%s: the record is %+v", listed.ID, *r)
		}
	}
	setTime(t, s, "plain.info", dataTime.Add(time.Hour))
	page, _, err = s.List(t.Context(), "newer", tusd.ListFilter{}, 1)
	if err != nil || page[0].ID != "plain" || !page[0].Changed.Equal(dataTime.Add(time.Hour)) {
		t.Errorf("after a change of the record: %+v, %v", page, err)
	}
}

// setTime sets the time of the last change of a file.
func setTime(t *testing.T, s *FileStore, name string, to time.Time) {
	t.Helper()
	if err := os.Chtimes(filepath.Join(s.Path, name), to, to); err != nil {
		t.Fatal(err)
	}
}

// An undo record of a chunk that failed hides the bytes of the chunk in a listing, too.
func TestListedUndo(t *testing.T) {
	s := openStore(t, None)
	createWithContent(t, s, "a", 11, stored+added)
	s = reopen(t, s)
	writeFiles(t, s, map[string]string{"a.undo": `{"Offset":6,"Created":"0001-01-01T00:00:00Z"}`})
	page, _, err := s.List(t.Context(), "", tusd.ListFilter{}, 1)
	if err != nil || page[0].Bytes != 6 || page[0].Complete != tusd.Incomplete {
		t.Errorf("listed as %+v, %v", page, err)
	}
	wantFiles(t, s, "a", "a.info", "a.undo")
}

// The lost+found of a file system does not end a listing. Any other directory that may not be read
// ends it, since uploads in it would be left out. Tidy reports such a directory.
func TestListWithLostAndFound(t *testing.T) {
	s := New(t.TempDir())
	forbidden := map[string]bool{"lost+found": true}
	s.hook = func(op durable.Op, name string, done bool) error {
		if op == durable.OpOpen && forbidden[name] {
			return &fs.PathError{Op: "open", Path: name, Err: fs.ErrPermission}
		}
		return nil
	}
	s = reopen(t, s)
	createUpload(t, s, "a", 1)
	createUpload(t, s, "z/a", 1)
	writeFiles(t, s, map[string]string{"lost+found/#1": "x"})
	if got := listAll(t, s, tusd.ListFilter{}, 10); !slices.Equal(got, []string{"a", "z/a"}) {
		t.Errorf("listed %q", got)
	}
	forbidden["z"] = true
	if _, _, err := s.List(t.Context(), "", tusd.ListFilter{}, 10); !errors.Is(err, fs.ErrPermission) || !strings.Contains(err.Error(), "open z:") {
		t.Errorf("with an unreadable directory of uploads the listing gives %v", err)
	}
	writeFiles(t, s, map[string]string{"gone.undo": undoContent, serverID: "", "z/lonely": "x"})
	want := []string{`broken z "" stays`, "data " + serverID + ` "" stays`, `undo gone.undo "gone" removed`}
	if got := tidyAll(t, s, time.Now().Add(time.Hour)); !slices.Equal(got, want) {
		t.Errorf("Tidy with an unreadable directory: %q, want %q", got, want)
	}
	forbidden["."] = true
	if err := s.Tidy(t.Context(), tusd.Tidying{}); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("Tidy in an unreadable directory: %v", err)
	}
}

// A listing, and a load that a sweep does, leave the caches as they are.
func TestListingLeavesCaches(t *testing.T) {
	s := openStore(t, None)
	for _, id := range []string{"a", "b", "c"} {
		createWithContent(t, s, id, 6, stored)
	}
	s = reopen(t, s)
	cache := s.opened.Load().uploads
	for _, id := range []string{"b", "a"} {
		loadUpload(t, s, id)
	}
	content := func() (ids []string) {
		for i := cache.uses[0].newer; i != 0; i = cache.uses[i].newer {
			u := cache.entries[i]
			ids = append(ids, fmt.Sprintf("%s %t %d", u.id, u.record != nil, u.state.change))
		}
		return append(ids, cache.completed[:cache.nextCompleted]...)
	}
	before := content()
	if len(before) != 4 {
		t.Fatalf("cached: %q", before)
	}
	listAll(t, s, tusd.ListFilter{}, 10)
	once := loadedOnce(t)
	for _, id := range []string{"b", "c"} {
		for _, lease := range []tusd.Lease{nil, lockID(t, id)} {
			up, err := s.GetUpload(once, lease, id)
			if err != nil || offsetOf(t, up) != 6 {
				t.Errorf("%s is loaded with %v", id, err)
			}
		}
	}
	if after := content(); !slices.Equal(after, before) {
		t.Errorf("cached: %q, before %q", after, before)
	}
	if err := s.Terminate(once, lockID(t, "c"), "c"); err != nil || len(cache.index) != 2 {
		t.Errorf("after the removal of another upload, %v: cached: %q", err, content())
	}
}

// An upload that was loaded once can be written.
func TestLoadedOnceIsComplete(t *testing.T) {
	s := openStore(t, Ack)
	createWithContent(t, s, "a", 11, stored+added[:2])
	s = reopen(t, s)
	writeFiles(t, s, map[string]string{"a.undo": `{"Offset":6,"Created":"0001-01-01T00:00:00Z"}`})
	up, err := s.GetUpload(loadedOnce(t), lockID(t, "a"), "a")
	if err != nil {
		t.Fatal(err)
	}
	wantFiles(t, s, "a", "a.info")
	write(t, up, 6, added)
	wantContent(t, s, "a", stored+added)
}

// loadedOnce returns a context as that of a sweep.
func loadedOnce(t *testing.T) context.Context {
	t.Helper()
	var ctx context.Context
	c := tusd.NewStoreComposer()
	s := New(t.TempDir())
	t.Cleanup(func() { s.Close() })
	s.UseIn(c)
	c.Lister = listerFunc(func(sweep context.Context) { ctx = context.WithoutCancel(sweep) })
	h, err := tusd.NewHandler(tusd.Config{StoreComposer: c})
	if err != nil {
		t.Fatal(err)
	}
	_, err = h.Sweep(t.Context(), tusd.SweepPolicy{Ages: map[tusd.UploadClass]time.Duration{tusd.ClassComplete: 48 * time.Hour}})
	if err != nil || !tusd.LoadedOnce(ctx) {
		t.Fatalf("the sweep: %v", err)
	}
	if err := h.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	return ctx
}

type listerFunc func(context.Context)

func (f listerFunc) List(ctx context.Context, _ string, _ tusd.ListFilter, _ int) ([]tusd.Listed, string, error) {
	f(ctx)
	return nil, "", nil
}
