package filestore

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/tus/tusd"
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

// Two listings at the same time are independent, and a new listing does not use the
// result of an older one.
func TestConcurrentListings(t *testing.T) {
	s := openStore(t, None)
	for _, id := range []string{"a", "b", "c", "d"} {
		createUpload(t, s, id, 1)
	}
	page := func(cursor, want, wantNext string) {
		t.Helper()
		ids, next := listPage(t, s, tusd.ListFilter{}, cursor, 1)
		if len(ids) != 1 || ids[0] != want || next != wantNext {
			t.Errorf("behind %q: %q, next %q; want %q, next %q", cursor, ids, next, want, wantNext)
		}
	}
	page("", "a", "a")
	page("a", "b", "b")
	page("", "a", "a")
	page("b", "c", "c")
	page("a", "b", "b")
	page("c", "d", "")
	createUpload(t, s, "0", 1)
	page("", "0", "0")
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
	filter := tusd.ListFilter{Before: map[tusd.UploadClass]time.Time{}}
	for _, class := range tusd.AllClasses {
		filter.Before[class] = cut
	}
	for _, limit := range []int{1, 10} {
		if got := listAll(t, s, filter, limit); !slices.Equal(got, []string{"both-old"}) {
			t.Errorf("limit %d: listed %q", limit, got)
		}
	}
}
