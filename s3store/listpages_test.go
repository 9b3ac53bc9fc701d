package s3store_test

import (
	"context"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/s3store"
)

// emptyPages answers listings with empty pages that claim to continue.
type emptyPages struct {
	s3store.Client
	objects, parts bool
}

func (c emptyPages) ListObjects(ctx context.Context, in s3store.ListObjects) (*s3store.ObjectPage, error) {
	if c.objects {
		return &s3store.ObjectPage{More: true}, nil
	}
	return c.Client.ListObjects(ctx, in)
}

func (c emptyPages) ListParts(ctx context.Context, key, multipart string, after int) (*s3store.PartPage, error) {
	if c.parts {
		return &s3store.PartPage{More: true}, nil
	}
	return c.Client.ListParts(ctx, key, multipart, after)
}

// A listing that cannot be continued is an error, and no end.
func TestEmptyPageIsNoEnd(t *testing.T) {
	v := newInventory(t, func(*s3store.Store) {})
	v.upload(tusd.FileInfo{ID: "a", Size: 10 * testMinPart}, 2*testMinPart)
	store := testStore(v.server.Bucket(), clientOf(t, v.server)) // with nothing in its cache
	v.open(store)
	client := emptyPages{clientOf(t, v.server), true, false}
	s3store.SetClient(store, client)
	if _, _, err := store.List(t.Context(), "", tusd.ListFilter{}, 10); err == nil {
		t.Error("List succeeds")
	}
	if _, err := store.GetUpload(t.Context(), nil, "a"); err == nil {
		t.Error("GetUpload succeeds")
	}
	if _, _, err := store.ListSideRecords(t.Context(), "kind", "", 10); err == nil {
		t.Error("ListSideRecords succeeds")
	}
	client.objects, client.parts = false, true
	s3store.SetClient(store, client)
	if faults, err := store.Verify(t.Context(), "a"); err == nil {
		t.Errorf("Verify succeeds with the faults %q", faults)
	}
}

// restless is a service on which an upload changes between any two calls.
type restless struct {
	s3store.Client
	key string
}

func (c restless) ListObjects(ctx context.Context, in s3store.ListObjects) (*s3store.ObjectPage, error) {
	page, err := c.Client.ListObjects(ctx, in)
	for i := range page.Objects {
		if page.Objects[i].Key == c.key {
			page.Objects[i].ETag = "another"
		}
	}
	return page, err
}

// An upload that changes faster than it can be read is listed without its record, and ends
// no listing.
func TestListingOfRestlessUpload(t *testing.T) {
	v := newInventory(t, func(*s3store.Store) {})
	for _, id := range []string{"a", "b", "c"} {
		v.upload(tusd.FileInfo{ID: id, Size: 10}, 5)
	}
	s3store.SetClient(v.store, restless{clientOf(t, v.server), "b.info"})
	uploads := listPages(t, v.store, changedBefore(time.Now().Add(time.Hour)), 10)
	if len(uploads) != 3 || uploads[1].ID != "b" || uploads[1].Record != nil || uploads[0].Record == nil || uploads[2].Record == nil {
		t.Errorf("listed are %+v", uploads)
	}
}
