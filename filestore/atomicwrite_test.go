package filestore

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// Bytes of a process that crashes in the middle of WriteAtomic are never visible to readers.
func TestAtomicCutByCrash(t *testing.T) {
	for _, level := range levels {
		t.Run(level.String(), func(t *testing.T) {
			s := openStore(t, level)
			up := createWithContent(t, s, "a", int64(len(stored+added)), stored)
			offsetOf(t, up)
			c, err := up.(*upload).begin(t.Context(), int64(len(stored)))
			if err != nil {
				t.Fatal(err)
			}
			if err := up.(*upload).writeUndoRecord(c.start); err != nil {
				t.Fatal(err)
			}
			if err := c.copy(context.Background(), strings.NewReader(added)); err != nil {
				t.Fatal(err)
			}
			c.f.Close()
			s = reopen(t, s)
			reader, err := s.GetUpload(t.Context(), nil, "a")
			if err != nil {
				t.Fatal(err)
			}
			if got := offsetOf(t, reader); got != int64(len(stored)) {
				t.Errorf("a reader sees the offset %d, want %d", got, len(stored))
			}
			wantFiles(t, s, "a", "a.info", "a.undo")
			up = loadUpload(t, s, "a")
			wantFiles(t, s, "a", "a.info")
			n, err := s.WriteAtomic(t.Context(), up, int64(len(stored)), strings.NewReader(added))
			if n != int64(len(added)) || err != nil {
				t.Fatalf("WriteAtomic gives %d, %v", n, err)
			}
			wantContent(t, s, "a", stored+added)
		})
	}
}

// newStoreWithFailingTruncate opens a store that cannot truncate the data of upload a while failing is set.
func newStoreWithFailingTruncate(t *testing.T) (s *FileStore, failing *atomic.Bool) {
	failing = new(atomic.Bool)
	s = New(t.TempDir())
	s.hook = func(op durable.Op, name string, _ bool) error {
		if failing.Load() && name == "a" && op == durable.OpTruncate {
			return syscall.EIO
		}
		return nil
	}
	return reopen(t, s), failing
}

// If a chunk cannot be rolled back at once, the next load or the next write through the
// same value rolls it back.
func TestAtomicRolledBackLater(t *testing.T) {
	for _, again := range []bool{false, true} {
		s, failing := newStoreWithFailingTruncate(t)
		up := createWithContent(t, s, "a", 100, stored)
		failing.Store(true)
		if n, err := s.WriteAtomic(t.Context(), up, 6, failAfter(added, errSource)); n != 0 || !errors.Is(err, errSource) {
			t.Fatalf("WriteAtomic gives %d, %v", n, err)
		}
		failing.Store(false)
		if again {
			write(t, up, 6, "W")
			wantContent(t, s, "a", stored+"W")
			continue
		}
		wantContent(t, s, "a", stored)
		wantFiles(t, s, "a", "a.info")
	}
}

// If a chunk cannot be rewound at once, the next load truncates the data.
func TestRewoundLater(t *testing.T) {
	s, failing := newStoreWithFailingTruncate(t)
	up := createWithContent(t, s, "a", 100, stored)
	if n, err := up.WriteChunk(t.Context(), 6, failAfter(added, tusd.ErrUnverified)); n != 5 || !errors.Is(err, tusd.ErrUnverified) {
		t.Fatalf("WriteChunk gives %d, %v", n, err)
	}
	failing.Store(true)
	if err := s.Rewind(t.Context(), up, 6); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Rewind gives %v", err)
	}
	failing.Store(false)
	wantContent(t, s, "a", stored)
	wantFiles(t, s, "a", "a.info")
}

// A rollback that an earlier process has begun is synced before its undo record is
// removed, also if the data is already truncated.
func TestRollBackOfAnEarlierProcess(t *testing.T) {
	s := New(t.TempDir())
	var failing atomic.Bool
	var order []string
	s.hook = func(op durable.Op, name string, done bool) error {
		if failing.Load() && name == "a" && op == durable.OpSync {
			return syscall.EIO
		}
		if done {
			order = append(order, string(op)+" "+name)
		}
		return nil
	}
	s = reopen(t, s)
	up := createWithContent(t, s, "a", 100, stored)
	failing.Store(true)
	if _, err := s.WriteAtomic(t.Context(), up, int64(len(stored)), failAfter(added, errSource)); err == nil {
		t.Fatal("the chunk is stored")
	}
	wantFiles(t, s, "a", "a.info", "a.undo")
	if stat, err := os.Stat(filepath.Join(s.Path, "a")); err != nil || stat.Size() != int64(len(stored)) {
		t.Fatalf("the data is not cut: %v, %v", stat, err)
	}
	failing.Store(false)
	s = reopen(t, s)
	order = nil
	wantContent(t, s, "a", stored)
	if got, want := strings.Join(order, ", "), "sync a, remove a.undo, sync directory ."; !strings.HasPrefix(got, want) {
		t.Errorf("order:\n got %s\nwant %s", got, want)
	}
}

// At level ack, WriteAtomic syncs the undo record, its name and the data, in this order,
// before it removes the undo record.
func TestAtomicOrder(t *testing.T) {
	var order []string
	s := New(t.TempDir())
	s.hook = func(op durable.Op, name string, done bool) error {
		if strings.HasPrefix(name, tempDir) {
			name = "temp"
		}
		if done {
			order = append(order, string(op)+" "+name)
		}
		return nil
	}
	s = reopen(t, s)
	up := createWithContent(t, s, "a", 11, stored)
	if err := up.UpdateInfo(t.Context(), func(*tusd.FileInfo) error { return nil }); err != nil { // creates the directory for temporary files
		t.Fatal(err)
	}
	order = nil
	if _, err := s.WriteAtomic(t.Context(), up, int64(len(stored)), strings.NewReader(added)); err != nil {
		t.Fatal(err)
	}
	got := strings.Join(order, ", ")
	want := "create temp, write temp, sync temp, rename a.undo, sync directory ., write a, sync a, remove a.undo, sync directory ."
	if got != want {
		t.Errorf("order:\n got %s\nwant %s", got, want)
	}
}

// A reader never sees a byte of a chunk that is rolled back.
func TestReaderNeverSeesRolledBackBytes(t *testing.T) {
	s := openStore(t, None)
	up := createWithContent(t, s, "a", 100, stored)
	stop := make(chan struct{})
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				reader, err := s.GetUpload(t.Context(), nil, "a")
				if err != nil {
					t.Error(err)
					return
				}
				if got := offsetOf(t, reader); got != int64(len(stored)) {
					t.Errorf("the offset is %d, want %d", got, len(stored))
					return
				}
			}
		})
	}
	for range 500 {
		if _, err := s.WriteAtomic(t.Context(), up, int64(len(stored)), failAfter(added, errSource)); !errors.Is(err, errSource) {
			t.Fatal(err)
		}
	}
	close(stop)
	readers.Wait()
}
