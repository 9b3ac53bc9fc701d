package storetest

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/tus/tusd"
)

var listCases = []testCase{
	{"list/all", "Lister.List: up to limit", List, listAll},
	{"list/pages", "Lister.List: cursor (", List, listPages},
	{"list/empty", "Lister.List: next", List, listEmpty},
	{"list/while-changing", "Lister.List: exactly once", List, listWhileChanging},
	{"list/two-listings", "Lister.List: Several listings", List, listTwice},
	{"list/loadable", "Lister.List: GetUpload finds it", List, listLoadable},
	{"list/unreadable", "Lister.List: GetUpload finds it", List, listUnreadable},
	{"list/classes", "Lister.List: without those that filter leaves", List, listClasses},
	{"list/before", "Lister.List: without those that filter leaves", List, listBefore},
	{"list/unusual-ids", "Lister.List: up to limit", List, listUnusualIDs},
}

// list returns the ids of all pages of at most limit ids. It calls between after each
// page.
func (e *env) list(filter tusd.ListFilter, limit int, between func(page int)) (ids []string) {
	e.Helper()
	for _, listed := range e.listing(filter, limit, between) {
		ids = append(ids, listed.ID)
	}
	return ids
}

// listing is list and returns all that the listing tells.
func (e *env) listing(filter tusd.ListFilter, limit int, between func(page int)) []tusd.Listed {
	e.Helper()
	var all []tusd.Listed
	cursor := ""
	for page := 1; page < 1000; page++ {
		found, next, err := e.composer.Lister.List(e.Context(), cursor, filter, limit)
		e.must(err)
		if len(found) > limit {
			e.Errorf("page %d has %d uploads, the limit is %d", page, len(found), limit)
		}
		all = append(all, found...)
		if next == "" {
			return all
		}
		cursor = next
		between(page)
	}
	e.Fatal("the listing does not end")
	return nil
}

func noChange(int) {}

// changedBefore leaves out what has changed at that time or later.
func changedBefore(before time.Time) tusd.ListFilter {
	filter := tusd.ListFilter{Before: map[tusd.UploadClass]time.Time{}}
	for _, class := range tusd.AllClasses {
		filter.Before[class] = before
	}
	return filter
}

// wantListed checks that got has each of want once, and nothing else.
func (e *env) wantListed(got []string, want ...string) {
	e.Helper()
	got = slices.Sorted(slices.Values(got))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		e.Errorf("listed are %q, want %q", got, want)
	}
}

func listAll(e *env) {
	e.create("fresh", 10)
	e.write(e.create("half", 10), "half", 0, 5)
	e.createComplete("complete", 10)
	e.createDeferred("deferred")
	want := []string{"fresh", "half", "complete", "deferred"}
	e.wantListed(e.list(tusd.ListFilter{}, 100, noChange), want...)
	e.reopen()
	e.wantListed(e.list(tusd.ListFilter{}, 100, noChange), want...)
}

func listPages(e *env) {
	var want []string
	for i := range 7 {
		id := fmt.Sprintf("upload-%d", i)
		e.create(id, 10)
		want = append(want, id)
	}
	for limit := 1; limit <= 8; limit++ {
		e.wantListed(e.list(tusd.ListFilter{}, limit, noChange), want...)
	}
	e.wantListed(e.list(tusd.ListFilter{}, 2, func(int) { e.reopen() }), want...)
}

func listEmpty(e *env) {
	uploads, next, err := e.composer.Lister.List(e.Context(), "", tusd.ListFilter{}, 10)
	if len(uploads) != 0 || next != "" || err != nil {
		e.Errorf("an empty store lists %v, cursor %q, error %v", uploads, next, err)
	}
}

