package s3store_test

import (
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

// Changed is the time of the last write, in this process and after a load by another one.
func TestChanged(t *testing.T) {
	const large = 20 * testMinPart
	v := newInventory(t, func(*s3store.Store) {})
	lease, unlock := v.lock("a")
	defer unlock()
	u, err := v.store.NewUpload(t.Context(), lease, tusd.FileInfo{ID: "a", SizeIsDeferred: true})
	if err != nil {
		t.Fatal(err)
	}
	write := func(from, to int64) func() error {
		return func() error {
			_, err := u.WriteChunk(t.Context(), from, storetest.ContentReader("a", from, to))
			return err
		}
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"creation", func() error { return nil }},
		{"a tail object", write(0, 10)},
		{"a part", write(10, 3*testMinPart)},
		{"the record", func() error { return u.UpdateInfo(t.Context(), func(*tusd.FileInfo) error { return nil }) }},
		{"the length", func() error { return v.store.DeclareLength(t.Context(), u, large) }},
		{"the rest", write(3*testMinPart, large)},
		{"the completion", func() error { return u.FinishUpload(t.Context()) }},
	} {
		if step.name != "creation" {
			v.server.Age(48 * time.Hour)
		}
		began := time.Now()
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
		other := testStore(v.server.Bucket(), clientOf(t, v.server))
		v.open(other)
		loaded, err := other.GetUpload(t.Context(), nil, "a")
		if err != nil {
			t.Fatal(err)
		}
		for where, u := range map[string]tusd.Upload{"here": u, "loaded": loaded} {
			info, err := u.GetInfo(t.Context())
			if age := time.Since(info.Changed); err != nil || age < 0 || age > time.Since(began)+2*time.Second && step.name != "creation" {
				t.Errorf("%s: the last change was %v ago (%s), %v", step.name, age, where, err)
			}
		}
	}
	v.server.Age(48 * time.Hour)
	for range 2 { // the second time from the cache, after a look at the listing
		again, err := v.store.GetUpload(t.Context(), lease, "a")
		if err != nil {
			t.Fatal(err)
		}
		if info, _ := again.GetInfo(t.Context()); time.Since(info.Changed) < 47*time.Hour {
			t.Errorf("the last change was %v ago, want two days", time.Since(info.Changed))
		}
	}
}

// A load finds the time of objects that a listing of the upload does not have.
func TestChangedOfOtherObjects(t *testing.T) {
	v := newInventory(t, func(s *s3store.Store) { s.Key = "data/{id}" })
	v.upload(tusd.FileInfo{ID: "a", Size: 10}, 0)
	v.server.Age(48 * time.Hour)
	lease, unlock := v.lock("a")
	defer unlock()
	u, err := v.store.GetUpload(t.Context(), lease, "a")
	if err == nil {
		_, err = u.WriteChunk(t.Context(), 0, storetest.ContentReader("a", 0, 10))
	}
	if err != nil {
		t.Fatal(err)
	}
	wantYoung(t, v.server, "a")

	f := newV2Upload(t, 100_000)
	f.server.Age(48 * time.Hour)
	f.part(1, 0, 50_000)
	wantYoung(t, f.server, f.id)
	f = newV2Upload(t, 100_000)
	f.server.Age(48 * time.Hour)
	f.tail(0, 10)
	wantYoung(t, f.server, f.id)
}

// wantYoung loads an upload in a new process, and wants a change in the last minutes.
func wantYoung(t *testing.T, server *s3server.Server, id string) {
	t.Helper()
	store := testStore(server.Bucket(), clientOf(t, server))
	if err := store.Open(t.Context(), tusd.Env{Locker: new(tusd.LocalLocker)}); err != nil {
		t.Fatal(err)
	}
	u, err := store.GetUpload(t.Context(), nil, id)
	if err != nil {
		t.Fatal(err)
	}
	if info, err := u.GetInfo(t.Context()); err != nil || time.Since(info.Changed) > 10*time.Minute {
		t.Errorf("%s has changed at %v, %v", id, info.Changed, err)
	}
}
