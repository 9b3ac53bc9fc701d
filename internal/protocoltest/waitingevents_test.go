package protocoltest

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/heaptest"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/tusclient"
)

// gatedReceiver hangs or fails until it is opened. It counts the events of creations and finishes.
type gatedReceiver struct {
	hangs  bool
	opened chan struct{}
	count  atomic.Int64
}

func (r *gatedReceiver) Deliver(ctx context.Context, event tusd.Event) error {
	select {
	case <-r.opened:
		if event.Sequence > 0 {
			r.count.Add(1)
		}
		return nil
	default:
	}
	if !r.hangs {
		return errors.New("the endpoint is down")
	}
	select {
	case <-r.opened:
	case <-ctx.Done():
	}
	return errors.New("the endpoint has hung")
}

// 100 000 events wait for a receiver that hangs, fewer for one that fails. Most wait in the store, so the
// memory stays small. In the end all arrive.
func TestHeapComesBackWhileEventsWait(t *testing.T) {
	require.NoRace(t)
	require.Long(t)
	const clients, maxHeap = 8, 32 << 20
	for name, uploads := range map[string]int{"hangs": 50_000, "fails": 5_000} {
		t.Run(name, func(t *testing.T) {
			r := &gatedReceiver{hangs: name == "hangs", opened: make(chan struct{})}
			composer := tusd.NewStoreComposer()
			store := &filestore.FileStore{Path: t.TempDir(), Durability: filestore.None}
			t.Cleanup(func() { store.Close() })
			store.UseIn(composer)
			handler, err := tusd.NewHandler(tusd.Config{
				BasePath: "/files/", StoreComposer: composer, Logger: slog.New(slog.DiscardHandler), Delivery: &tusd.Delivery{Receiver: r},
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { handler.Shutdown(t.Context()) })
			before := heaptest.InUse()
			n := tusclient.InProcess{TB: t, Handler: handler}
			var wait sync.WaitGroup
			for range clients {
				wait.Go(func() {
					for range uploads / clients {
						n.Do(http.StatusCreated, tusclient.NewRequest(http.MethodPost, "/files/", strings.NewReader("content"),
							"Content-Type", "application/offset+octet-stream", "Upload-Length", "7"))
					}
				})
			}
			wait.Wait()
			heap := heaptest.InUse() - before
			t.Logf("%d KiB more, %+v", heap>>10, handler.DeliveryStats())
			if heap > maxHeap {
				t.Errorf("%d KiB are used, want at most %d", heap>>10, maxHeap>>10)
			}
			waiting := 0
			err = handler.Undelivered(t.Context(), func(tusd.UndeliveredEvent) error { waiting++; return nil })
			if err != nil || waiting != 2*uploads {
				t.Errorf("%d events wait, %v, want %d", waiting, err, 2*uploads)
			}
			began := time.Now()
			close(r.opened)
			for r.count.Load() < int64(2*uploads) {
				if time.Since(began) > 5*time.Minute {
					t.Fatalf("%d events have arrived, want %d; %+v", r.count.Load(), 2*uploads, handler.DeliveryStats())
				}
				time.Sleep(10 * time.Millisecond)
			}
			t.Logf("all have arrived after %v", time.Since(began))
		})
	}
}
