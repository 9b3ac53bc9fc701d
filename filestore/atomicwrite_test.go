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

// A process that dies in the middle of WriteAtomic leaves bytes that no reader sees.
func TestAtomicCutByCrash(t *testing.T) {
	for _, level := range levels {
		t.Run(level.String(), func(t *testing.T) {
			s := opened(t, level)
			up := written(t, s, "a", int64(len(stored+added)), stored)
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
			s = reopened(t, s)
			reader, err := s.GetUpload(t.Context(), nil, "a")
			if err != nil {
				t.Fatal(err)
			}
			if got := offsetOf(t, reader); got != int64(len(stored)) {
				t.Errorf("a reader sees the offset %d, want %d", got, len(stored))
			}
			wantFiles(t, s, "a", "a.info", "a.undo")
			up = loaded(t, s, "a")
			wantFiles(t, s, "a", "a.info")
			n, err := s.WriteAtomic(t.Context(), up, int64(len(stored)), strings.NewReader(added))
			if n != int64(len(added)) || err != nil {
				t.Fatalf("WriteAtomic gives %d, %v", n, err)
			}
			wantContent(t, s, "a", stored+added)
		})
	}
}

// newUncuttable opens a store that cannot cut the data of upload a while sick.
func newUncuttable(t *testing.T) (s *FileStore, sick *atomic.Bool) {
	sick = new(atomic.Bool)
	s = New(t.TempDir())
	s.hook = func(op durable.Op, name string, _ bool) error {
		if sick.Load() && name == "a" && op == durable.OpTruncate {
			return syscall.EIO
		}
		return nil
	}
	return reopened(t, s), sick
}

// A chunk that cannot be rolled back at once is rolled back by the next load, or by the
// next write through the same value.
func TestAtomicRolledBackLater(t *testing.T) {
	for _, again := range []bool{false, true} {
		s, sick := newUncuttable(t)
		up := written(t, s, "a", 100, stored)
		sick.Store(true)
		if n, err := s.WriteAtomic(t.Context(), up, 6, failAfter(added, errSource)); n != 0 || !errors.Is(err, errSource) {
			t.Fatalf("WriteAtomic gives %d, %v", n, err)
		}
		sick.Store(false)
		if again {
			write(t, up, 6, "W")
			wantContent(t, s, "a", stored+"W")
			continue
		}
		wantContent(t, s, "a", stored)
		wantFiles(t, s, "a", "a.info")
	}
}

// A chunk that cannot be rewound at once is cut back by the next load.
func TestRewoundLater(t *testing.T) {
	s, sick := newUncuttable(t)
	up := written(t, s, "a", 100, stored)
	if n, err := up.WriteChunk(t.Context(), 6, failAfter(added, tusd.ErrUnverified)); n != 5 || !errors.Is(err, tusd.ErrUnverified) {
		t.Fatalf("WriteChunk gives %d, %v", n, err)
	}
	sick.Store(true)
	if err := s.Rewind(t.Context(), up, 6); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Rewind gives %v", err)
	}
	sick.Store(false)
	wantContent(t, s, "a", stored)
	wantFiles(t, s, "a", "a.info")
}

// A roll back that an earlier process has begun is on disk before its undo record is
// removed, also if the data is already cut.
func TestRollBackOfAnEarlierProcess(t *testing.T) {
	s := New(t.TempDir())
	var sick atomic.Bool
	var order []string
	s.hook = func(op durable.Op, name string, done bool) error {
		if sick.Load() && name == "a" && op == durable.OpSync {
			return syscall.EIO
		}
		if done {
			order = append(order, string(op)+" "+name)
		}
		return nil
	}
	s = reopened(t, s)
	up := written(t, s, "a", 100, stored)
	sick.Store(true)
	if _, err := s.WriteAtomic(t.Context(), up, int64(len(stored)), failAfter(added, errSource)); err == nil {
		t.Fatal("the chunk is stored")
	}
	wantFiles(t, s, "a", "a.info", "a.undo")
	if stat, err := os.Stat(filepath.Join(s.Path, "a")); err != nil || stat.Size() != int64(len(stored)) {
		t.Fatalf("the data is not cut: %v, %v", stat, err)
	}
	sick.Store(false)
	s = reopened(t, s)
	order = nil
	wantContent(t, s, "a", stored)
	if got, want := strings.Join(order, ", "), "sync a, remove a.undo, sync directory ."; !strings.HasPrefix(got, want) {
		t.Errorf("order:\n got %s\nwant %s", got, want)
	}
}

// The order of WriteAtomic at level ack: undo record, its name, data, and only then
// the undo record's removal, each on disk before the next.
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
	s = reopened(t, s)
	up := written(t, s, "a", 11, stored)
	if err := up.UpdateInfo(t.Context(), func(*tusd.FileInfo) error { return nil }); err != nil { // makes the directory for temporary files
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

// A reader never sees a byte of a chunk that is rolled back, whenever it looks.
func TestReaderNeverSeesRolledBackBytes(t *testing.T) {
	s := opened(t, None)
	up := written(t, s, "a", 100, stored)
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
