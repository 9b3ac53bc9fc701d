package s3store_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
)

// sweptStore keeps the context with which a sweep loads an upload.
type sweptStore struct {
	*s3store.Store
	ctx context.Context
}

func (s *sweptStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	s.ctx = context.WithoutCancel(ctx)
	return s.Store.GetUpload(ctx, lease, id)
}

// What a sweep loads does not push out of the cache what requests use.
func TestSweepLeavesCache(t *testing.T) {
	v := newInventory(t, func(*s3store.Store) {})
	const others = 50
	v.upload(tusd.FileInfo{ID: "old", Size: 10}, 5)
	v.server.Age(48 * time.Hour)
	for i := range others {
		v.upload(tusd.FileInfo{ID: fmt.Sprintf("other-%02d", i), Size: 10}, 5)
	}
	swept := &sweptStore{Store: testStore(v.server.Bucket(), clientOf(t, v.server))}
	composer := tusd.NewStoreComposer()
	composer.UseCore(swept)
	handler, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, BasePath: "/files/", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	policy := tusd.SweepPolicy{Ages: map[tusd.UploadClass]time.Duration{tusd.ClassUnfinished: 24 * time.Hour}}
	if summary, err := handler.Sweep(t.Context(), policy); err != nil || summary.Removed != 1 {
		t.Fatalf("%d uploads are removed, %v", summary.Removed, err)
	}
	s3store.SetCacheBudget(swept.Store, 32<<10)
	v.store = swept.Store
	v.upload(tusd.FileInfo{ID: "hot", Size: 10}, 5)
	for i := range others {
		id := fmt.Sprintf("other-%02d", i)
		lease, unlock := v.lock(id)
		if _, err := swept.Store.GetUpload(swept.ctx, lease, id); err != nil {
			t.Fatal(err)
		}
		unlock()
	}
	v.server.Recount()
	if _, err := swept.Store.GetUpload(t.Context(), nil, "hot"); err != nil {
		t.Fatal(err)
	}
	if v.calls(s3server.GetObject) > 0 {
		t.Error("the record of an upload in use was read again")
	}
}

// unlisting is a service that stores an object and does not list it.
type unlisting struct {
	s3store.Client
	key string
}

func (c unlisting) ListObjects(ctx context.Context, in s3store.ListObjects) (*s3store.ObjectPage, error) {
	page, err := c.Client.ListObjects(ctx, in)
	if err == nil {
		page.Objects = slices.DeleteFunc(page.Objects, func(o s3store.ListedObject) bool { return o.Key == c.key })
	}
	return page, err
}

// A sweep does not take an upload for an empty one because the service does not list its data.
func TestSweepFindsUnlistedData(t *testing.T) {
	v := newInventory(t, func(*s3store.Store) {})
	v.upload(tusd.FileInfo{ID: "a", Size: 10}, 10)
	v.upload(tusd.FileInfo{ID: "b", Size: 10}, 0)
	v.server.Age(48 * time.Hour)
	composer := tusd.NewStoreComposer()
	composer.UseCore(testStore(v.server.Bucket(), unlisting{clientOf(t, v.server), "a"}))
	handler, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, BasePath: "/files/", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	defer handler.Shutdown(t.Context())
	policy := tusd.SweepPolicy{Ages: map[tusd.UploadClass]time.Duration{tusd.ClassNeverStarted: 24 * time.Hour}}
	summary, err := handler.Sweep(t.Context(), policy)
	if left := v.server.Left(); err != nil || summary.Removed != 1 || !slices.Equal(left, []string{"a", "a.info"}) {
		t.Errorf("%d uploads are removed, left is %q, %v", summary.Removed, left, err)
	}
}
