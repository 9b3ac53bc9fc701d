package s3store_test

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
)

// expiries are the ids of the uploads whose expiry was told.
type expiries struct {
	mu  sync.Mutex
	ids []string
}

func (e *expiries) Send(_ context.Context, event tusd.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if event.Type == tusd.EventPostExpire && !slices.Contains(e.ids, event.Upload.ID) {
		e.ids = append(e.ids, event.Upload.ID)
	}
	return nil
}

func (e *expiries) Close() {}

// sweep starts a process, and sweeps unfinished uploads with it. From its call number call
// on, the process is dead; 0: it lives. It reports whether the process has died.
func (v *inventory) sweep(sink tusd.EventSink, call int, last s3server.Outcome) (died bool) {
	v.Helper()
	store := testStore(v.server.Bucket(), clientOf(v.T, v.server))
	composer := tusd.NewStoreComposer()
	store.UseIn(composer)
	v.server.Recount()
	handler, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, BasePath: "/files/", Events: sink, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		v.Fatal(err)
	}
	recountStarted(v.T, v.server, 1)
	at := s3server.On().Nth(max(call, 1), last)
	dead := s3server.On().From(call+1, s3server.Refuse(http.StatusForbidden, "AccessDenied"))
	if call > 0 {
		v.server.Fault(s3server.Together(at.Decide, dead.Decide))
	}
	policy := tusd.SweepPolicy{Rate: -1, Ages: map[tusd.UploadClass]time.Duration{tusd.ClassUnfinished: 24 * time.Hour}}
	if _, err := handler.Sweep(v.Context(), policy); err != nil && call == 0 {
		v.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(v.Context()), 30*time.Second)
	defer cancel()
	if err := handler.Shutdown(ctx); err != nil {
		v.Error(err)
	}
	v.server.Fault(nil)
	return at.Fired() > 0
}

// A sweeper that dies at any of its calls leaves whole uploads, or none, and the next ones
// remove and tell the rest.
func TestSweeperDiesAtEachCall(t *testing.T) {
	require.LongWithoutRace(t)
	t.Parallel()
	sizes := map[string]int64{"tail": 10, "parts": 3*testMinPart + 17}
	for name, last := range map[string]s3server.Outcome{
		"before the call": s3server.Refuse(http.StatusForbidden, "AccessDenied"),
		"after the call":  s3server.RefuseDone(http.StatusForbidden, "AccessDenied"),
	} {
		t.Run(name, func(t *testing.T) {
			for call := 1; call < 100; call++ {
				v := newInventory(t, func(*s3store.Store) {})
				for id, bytes := range sizes {
					v.upload(tusd.FileInfo{ID: id, Size: 20 * testMinPart}, bytes)
				}
				v.server.Age(48 * time.Hour)
				told := new(expiries)
				died := v.sweep(told, call, last)
				for _, listed := range listPages(t, v.store, tusd.ListFilter{}, 10) {
					faults, err := v.store.Verify(t.Context(), listed.ID)
					if listed.Record == nil || listed.Record.Offset != sizes[listed.ID] || len(faults) > 0 || err != nil {
						t.Errorf("dead at call %d: %s is listed: %+v, %q, %v", call, listed.ID, listed.Record, faults, err)
					}
				}
				v.server.Age(48 * time.Hour)
				for tries := 0; tries < 5 && len(v.server.Left()) > 0; tries++ { // one may skip what the start of its process has locked
					v.sweep(told, 0, s3server.Outcome{})
				}
				if left := v.server.Left(); len(left) > 0 {
					t.Errorf("dead at call %d: left is %q", call, left)
				}
				if len(told.ids) != len(sizes) {
					t.Errorf("dead at call %d: the expiry of %q was told", call, told.ids)
				}
				if !died {
					if call < 10 {
						t.Errorf("a sweep makes only %d calls", call)
					}
					return
				}
			}
			t.Error("the calls of a sweep do not end")
		})
	}
}
