package s3store_test

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/s3store"
)

// largeBucket is a bucket with many objects, which it generates when they are listed.
type largeBucket struct {
	*fakeService
	key      func(i int) string // sorted
	objects  int
	modified time.Time
	next     int // object
	pages    int
	heap     [2]uint64 // bytes in use at the first page, and the most at any page
}

func (c *largeBucket) ListObjects(_ context.Context, in s3store.ListObjects) (*s3store.ObjectPage, error) {
	if c.pages++; c.pages%50 == 1 {
		c.measureHeap()
	}
	var page s3store.ObjectPage
	for ; c.next < c.objects && len(page.Objects) < in.Max; c.next++ {
		page.Objects = append(page.Objects, s3store.ListedObject{Key: c.key(c.next), Modified: c.modified})
	}
	page.More = c.next < c.objects
	return &page, nil
}

func (c *largeBucket) measureHeap() {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	if c.pages == 1 {
		c.heap[0] = m.HeapAlloc
	}
	c.heap[1] = max(c.heap[1], m.HeapAlloc)
}

// A listing needs little memory for a bucket with many objects of any kind: data
// under a key template, tail objects, data without a record.
func TestMemoryOfListing(t *testing.T) {
	now := time.Now()
	for name, key := range map[string]func(int) string{
		"data of a template":        func(i int) string { return fmt.Sprintf("raw/2026-11-29/%032x/a.txt", i) },
		"data without a record":     func(i int) string { return fmt.Sprintf("%032x", i) },
		"tail objects":              func(i int) string { return fmt.Sprintf("%032x.%020d.part", i/2, i%2) },
		"names that no id can have": func(i int) string { return fmt.Sprintf("%08x a b", i) },
	} {
		t.Run(name, func(t *testing.T) {
			c := &largeBucket{fakeService: newFakeService(1, 10, func(string) bool { return false }), key: key, objects: 200_000, modified: now}
			store := s3store.New("bucket", c.fakeService)
			if err := store.Open(t.Context(), tusd.Env{Locker: new(tusd.LocalLocker)}); err != nil {
				t.Fatal(err)
			}
			s3store.SetClient(store, c)
			uploads, next, err := store.List(t.Context(), "", changedBefore(now.Add(-time.Hour)), 100)
			if len(uploads) > 0 || next != "" || err != nil {
				t.Errorf("%d uploads, cursor %q, %v", len(uploads), next, err)
			}
			if c.next != c.objects {
				t.Fatalf("%d objects were listed", c.next)
			}
			if grown := int64(c.heap[1]) - int64(c.heap[0]); grown > 4<<20 {
				t.Errorf("%d objects take %d bytes", c.objects, grown)
			}
		})
	}
}

// List finds the time of the last change, even if keys of other uploads lie
// between the keys of an upload's data and its record.
func TestListingOfNestedIDs(t *testing.T) {
	require.Long(t)
	t.Parallel()
	before := time.Now()
	after := before.Add(time.Hour)
	type object struct {
		key  string
		late bool
	}
	for name, c := range map[string]struct {
		objects []object
		want    []string
	}{
		"data is late":        {[]object{{"a", true}, {"a.info", false}}, nil},
		"tail object is late": {[]object{{"a.00000000000000000000.part", true}, {"a.info", false}}, nil},
		"record is late":      {[]object{{"a", false}, {"a.info", true}}, nil},
		"another between":     {[]object{{"a", true}, {"a!b", false}, {"a!b.info", false}, {"a.info", false}}, []string{"a!b"}},
		"the inner is late":   {[]object{{"a", false}, {"a-b", true}, {"a-b.info", false}, {"a.info", false}}, []string{"a"}},
		"both are late":       {[]object{{"a", true}, {"a-b", true}, {"a-b.info", false}, {"a.info", false}, {"b.info", false}}, []string{"b"}},
		"three":               {[]object{{"a", true}, {"a-b", false}, {"a-b-c", true}, {"a-b-c.info", false}, {"a-b.info", false}, {"a.info", false}}, []string{"a-b"}},
		"siblings":            {[]object{{"a", true}, {"a!", true}, {"a!.info", false}, {"a$", false}, {"a$.info", false}, {"a.info", false}}, []string{"a$"}},
		"no record":           {[]object{{"a", true}, {"ab", true}, {"ab.info", false}, {"b", false}, {"b.info", false}}, []string{"b"}},
		"below":               {[]object{{"a", true}, {"a.info", false}, {"a/b", false}, {"a/b.info", false}}, []string{"a/b"}},
	} {
		slices.SortFunc(c.objects, func(x, y object) int { return cmp.Compare(x.key, y.key) })
		service := newFakeService(1, 10, func(string) bool { return false })
		store := s3store.New("bucket", service)
		if err := store.Open(t.Context(), tusd.Env{Locker: new(tusd.LocalLocker)}); err != nil {
			t.Fatal(err)
		}
		page := &s3store.ObjectPage{}
		for _, o := range c.objects {
			modified := before
			if o.late {
				modified = after
			}
			page.Objects = append(page.Objects, s3store.ListedObject{Key: o.key, Modified: modified})
		}
		s3store.SetClient(store, onePage{service, page})
		for _, limit := range []int{1, 10} {
			if ids := idsOf(listPages(t, store, changedBefore(after), limit)); !slices.Equal(ids, c.want) {
				t.Errorf("%s: listed are %q in pages of %d, want %q", name, ids, limit, c.want)
			}
		}
	}
}

// onePage is a bucket whose listing is one given page. It has a record of every id.
type onePage struct {
	*fakeService
	page *s3store.ObjectPage
}

func (o onePage) ListObjects(_ context.Context, in s3store.ListObjects) (*s3store.ObjectPage, error) {
	page := &s3store.ObjectPage{}
	for _, object := range o.page.Objects {
		if object.Key > in.After {
			page.Objects = append(page.Objects, object)
		}
	}
	return page, nil
}

func (o onePage) GetObject(_ context.Context, in s3store.GetObject) (*s3store.Object, error) {
	id, ok := strings.CutSuffix(in.Key, ".info")
	if !ok {
		return nil, refused("GetObject", http.StatusNotFound, "NoSuchKey")
	}
	record := fmt.Sprintf(`{"ID":%q,"Size":10,"Storage":{"Key":%q},"S3":{"Proof":"proof"}}`, id, id)
	return &s3store.Object{Body: io.NopCloser(strings.NewReader(record)), Size: int64(len(record))}, nil
}

// listPages returns all pages of a listing.
func listPages(t *testing.T, store *s3store.Store, filter tusd.ListFilter, limit int) (all []tusd.Listed) {
	t.Helper()
	for cursor := ""; ; {
		uploads, next, err := store.List(t.Context(), cursor, filter, limit)
		if err != nil {
			t.Fatal(err)
		}
		if len(uploads) > limit {
			t.Errorf("a page of at most %d has %d uploads", limit, len(uploads))
		}
		all = append(all, uploads...)
		if cursor = next; next == "" {
			return all
		}
	}
}

func idsOf(uploads []tusd.Listed) (ids []string) {
	for _, listed := range uploads {
		ids = append(ids, listed.ID)
	}
	return ids
}

// changedBefore leaves out what has changed at that time or later.
func changedBefore(before time.Time) tusd.ListFilter {
	filter := tusd.ListFilter{Before: map[tusd.UploadClass]time.Time{}}
	for _, class := range tusd.AllClasses {
		filter.Before[class] = before
	}
	return filter
}
