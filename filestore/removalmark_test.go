package filestore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// sharedPlaces are places of data that two uploads can have one after the other, and how the
// first one, a, is made, with the content stored.
var sharedPlaces = map[string]func(t *testing.T, s *FileStore) (place string){
	"chosen path": func(t *testing.T, s *FileStore) string { return createStored(t, s, "bob/avatar.png") },
	"storage root": func(t *testing.T, s *FileStore) string {
		return createStored(t, s, filepath.Join(s.StorageRoots[0], "avatar.png"))
	},
	"tusd 0.x": func(t *testing.T, s *FileStore) string {
		writeFiles(t, s, map[string]string{"a.bin": stored, "a.info": `{"ID":"a","Size":6}`})
		return "a.bin"
	},
	"tusd v2": func(t *testing.T, s *FileStore) string {
		writeFiles(t, s, map[string]string{"bob/avatar.png": stored, "a.info": v2Record("a", 6, s.Path+"/bob/avatar.png")})
		return "bob/avatar.png"
	},
	"old name of the default one": func(t *testing.T, s *FileStore) string {
		createWithContent(t, s, "a", 6, stored)
		return "a.bin"
	},
}

func createStored(t *testing.T, s *FileStore, place string) string {
	t.Helper()
	_, err := s.NewUpload(t.Context(), lockID(t, "a"), tusd.FileInfo{ID: "a", Size: 6, Storage: map[string]string{"Path": place}})
	if err != nil {
		t.Fatal(err)
	}
	write(t, loadUpload(t, s, "a"), 0, stored)
	return place
}

// If the process is killed while it removes an upload, and the next upload gets the place of its
// data, then the first one stays gone, and the removal of its rest leaves the next one alone.
func TestHalfRemovedUploadLeavesTheNextOneAlone(t *testing.T) {
	for name, create := range sharedPlaces {
		t.Run(name, func(t *testing.T) {
			for at := 1; ; at++ {
				k := &killer{at: at}
				s := New(t.TempDir())
				s.StorageRoots, s.hook = []string{t.TempDir()}, k.hook
				s = reopen(t, s)
				place := create(t, s)
				k.set(true)
				s.Terminate(t.Context(), lockID(t, "a"), "a")
				k.set(false)
				testNextUpload(t, reopen(t, s), place)
				if t.Failed() {
					t.Fatalf("killed at operation %d: %q", at, k.dead)
				}
				if k.dead == "" {
					return
				}
			}
		})
	}
}

// testNextUpload creates the upload b at the place of the upload a, which is being removed.
func testNextUpload(t *testing.T, s *FileStore, place string) {
	up, before := s.GetUpload(t.Context(), nil, "a")
	whole := before == nil && offsetOf(t, up) == 6
	if !whole && !errors.Is(before, tusd.ErrNotFound) {
		t.Errorf("the removed upload is loaded with %v", before)
	}
	_, err := createAt(t, s, "b", place)
	created := err == nil
	switch {
	case created:
		write(t, loadUpload(t, s, "b"), 0, added)
	case !errors.Is(err, tusd.ErrInvalidName):
		t.Errorf("the next upload cannot be created: %v", err)
	}
	for range 2 {
		if _, err := s.GetUpload(t.Context(), lockID(t, "a"), "a"); (err == nil) != whole || err != nil && !errors.Is(err, tusd.ErrNotFound) {
			t.Errorf("with the next upload, the removed one is loaded with %v", err)
		}
		s = reopen(t, s)
	}
	if err := s.Terminate(t.Context(), lockID(t, "a"), "a"); err != nil && !errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("the removal is continued with %v", err)
	}
	wantAbsent(t, s, "a")
	if created {
		wantContent(t, s, "b", added)
	}
	for _, line := range tidyAll(t, s, time.Now().Add(time.Hour)) {
		if !strings.HasPrefix(line, "temporary ") {
			t.Errorf("left behind: %s", line)
		}
	}
	if created {
		if err := s.Terminate(t.Context(), lockID(t, "b"), "b"); err != nil {
			t.Error(err)
		}
	}
	wantOnlyFiles(t, s)
}