func listWhileChanging(e *env) {
	var stay []string
	for i := range 8 {
		id := fmt.Sprintf("m-stays-%d", i)
		e.create(id, 100)
		stay = append(stay, id)
	}
	got := e.list(tusd.ListFilter{}, 2, func(page int) {
		e.create(fmt.Sprintf("a-new-%d", page), 1)
		e.create(fmt.Sprintf("z-new-%d", page), 1)
		if e.composer.Terminater != nil && page > 1 {
			e.terminate(fmt.Sprintf("a-new-%d", page-1))
		}
		e.write(e.load(stay[0]), stay[0], int64(page-1), int64(page))
	})
	count := make(map[string]int)
	for _, id := range got {
		count[id]++
	}
	for _, id := range stay {
		if count[id] != 1 {
			e.Errorf("%s existed all the time and appears %d times", id, count[id])
		}
	}
}

func listBefore(e *env) {
	e.createComplete("old", 10)
	e.create("old-written", 10)
	e.create("old-updated", 10)
	e.waitSettleTime()
	before := time.Now()
	e.waitSettleTime()
	e.create("new", 10)
	e.write(e.load("old-written"), "old-written", 0, 5)
	info := newInfo("old-updated", 10)
	info.RawMetaData = "changed"
	e.must(e.load("old-updated").UpdateInfo(e.Context(), setCallerFields(info)))
	e.wantListed(e.list(changedBefore(before), 100, noChange), "old")
	e.waitSettleTime()
	e.wantListed(e.list(changedBefore(time.Now()), 1, noChange), "old", "old-written", "old-updated", "new")
	e.reopen()
	e.wantListed(e.list(changedBefore(before), 1, noChange), "old")
}

func listUnusualIDs(e *env) {
	for _, id := range unusualIDs() {
		e.createFull(id, 1)
	}
	want := slices.Sorted(maps.Keys(e.exist))
	e.wantListed(e.list(tusd.ListFilter{}, 3, noChange), want...)
	e.wantListed(e.list(tusd.ListFilter{}, 1000, noChange), want...)
}

// listTwice lists twice at the same time, with pages of different sizes, and leaves a
// third listing behind.
func listTwice(e *env) {
	var want []string
	for i := range 9 {
		id := fmt.Sprintf("upload-%d", i)
		e.create(id, 10)
		want = append(want, id)
	}
	_, left, err := e.composer.Lister.List(e.Context(), "", tusd.ListFilter{}, 4)
	e.must(err)
	e.create("upload-3-new", 10)
	want = append(want, "upload-3-new")
	var inner []string
	outer := e.list(tusd.ListFilter{}, 2, func(page int) {
		if page == 2 {
			inner = e.list(tusd.ListFilter{}, 3, noChange)
		}
	})
	e.wantListed(outer, want...)
	e.wantListed(inner, want...)
	if _, _, err := e.composer.Lister.List(e.Context(), left, tusd.ListFilter{}, 4); err != nil {
		e.Errorf("the abandoned listing: %v", err)
	}
	e.listBesideOlder(want)
}

// listBesideOlder lists in pages of 8 uploads while an older listing, in pages of 4, comes
// to the same place. want are the uploads that exist.
func (e *env) listBesideOlder(want []string) {
	for i := range 10 {
		id := fmt.Sprintf("v-%d", i)
		e.create(id, 10)
		want = append(want, id)
	}
	_, older, err := e.composer.Lister.List(e.Context(), "", tusd.ListFilter{}, 4)
	e.must(err)
	e.create("v-5-new", 10)
	want = append(want, "v-5-new")
	e.wantListed(e.list(tusd.ListFilter{}, 8, func(page int) {
		if page == 1 {
			_, _, err := e.composer.Lister.List(e.Context(), older, tusd.ListFilter{}, 4)
			e.must(err)
		}
	}), want...)
}

