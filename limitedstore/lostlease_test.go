package limitedstore_test

import (
	"context"
	"errors"
	"io"
	"testing"

	"github.com/tus/tusd"
)

// A request whose lock is lost does not spoil the sums, although it ends after the next holder
// has changed the upload, or removed it.
func TestLostLease(t *testing.T) {
	for _, removed := range []bool{false, true} {
		b := newBench(t, 1000, nil)
		first := &losableLease{Lease: b.lock("a")}
		first.ctx, first.lose = context.WithCancelCause(first.Lease.Context())
		u, err := b.limited.NewUpload(t.Context(), first, deferred("a"))
		if err != nil {
			t.Fatal(err)
		}
		r, w := io.Pipe()
		ended := make(chan error)
		go func() {
			_, err := u.WriteChunk(t.Context(), 0, r)
			ended <- err
		}()
		w.Write(make([]byte, 10))
		wantEventually(t, "the bytes are stored", func() bool {
			stored, err := b.memory.GetUpload(t.Context(), nil, "a")
			if err != nil {
				t.Fatal(err)
			}
			info, err := stored.GetInfo(t.Context())
			return err == nil && info.Offset == 10
		})
		first.lose(tusd.ErrLockLost)
		if err := first.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		second := b.lock("a")
		next, err := b.limited.GetUpload(t.Context(), second, "a")
		if err != nil {
			t.Fatal(err)
		}
		b.write(next, 5)
		if removed {
			if err := b.composer.Terminater.Terminate(t.Context(), second, "a"); err != nil {
				t.Fatal(err)
			}
		}
		w.Write(make([]byte, 100))
		if err := <-ended; !errors.Is(err, tusd.ErrLockLost) {
			t.Errorf("the first request ends with %v", err)
		}
		if err := u.UpdateInfo(t.Context(), func(*tusd.FileInfo) error { return nil }); !errors.Is(err, tusd.ErrLockLost) {
			t.Errorf("a change without the lock: %v", err)
		}
		if err := second.Unlock(t.Context()); err != nil {
			t.Fatal(err)
		}
		wantExact(t, b.limited)
		if n := b.limited.Usage().Reserved; n != 15 && !removed || n != 0 && removed {
			t.Errorf("%d bytes are reserved", n)
		}
	}
}