// cutRemoval removes the upload a, whose data is at the path, up to the removal of its record.
// If dataStays is set, that of the data is not done either.
func cutRemoval(t *testing.T, path string, dataStays bool) *FileStore {
	t.Helper()
	s := New(t.TempDir())
	cut := errors.New("the process ends")
	s.hook = func(op durable.Op, name string, done bool) error {
		if op == durable.OpRemove && (name == "a.info" || dataStays) {
			return cut
		}
		return nil
	}
	s = reopen(t, s)
	createStored(t, s, path)
	if err := s.Terminate(t.Context(), lockID(t, "a"), "a"); !errors.Is(err, cut) {
		t.Fatalf("the removal is cut by %v", err)
	}
	s.hook = nil
	return reopen(t, s)
}

// Tidy completes a removal that was cut, with the data that is left and without that of the
// next upload.
func TestTidyCompletesRemovals(t *testing.T) {
	for _, dataStays := range []bool{true, false} {
		s := cutRemoval(t, "bob/avatar.png", dataStays)
		if !dataStays {
			if _, err := createAt(t, s, "b", "bob/avatar.png"); err != nil {
				t.Fatal(err)
			}
		}
		if got := tidyAll(t, s, dayAgo()); len(got) > 0 {
			t.Errorf("a young one: %q", got)
		}
		want := []string{`broken a.info "a" removed`}
		before := allFiles(t, s)
		got := tidyAll(t, s, time.Now().Add(time.Hour), func(t *tusd.Tidying) { t.DryRun = true })
		got = slices.DeleteFunc(got, func(line string) bool { return strings.HasPrefix(line, "data ") })
		if after := allFiles(t, s); !slices.Equal(got, want) || len(after) != len(before) {
			t.Errorf("a dry run: %q, want %q; files %q", got, want, after)
		}
		tidyAll(t, s, time.Now().Add(time.Hour), func(tidying *tusd.Tidying) {
			tidying.Lock = func(ctx context.Context, id string) (tusd.Lease, error) { return lostLease{lockID(t, id)}, nil }
		})
		if _, err := s.GetUpload(t.Context(), nil, "a"); !errors.Is(err, errRemovalCut) {
			t.Errorf("without the lock, the removal is completed: %v", err)
		}
		if got := tidyAll(t, s, time.Now().Add(time.Hour)); !slices.Equal(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
		if dataStays {
			wantOnlyFiles(t, s)
		} else {
			wantOnlyFiles(t, s, "bob/avatar.png", "b.info")
		}
	}
}

// A marked record is no upload: it is 404 and broken, listed without a record, and a fault.
// For tusd v2 it is an upload without data.
func TestMarkedRecordIsNoUpload(t *testing.T) {
	s := cutRemoval(t, "bob/avatar.png", true)
	if _, err := s.GetUpload(t.Context(), nil, "a"); !errors.Is(err, tusd.ErrNotFound) || !errors.Is(err, tusd.ErrBroken) {
		t.Errorf("it is loaded with %v", err)
	}
	page, _, err := s.List(t.Context(), "", tusd.ListFilter{}, 10)
	if err != nil || len(page) != 1 || page[0].Record != nil {
		t.Errorf("listed: %+v, %v", page, err)
	}
	wantFault(t, s, "a", "a.info: its removal was cut short")
	if _, err := createAt(t, s, "b", "bob/avatar.png"); !errors.Is(err, tusd.ErrInvalidName) {
		t.Errorf("the place of data that is not removed yet: %v", err)
	}
	if _, err := createAt(t, s, "a", "other"); !errors.Is(err, tusd.ErrUploadExists) {
		t.Errorf("the id of an upload that is not removed yet: %v", err)
	}
	record, _, err := s.opened.Load().readRecordOnce("a")
	if err != nil || record.Storage["Path"] != filepath.Join(s.Path, "a") {
		t.Errorf("tusd v2 finds the data of %+v, %v", record, err)
	}
}

// The data is that of the removed upload also after the directory was copied; other data at
// its place stays.
func TestMarkedDataIsKnownAgain(t *testing.T) {
	for name, change := range map[string]func(path string, modified time.Time) error{
		"copied": func(path string, modified time.Time) error {
			return errors.Join(os.Rename(path, path+".old"), os.WriteFile(path, []byte(stored), 0o644), os.Chtimes(path, modified, modified), os.Remove(path+".old"))
		},
		"other size": func(path string, modified time.Time) error {
			return errors.Join(os.WriteFile(path, []byte(added), 0o644), os.Chtimes(path, modified, modified))
		},
		"other time": func(path string, modified time.Time) error {
			return os.Chtimes(path, modified, modified.Add(time.Microsecond))
		},
	} {
		s := cutRemoval(t, "d/data", true)
		path := filepath.Join(s.Path, "d/data")
		stat, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := change(path, stat.ModTime()); err != nil {
			t.Fatal(err)
		}
		if err := s.Terminate(t.Context(), lockID(t, "a"), "a"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(path); (name == "copied") != os.IsNotExist(err) {
			t.Errorf("%s: %v", name, err)
		}
		wantAbsent(t, s, "a")
	}
}

// On a full disk, an upload can be removed without the mark.
func TestRemovalOnFullDisk(t *testing.T) {
	s := New(t.TempDir())
	full := false
	s.hook = func(op durable.Op, name string, done bool) error {
		if full && op == durable.OpWrite {
			return syscall.ENOSPC
		}
		return nil
	}
	s = reopen(t, s)
	createStored(t, s, "d/data")
	full = true
	if err := s.Terminate(t.Context(), lockID(t, "a"), "a"); err != nil {
		t.Error(err)
	}
	wantOnlyFiles(t, s)
}

// A sweep whose process ended in the middle of a removal is continued by the next sweep, with the
// event and without the data of the next upload.
func TestSweepContinuesRemoval(t *testing.T) {
	s := New(t.TempDir())
	s = reopen(t, s)
	createStored(t, s, "bob/avatar.png")
	s.Close()
	s = New(s.Path)
	var cut atomic.Bool
	s.hook = func(op durable.Op, name string, done bool) error {
		if op == durable.OpRemove && name == "a.info" && cut.Load() {
			return errKilled
		}
		return nil
	}
	composer := tusd.NewStoreComposer()
	s.UseIn(composer)
	var events eventList
	h, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, Events: &events})
	if err != nil {
		t.Fatal(err)
	}
	sweep := func() tusd.SweepSummary {
		summary, err := h.Sweep(t.Context(), tusd.SweepPolicy{OnlyWriter: true, Ages: map[tusd.UploadClass]time.Duration{tusd.ClassComplete: time.Nanosecond}})
		if err != nil {
			t.Error(err)
		}
		return summary
	}
	cut.Store(true)
	if got := sweep(); got.Failed != 1 || got.Removed != 0 {
		t.Errorf("the sweep that is cut: %+v", got)
	}
	if _, err := createAt(t, s, "b", "bob/avatar.png"); err != nil {
		t.Fatal(err)
	}
	write(t, loadUpload(t, s, "b"), 0, added)
	cut.Store(false)
	sweep()
	wantAbsent(t, s, "a")
	wantContent(t, s, "b", added)
	if err := h.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	s.Close()
	if want := []string{"post-expire a"}; !slices.Equal(events.list, want) {
		t.Errorf("events: %q, want %q", events.list, want)
	}
}

// eventList is a sink. Its list may be read after Shutdown.
type eventList struct {
	mu   sync.Mutex
	list []string
}

func (e *eventList) Send(_ context.Context, event tusd.Event) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.list = append(e.list, string(event.Type)+" "+event.Upload.ID)
	return nil
}

func (e *eventList) Close() {}
