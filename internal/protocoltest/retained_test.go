package protocoltest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/heaptest"
	"github.com/tus/tusd/internal/tuning"
	"github.com/tus/tusd/storetest"
)

// callbackHandler serves a store in memory.
func callbackHandler(t *testing.T, core tusd.DataStore, callbacks tusd.Callbacks, changes ...func(*tuning.Values)) *tusd.Handler {
	t.Helper()
	h, err := newTunedHandler(tusd.Config{
		BasePath: "/files/", StoreComposer: &tusd.StoreComposer{Core: core}, Callbacks: callbacks, Logger: slog.New(slog.DiscardHandler),
	}, changes...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Shutdown(t.Context()) })
	return h
}

// createWith makes an upload with a header field of size bytes, and returns the
// status.
func createWith(h http.Handler, size, length int) (status int) {
	r := httptest.NewRequest(http.MethodPost, "/files/", nil)
	r.Header.Set("Tus-Resumable", "1.0.0")
	r.Header.Set("Upload-Length", fmt.Sprint(length))
	r.Header.Set("X-Large", strings.Repeat("x", size))
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Code
}

// A slow consumer of events loses large events before they fill the memory, and gets the
// events after it has caught up.
func TestEventQueueIsBoundedInBytes(t *testing.T) {
	h := callbackHandler(t, storetest.NewMemory(), tusd.Callbacks{})
	subscription := h.Subscribe(100)
	const rounds, large = 100, 200 << 10
	before := heaptest.InUse()
	for range rounds {
		createWith(h, large, 1)
	}
	took, queued := heaptest.InUse()-before, len(subscription.C)
	if took > 4<<20 || queued < 4 || subscription.Dropped() != uint64(rounds-queued) {
		t.Errorf("%d events are queued in %d KiB, %d were dropped", queued, took>>10, subscription.Dropped())
	}
	for range queued {
		<-subscription.C
	}
	dropped := subscription.Dropped()
	for range 50 {
		createWith(h, 100, 1)
	}
	if len(subscription.C) != 50 || subscription.Dropped() != dropped {
		t.Errorf("afterwards %d of 50 events are queued", len(subscription.C))
	}
}

// Any number of uploads that wait to be finished keeps only few requests and goroutines alive,
// and all are finished when the callback succeeds again.
func TestRetriesAreBounded(t *testing.T) {
	const uploads, most, large = 300, 20, 100 << 10
	for name, limit := range map[string]int{"requests": 1000, "uploads": most} {
		t.Run(name, func(t *testing.T) {
			var works atomic.Bool
			var told atomic.Int64 // requests that later calls of the callback still had
			store := storetest.NewMemory()
			h := callbackHandler(t, store, tusd.Callbacks{
				PreFinish: func(_ context.Context, event tusd.Event) (tusd.HTTPResponse, error) {
					if !works.Load() {
						return tusd.HTTPResponse{}, errors.New("the callback is down")
					}
					if event.HTTPRequest.Method != "" {
						told.Add(1)
					}
					return tusd.HTTPResponse{}, nil
				},
			}, func(v *tuning.Values) { v.FirstRetryDelay, v.MaxFinishTasks = 10*time.Millisecond, limit })
			before, goroutines := heaptest.InUse(), runtime.NumGoroutine()
			for range uploads {
				if status := createWith(h, large, 0); status < 500 {
					t.Fatalf("status %d", status)
				}
			}
			if took := heaptest.InUse() - before; took > 8<<20 {
				t.Errorf("%d KiB are left", took>>10)
			}
			if more := runtime.NumGoroutine() - goroutines; limit < uploads && more > 2*most {
				t.Errorf("%d goroutines wait", more)
			}
			works.Store(true)
			deadline := time.After(time.Minute)
			for h.Metrics().UploadsFinished.Load() < uploads {
				select {
				case <-deadline:
					t.Fatalf("%d of %d uploads are finished", h.Metrics().UploadsFinished.Load(), uploads)
				case <-time.After(10 * time.Millisecond):
				}
			}
			if n := told.Load(); n == 0 || n > 60 {
				t.Errorf("the callback was told of %d requests", n)
			}
		})
	}
}

// Error codes of callbacks are counted if they are short text.
func TestErrorCodesAreBounded(t *testing.T) {
	codes := []string{"ERR_MINE", strings.Repeat("x", 1<<20), "\xff"}
	next := 0
	h := callbackHandler(t, storetest.NewMemory(), tusd.Callbacks{
		PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
			refusal := *tusd.ErrUploadRejected
			refusal.Code = codes[next]
			next++
			return tusd.HTTPResponse{}, tusd.FileInfoChanges{}, &refusal
		},
	})
	for range codes {
		createWith(h, 1, 1)
	}
	total := h.Metrics().ErrorsTotal()
	status := tusd.ErrUploadRejected.Status.Tus
	if len(total) != 2 || total[tusd.ErrorCount{Code: "ERR_MINE", Status: status}] != 1 || total[tusd.ErrorCount{Code: "ERR_OTHER", Status: status}] != 2 {
		t.Errorf("counted are %.200v", total)
	}
}

// newStore notes the record of the last creation.
type newStore struct {
	*storetest.Memory
	info tusd.FileInfo
}

func (s *newStore) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	s.info = info
	return s.Memory.NewUpload(ctx, lease, info)
}

// A string of a callback that is a part of a large string does not keep it alive.
func TestChangesOfCallbacksOwnTheirBytes(t *testing.T) {
	answer := "id key value path" + strings.Repeat("x", 1<<20)
	store := &newStore{Memory: storetest.NewMemory()}
	h := callbackHandler(t, store, tusd.Callbacks{
		PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
			return tusd.HTTPResponse{}, tusd.FileInfoChanges{
				ID:       answer[:2],
				MetaData: tusd.MetaData{answer[3:6]: answer[7:12]},
				Storage:  map[string]string{"Path": answer[13:17]},
			}, nil
		},
	})
	if status := createWith(h, 1, 1); status != http.StatusCreated {
		t.Fatalf("status %d", status)
	}
	texts := []string{store.info.ID, store.info.Storage["Path"]}
	for name, value := range store.info.MetaData {
		texts = append(texts, name, value)
	}
	if strings.Join(texts, " ") != "id path key value" {
		t.Errorf("the record has %q", texts)
	}
	for _, text := range texts {
		if heaptest.Pins(text, answer) {
			t.Errorf("%q is a slice of the callback's text", text)
		}
	}
}
