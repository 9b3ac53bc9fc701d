package protocoltest

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/tuning"
	"github.com/tus/tusd/storetest"
)

// Without durability, a power cut can leave side records that are empty, or have the content of
// another one. They are removed, and each event comes once.
func TestSideRecordsThatAreBroken(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		failing, _ := switchedReceiver()
		first := deliver(t, store, tusd.Delivery{Receiver: failing})
		path, removed := first.createFull([]byte("hello")), first.createFull([]byte("hello"))
		first.terminate(removed).status(204)
		put := func(kind, name string, value []byte) {
			if err := store.PutSideRecord(t.Context(), tusd.SideRecordKey{Kind: kind, Name: name}, value); err != nil {
				t.Fatal(err)
			}
		}
		for _, kind := range []string{"creating", "finishing", "removing"} {
			names, _, err := store.ListSideRecords(t.Context(), kind, "", 10)
			if err != nil || len(names) != 1 {
				t.Fatalf("%s: side records %q, %v", kind, names, err)
			}
			value, err := store.GetSideRecord(t.Context(), tusd.SideRecordKey{Kind: kind, Name: names[0]})
			if err != nil {
				t.Fatal(err)
			}
			if kind != "finishing" { // its name may be of an earlier version
				put(kind, "copy", value)
			}
			put(kind, "empty", nil)
			put(kind, "half", value[:len(value)/2])
		}
		first.stop()
		store.reopen()
		r := new(receiver)
		second := deliver(t, store, tusd.Delivery{Receiver: r})
		second.eventually("no side record is left", func() bool { return eventRecords(t, store) == 0 })
		for target, want := range map[string][]string{
			path:    {"post-create 0", "post-finish 5"},
			removed: {"post-create 0", "post-finish 5", "post-terminate 5"},
		} {
			if got := r.of(idOf(target)); !slices.Equal(got, want) {
				t.Errorf("events %q, want %q", got, want)
			}
		}
	})
}

// An event of a store without side records whose delivery fails once more during the shutdown is
// lost: that is counted and logged.
func TestEventThatFailsDuringTheShutdown(t *testing.T) {
	tried := make(chan struct{}, 1000)
	r := &receiver{onDeliver: func(ctx context.Context, event tusd.Event) error {
		select {
		case tried <- struct{}{}:
		default:
		}
		return failingDelivery(ctx, event)
	}}
	d := tusd.Delivery{Receiver: r}
	e := newEnvOn(t, storetest.NewMemory(), tusd.Config{Delivery: &d}, func(v *tuning.Values) { v.DeliveryDelay = time.Millisecond })
	e.config.StoreComposer.SideRecords = nil
	e.start()
	e.create(5)
	<-tried
	if err := e.handler.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := e.handler.Metrics().EventsDropped.Load(); n != 1 || e.warnings.count("events are lost") != 1 {
		t.Errorf("%d events dropped, log %q", n, e.warnings.all())
	}
}

// panickingWrites panics when the first bytes of a request have arrived.
type panickingWrites struct{ *storetest.Memory }

func (s panickingWrites) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	upload, err := s.Memory.GetUpload(ctx, lease, id)
	if err == nil && lease != nil {
		upload = panickingWrite{upload}
	}
	return upload, err
}

type panickingWrite struct{ tusd.Upload }

func (panickingWrite) WriteChunk(_ context.Context, _ int64, src io.Reader) (int64, error) {
	io.ReadFull(src, make([]byte, 3))
	panic("boom")
}

// After a store has panicked, no post-receive of its request comes.
func TestNoProgressAfterAPanic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		composer := tusd.NewStoreComposer()
		composer.UseCore(panickingWrites{storetest.NewMemory()})
		h, err := tusd.NewHandler(tusd.Config{BasePath: "/files/", StoreComposer: composer, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Fatal(err)
		}
		sub := h.Subscribe(1000)
		send := func(method, target, body string, header ...string) (answer http.Header) {
			defer func() { recover() }()
			r := httptest.NewRequest(method, target, strings.NewReader(body))
			r.Header.Set("Tus-Resumable", "1.0.0")
			for i := 0; i < len(header); i += 2 {
				r.Header.Set(header[i], header[i+1])
			}
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			return w.Header()
		}
		path := send("POST", "/files/", "", "Upload-Length", "100").Get("Location")
		<-sub.C
		if answered := send("PATCH", path, "abcdef", "Upload-Offset", "0", "Content-Type", "application/offset+octet-stream"); answered != nil {
			t.Error("the store has not panicked")
		}
		time.Sleep(time.Minute) // of the clock of the test
		send("DELETE", path, "")
		if event := <-sub.C; event.Type != tusd.EventPostTerminate {
			t.Errorf("%s at %d comes", event.Type, event.Upload.Offset)
		}
		if err := h.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
	})
}