// createClasses creates uploads of several classes and returns their classes by id.
func createClasses(e *env) map[string]tusd.UploadClass {
	e.create("never-started", 10)
	e.write(e.create("unfinished", 10), "unfinished", 0, 5)
	e.createComplete("complete", 10)
	partial := newInfo("partial", 10)
	partial.IsPartial = true
	e.write(e.createInfo(partial), "partial", 0, 5)
	partial = newInfo("full-partial", 10)
	partial.IsPartial = true
	full := e.createInfo(partial)
	e.write(full, "full-partial", 0, 10)
	e.must(full.FinishUpload(e.Context()))
	e.must(e.create("failed", 10).UpdateInfo(e.Context(), func(i *tusd.FileInfo) error {
		i.State = tusd.StateFailed
		return nil
	}))
	return map[string]tusd.UploadClass{
		"never-started": tusd.ClassNeverStarted, "unfinished": tusd.ClassUnfinished, "complete": tusd.ClassComplete,
		"partial": tusd.ClassPartial, "full-partial": tusd.ClassPartial, "failed": tusd.ClassFailed,
	}
}

// listLoadable checks that what a listing tells agrees with what is loaded.
func listLoadable(e *env) {
	classes := createClasses(e)
	e.reopen()
	listing := e.listing(tusd.ListFilter{}, 4, noChange)
	if len(listing) != len(classes) {
		e.Errorf("%d uploads are listed, want %d", len(listing), len(classes))
	}
	for _, listed := range listing {
		info := e.info(e.view(listed.ID))
		if listed.Bytes != -1 && listed.Bytes != info.Offset {
			e.Errorf("%s: listed with %d bytes, %d are stored", listed.ID, listed.Bytes, info.Offset)
		}
		if complete := info.Complete(); listed.Complete != tusd.CompletenessUnknown && (listed.Complete == tusd.Complete) != complete {
			e.Errorf("%s: listed with completeness %d, complete is %t", listed.ID, listed.Complete, complete)
		}
		if !within(listed.Changed, info.Changed, e.harness.SettleTime) {
			e.Errorf("%s: listed as changed at %v, loaded as changed at %v", listed.ID, listed.Changed, info.Changed)
		}
		if record := listed.Record; record != nil {
			e.wantInfo(*record, info)
			if record.Offset != -1 && record.Offset != info.Offset {
				e.Errorf("%s: listed with offset %d, it is %d", listed.ID, record.Offset, info.Offset)
			}
		}
	}
}

// listUnreadable checks that an upload that cannot be read is listed, without a record.
func listUnreadable(e *env) {
	if e.harness.Break == nil {
		return
	}
	e.createFull("bad", 10)
	e.createFull("good", 10)
	e.release()
	e.harness.Break(e.TB, e.composer, "bad")
	listing := e.listing(tusd.ListFilter{}, 1, noChange)
	if len(listing) != 2 {
		e.Errorf("listed: %+v, want two uploads", listing)
	}
	for _, listed := range listing {
		if listed.ID == "bad" && listed.Record != nil {
			e.Errorf("the record of an upload that cannot be read is %+v", listed.Record)
		}
	}
}

func within(a, b time.Time, d time.Duration) bool { return a.Sub(b).Abs() <= d }

// listClasses lists each class alone.
func listClasses(e *env) {
	classes := createClasses(e)
	e.waitSettleTime()
	for _, class := range tusd.AllClasses {
		filter := tusd.ListFilter{Before: map[tusd.UploadClass]time.Time{class: time.Now()}}
		found := make(map[string]bool)
		for _, listed := range e.listing(filter, 2, noChange) {
			found[listed.ID] = true
			if record := listed.Record; record != nil && record.Offset != -1 && record.Class() != class {
				e.Errorf("class %s: %s is listed, whose record says %s", class, listed.ID, record.Class())
			}
		}
		for id, is := range classes {
			if is == class && !found[id] {
				e.Errorf("class %s: %s is not listed", class, id)
			}
		}
	}
	refused := errors.New("refused by the caller")
	_, _, err := e.composer.Lister.List(e.Context(), "", tusd.ListFilter{Pace: func(context.Context) error { return refused }}, 100)
	e.wantError("List with a Pace that fails", err, refused)
}
