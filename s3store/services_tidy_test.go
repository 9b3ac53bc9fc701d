//go:build linux

package s3store_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3services"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
)

// On real services a listing tells the times and the hints of records, leftovers are
// removed, and what uploads need agrees with their records afterwards.
func TestTidyOnServices(t *testing.T) {
	s3services.Each(t, func(t *testing.T, s *s3services.Service) {
		b := newServiceBucket(t, s)
		client := awsv1.New(b.name, b.api)
		store := serviceStore(b.name, client)
		store.SweepMultipart = true
		v := &inventory{T: t, store: store}
		v.open(store)
		const size = 13 * mib
		v.upload(tusd.FileInfo{ID: made(1), Size: size}, 6*mib)
		v.upload(tusd.FileInfo{ID: made(2), Size: size}, size)
		v.upload(tusd.FileInfo{ID: made(3), Size: 10}, 10)
		v.upload(tusd.FileInfo{ID: made(4), Size: 10, IsPartial: true}, 5)
		before := b.objects(t)
		tail := made(1) + ".00000000000000000007.part"
		if _, err := client.PutObject(t.Context(), s3store.PutObject{Key: tail, Body: strings.NewReader("in a part"), Size: 9}); err != nil {
			t.Fatal(err)
		}
		multipart, err := client.CreateMultipart(t.Context(), made(5), s3store.Attributes{})
		if err != nil {
			t.Fatal(err)
		}
		for class, want := range map[tusd.UploadClass][]string{
			tusd.ClassUnfinished: {made(1)}, tusd.ClassComplete: {made(2), made(3)}, tusd.ClassPartial: {made(4)},
		} {
			filter := tusd.ListFilter{Before: map[tusd.UploadClass]time.Time{class: time.Now().Add(time.Hour)}}
			uploads := listPages(t, store, filter, 10)
			if got := idsOf(uploads); !slices.Equal(got, want) {
				t.Errorf("of class %s are %q, want %q", class, got, want)
			}
			for _, listed := range uploads {
				if time.Since(listed.Changed).Abs() > 10*time.Minute {
					t.Errorf("%s has changed at %v", listed.ID, listed.Changed)
				}
			}
		}
		got := v.tidy(func(t *tusd.Tidying) { t.Before = time.Now().Add(time.Hour) })
		if want := []string{"multipart " + made(5) + " removed", "tail " + tail + " removed"}; !slices.Equal(got, want) {
			t.Errorf("leftovers are %q, want %q", got, want)
		}
		if after := b.objects(t); !slices.Equal(after, before) {
			t.Errorf("the bucket has %q, want %q", after, before)
		}
		if _, err := client.ListParts(t.Context(), made(5), multipart, 0); err == nil {
			t.Error("the multipart upload without a record is still there")
		}
		for _, id := range []string{made(1), made(2), made(3), made(4)} {
			if faults, err := store.Verify(t.Context(), id); len(faults) > 0 || err != nil {
				t.Errorf("%s: %q, %v", id, faults, err)
			}
		}
	})
}
