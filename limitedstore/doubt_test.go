package limitedstore_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/limitedstore"
	"github.com/tus/tusd/storetest"
)

// failingRecords is a store that stores no side records while fails is set.
type failingRecords struct {
	*storetest.Memory
	fails atomic.Bool
}

func (s *failingRecords) PutSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) error {
	if s.fails.Load() {
		return errors.New("the service is not there")
	}
	return s.Memory.PutSideRecord(ctx, key, value)
}

// A call that is refused before it reaches the wrapped store leaves no doubt about the sums.
func TestNoDoubtWithoutCall(t *testing.T) {
	store := &failingRecords{Memory: storetest.NewMemory()}
	b := newBenchOn(t, store, store.Memory, 10<<30)
	u := b.create(deferred("u"))
	store.fails.Store(true)
	if _, err := b.tryCreate(sized("a", 1<<30)); err == nil {
		t.Error("a creation succeeds without a bound")
	}
	if err := b.composer.LengthDeferrer.DeclareLength(t.Context(), u, 1<<30); err == nil {
		t.Error("a length is declared without a bound")
	}
	store.fails.Store(false)
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.limited.NewUpload(cancelled, b.lock("b"), sized("b", 10)); !errors.Is(err, context.Canceled) {
		t.Errorf("a cancelled creation: %v", err)
	}
	b.want(0, 0)
}

// fullDisk is a store whose calls fail with ErrNoSpace after the record is stored.
type fullDisk struct {
	*storetest.Memory
}

func (s fullDisk) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	u, err := s.Memory.GetUpload(ctx, lease, id)
	return fullDiskUpload{u}, err
}

func (s fullDisk) DeclareLength(ctx context.Context, u tusd.Upload, length int64) error {
	return errors.Join(s.Memory.DeclareLength(ctx, u.(fullDiskUpload).Upload, length), tusd.ErrNoSpace)
}

func (s fullDisk) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	for i, p := range partials {
		partials[i] = p.(fullDiskUpload).Upload
	}
	return errors.Join(s.Memory.Concat(ctx, final.(fullDiskUpload).Upload, partials), tusd.ErrNoSpace)
}

type fullDiskUpload struct{ tusd.Upload }

func (u fullDiskUpload) UpdateInfo(ctx context.Context, update func(*tusd.FileInfo) error) error {
	return errors.Join(u.Upload.UpdateInfo(ctx, update), tusd.ErrNoSpace)
}

// If the wrapped store has no space left, it may have stored the change all the same.
func TestFullDisk(t *testing.T) {
	for name, change := range map[string]func(*bench, tusd.Upload) error{
		"DeclareLength": func(b *bench, u tusd.Upload) error {
			return b.composer.LengthDeferrer.DeclareLength(b.Context(), u, 40)
		},
		"UpdateInfo": func(b *bench, u tusd.Upload) error {
			n := int64(40)
			return u.UpdateInfo(b.Context(), func(info *tusd.FileInfo) error { info.KnownLength = &n; return nil })
		},
	} {
		store := fullDisk{storetest.NewMemory()}
		b := newBenchOn(t, store, store.Memory, 100)
		b.create(deferred("a"))
		u, err := b.limited.GetUpload(t.Context(), b.leases["a"], "a")
		if err == nil {
			err = change(b, u)
		}
		if !errors.Is(err, tusd.ErrNoSpace) {
			t.Errorf("%s: %v", name, err)
		}
		if usage := b.limited.Usage(); usage.Exact || usage.Reserved != 40 {
			t.Errorf("after %s the sums are %+v", name, usage)
		}
		if err := b.leases["a"].Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		limitedstore.Resolve(b.limited)
		b.want(0, 40)
	}
}

// losing is a store in which the lease of a creation is lost.
type losing struct {
	*storetest.Memory
	lease *losableLease
}

func (s *losing) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	u, err := s.Memory.NewUpload(ctx, lease, info)
	if s.lease != nil {
		s.lease.lose(tusd.ErrLockLost)
	}
	return u, err
}

// A creation that finds an upload and loses its lock leaves the sums exact after the next count.
func TestCreationLosesLock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &losing{Memory: storetest.NewMemory()}
		b := newBenchOn(t, store, store.Memory, 100)
		b.create(sized("a", 60))
		if err := b.leases["a"].Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		limitedstore.Forget(b.limited)
		store.lease = &losableLease{Lease: b.lock("a")}
		store.lease.ctx, store.lease.lose = context.WithCancelCause(store.lease.Lease.Context())
		if _, err := b.limited.NewUpload(t.Context(), store.lease, sized("a", 10)); !errors.Is(err, tusd.ErrUploadExists) {
			t.Errorf("the creation ends with %v", err)
		}
		store.lease = nil
		if err := b.leases["a"].Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		b.want(0, 60)
	})
}

// An upload that is doubtful and broken is counted for what the listing shows.
func TestDoubtfulAndBroken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &breakable{Memory: storetest.NewMemory()}
		b := newBenchOn(t, store, store.Memory, 100)
		u := b.create(deferred("a"))
		cancelled, cancel := context.WithCancel(t.Context())
		content := io.MultiReader(strings.NewReader("hello"), readerFunc(func() error { cancel(); return io.EOF }))
		if _, err := u.WriteChunk(cancelled, 0, content); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if b.limited.Usage().Exact {
			t.Fatal("the upload is not doubtful")
		}
		if err := b.leases["a"].Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		store.broken.Store(true)
		time.Sleep(time.Minute)
		if u := b.limited.Usage(); !u.Exact {
			t.Errorf("the sums are %+v", u)
		}
	})
}
