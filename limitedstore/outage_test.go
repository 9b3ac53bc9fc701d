package limitedstore_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/limitedstore"
	"github.com/tus/tusd/storetest"
)

// unloadable is a fullDisk whose uploads cannot be loaded while err is set.
type unloadable struct {
	fullDisk
	err error
}

func (s *unloadable) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	if s.err != nil {
		return nil, s.err
	}
	return s.fullDisk.GetUpload(ctx, lease, id)
}

// However many uploads count for an unknown number of bytes, and however often this is tried, an
// outage has one line, or none if the locker has logged it.
func TestOutageHasOneLine(t *testing.T) {
	store := &unloadable{fullDisk: fullDisk{storetest.NewMemory()}}
	b := newBenchOn(t, store, store.Memory, 1000)
	var logged bytes.Buffer
	b.limited.Log = slog.New(slog.NewTextHandler(&logged, nil))
	for _, id := range []string{"a", "b", "c"} {
		b.create(sized(id, 10))
		u, err := b.limited.GetUpload(t.Context(), b.leases[id], id)
		if err == nil {
			err = u.UpdateInfo(t.Context(), func(*tusd.FileInfo) error { return nil })
		}
		if !errors.Is(err, tusd.ErrNoSpace) {
			t.Fatal(err)
		}
		if err := b.leases[id].Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		err  error
		want int
	}{
		{tusd.ErrLockServiceUnavailable, 0},
		{errors.New("the service is not there"), 1},
		{errors.New("the service is still not there"), 0},
	} {
		store.err = c.err
		for range 3 {
			limitedstore.Resolve(b.limited)
		}
		if n := strings.Count(logged.String(), "\n"); n != c.want {
			t.Errorf("%v has %d lines, want %d: %s", c.err, n, c.want, &logged)
		}
		logged.Reset()
	}
	store.err = nil
	limitedstore.Resolve(b.limited)
	wantExact(t, b.limited)
}
