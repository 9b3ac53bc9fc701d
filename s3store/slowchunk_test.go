package s3store_test

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/s3store"
)

// changeTimes is a service that notes when it stores an object.
type changeTimes struct {
	*fakeService
	mu    sync.Mutex
	times []time.Time
}

func (c *changeTimes) PutObject(ctx context.Context, in s3store.PutObject) (string, error) {
	c.mu.Lock()
	c.times = append(c.times, time.Now())
	c.mu.Unlock()
	return c.fakeService.PutObject(ctx, in)
}

// A chunk that arrives slowly changes something every hour, whether its bytes may count
// before it has ended or not, and nothing while no bytes arrive.
func TestSlowChunkKeepsUploadYoung(t *testing.T) {
	const hours, size = 9, 9 * 60 << 10
	for name, write := range map[string]func(*s3store.Store, tusd.Upload, io.Reader) (int64, error){
		"WriteChunk": func(_ *s3store.Store, u tusd.Upload, src io.Reader) (int64, error) {
			return u.WriteChunk(context.Background(), 0, src)
		},
		"WriteAtomic": func(s *s3store.Store, u tusd.Upload, src io.Reader) (int64, error) {
			return s.WriteAtomic(context.Background(), u, 0, src)
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				service := &changeTimes{fakeService: newFakeService(1, 100, func(string) bool { return true })}
				store, locker := s3store.New("bucket", service), new(tusd.LocalLocker)
				if err := store.Open(t.Context(), tusd.Env{Locker: locker}); err != nil {
					t.Fatal(err)
				}
				lease, err := locker.Lock(t.Context(), "slow", tusd.LockTry)
				if err != nil {
					t.Fatal(err)
				}
				u, err := store.NewUpload(t.Context(), lease, tusd.FileInfo{ID: "slow", Size: 2 * size})
				if err != nil {
					t.Fatal(err)
				}
				service.times = nil
				started := time.Now()
				slow := newPaced("content", size, 1<<10, time.Minute) // a KiB each minute
				stall := readerFunc(func([]byte) (int, error) { <-time.After(5 * time.Hour); return 0, io.EOF })
				if n, err := write(store, u, io.MultiReader(slow, stall)); n != size || err != nil {
					t.Fatalf("%d bytes are stored, %v", n, err)
				}
				last := started
				for _, at := range service.times {
					if gap := at.Sub(last); gap > time.Hour && at.Sub(started) < hours*time.Hour {
						t.Errorf("nothing has changed for %v", gap)
					}
					last = at
				}
				if n := len(service.times); n < hours || n > 2*hours+2 {
					t.Errorf("%d changes in %d hours", n, hours)
				}
				info, _ := u.GetInfo(t.Context())
				if time.Since(info.Changed) > time.Minute {
					t.Errorf("the upload has changed %v ago", time.Since(info.Changed))
				}
				if service.objects["slow.info"].data == nil || !strings.Contains(string(service.objects["slow.info"].data), `"Size":`) {
					t.Error("the record is lost")
				}
			})
		})
	}
}

// Parts are recorded, and the record is stored again in between, one after the other.
func TestTouchBesideParts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const part, parts = 16 << 10, 400
		service := newFakeService(1, 10_000, func(string) bool { return false })
		service.latency = 30 * time.Millisecond
		store, locker := s3store.New("bucket", service), new(tusd.LocalLocker)
		store.Profile.MinPart, store.PreferredPartSize = part, part
		if err := store.Open(t.Context(), tusd.Env{Locker: locker}); err != nil {
			t.Fatal(err)
		}
		s3store.SetTouchAfter(store, 35*time.Millisecond)
		lease, err := locker.Lock(t.Context(), "content", tusd.LockTry)
		if err != nil {
			t.Fatal(err)
		}
		u, err := store.NewUpload(t.Context(), lease, tusd.FileInfo{ID: "content", Size: 2 * part * parts})
		if err != nil {
			t.Fatal(err)
		}
		n, err := u.WriteChunk(t.Context(), 0, newPaced("content", part*parts, part, time.Millisecond))
		if n != part*parts || err != nil {
			t.Errorf("%d bytes of %d are stored, %v", n, part*parts, err)
		}
	})
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
