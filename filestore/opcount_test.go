package filestore

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// opCounter counts operations that are done.
type opCounter struct {
	mu   sync.Mutex
	seen map[durable.Op]int
}

func (c *opCounter) hook(op durable.Op, _ string, done bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = make(map[durable.Op]int)
	}
	if done {
		c.seen[op]++
	}
	return nil
}

// reset returns what was counted since the last call.
func (c *opCounter) reset() map[durable.Op]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = nil
	return seen
}

// openCountingStore opens a store whose operations are counted.
func openCountingStore(t testing.TB, level Durability) (*FileStore, *opCounter) {
	c := &opCounter{}
	s := New(t.TempDir())
	s.Durability, s.hook = level, c.hook
	return reopen(t, s), c
}

func wantCounts(t *testing.T, what string, got, want map[durable.Op]int) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

type ops = map[durable.Op]int

// TestOperationsPerStep checks the number of changes and syncs of each step of an upload.
func TestOperationsPerStep(t *testing.T) {
	cases := map[Durability]struct{ create, write, show, last, finish, terminate ops }{
		Ack: {
			create:    ops{durable.OpCreate: 2, durable.OpWrite: 1, durable.OpSync: 1, durable.OpSyncDir: 1},
			write:     ops{durable.OpWrite: 1, durable.OpSync: 1},
			last:      ops{durable.OpWrite: 1, durable.OpSync: 1},
			terminate: ops{durable.OpRemove: 2, durable.OpSyncDir: 1},
		},
		Complete: {
			create:    ops{durable.OpCreate: 2, durable.OpWrite: 1},
			write:     ops{durable.OpWrite: 1},
			last:      ops{durable.OpWrite: 1, durable.OpSync: 2, durable.OpSyncDir: 1},
			terminate: ops{durable.OpRemove: 2},
		},
		None: {
			create:    ops{durable.OpCreate: 2, durable.OpWrite: 1},
			write:     ops{durable.OpWrite: 1},
			last:      ops{durable.OpWrite: 1},
			terminate: ops{durable.OpRemove: 2},
		},
	}
	for level, want := range cases {
		t.Run(level.String(), func(t *testing.T) {
			s, c := openCountingStore(t, level)
			createUpload(t, s, "a", int64(len(stored+added)))
			wantCounts(t, "create", c.reset(), want.create)
			up := loadUpload(t, s, "a")
			offsetOf(t, up)
			wantCounts(t, "load and show", c.reset(), nil)
			write(t, up, 0, stored)
			wantCounts(t, "write", c.reset(), want.write)
			offsetOf(t, up)
			offsetOf(t, loadUpload(t, s, "a"))
			wantCounts(t, "show", c.reset(), want.show)
			write(t, up, int64(len(stored)), added)
			wantCounts(t, "last write", c.reset(), want.last)
			if err := up.FinishUpload(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantCounts(t, "finish", c.reset(), want.finish)
			if err := s.Terminate(t.Context(), lockID(t, "a"), "a"); err != nil {
				t.Fatal(err)
			}
			wantCounts(t, "terminate", c.reset(), want.terminate)
		})
	}
}

// TestOperationsOnSideRecords checks that a side record needs no new file when another one was
// deleted before.
func TestOperationsOnSideRecords(t *testing.T) {
	for level, want := range map[Durability]struct{ put, remove ops }{
		Ack: {
			put:    ops{durable.OpWrite: 1, durable.OpSync: 1, durable.OpRename: 1, durable.OpSyncDir: 1},
			remove: ops{durable.OpRename: 1},
		},
		None: {
			put:    ops{durable.OpWrite: 1, durable.OpRename: 1},
			remove: ops{durable.OpRename: 1},
		},
	} {
		s, c := openCountingStore(t, level)
		put := func(name, value string) {
			if err := s.PutSideRecord(t.Context(), tusd.SideRecordKey{Kind: "kind", Name: name}, []byte(value)); err != nil {
				t.Fatal(err)
			}
		}
		remove := func(name string) {
			if err := s.DeleteSideRecord(t.Context(), tusd.SideRecordKey{Kind: "kind", Name: name}); err != nil {
				t.Fatal(err)
			}
		}
		put("a", "short")
		put("y", "short")
		remove("a")
		remove("y")
		put("x", "syncs the removals")
		c.reset()
		put("b", "a longer value")
		wantCounts(t, level.String()+": put", c.reset(), want.put)
		remove("b")
		wantCounts(t, level.String()+": delete", c.reset(), want.remove)
		put("c", "value")
		if value, err := s.GetSideRecord(t.Context(), tusd.SideRecordKey{Kind: "kind", Name: "c"}); string(value) != "value" || err != nil {
			t.Errorf("the value is %q, %v", value, err)
		}
	}
}

// TestNoSpareIsLeft checks that a store removes, when it is closed, the files that it has kept for
// further side records, and never keeps many.
func TestNoSpareIsLeft(t *testing.T) {
	s, _ := openCountingStore(t, None)
	const n = 400
	for i := range n {
		if err := s.PutSideRecord(t.Context(), tusd.SideRecordKey{Kind: "kind", Name: fmt.Sprint(i)}, []byte("value")); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		if err := s.DeleteSideRecord(t.Context(), tusd.SideRecordKey{Kind: "kind", Name: fmt.Sprint(i)}); err != nil {
			t.Fatal(err)
		}
	}
	if files := len(filesIn(t, s)); files == 0 || files >= n {
		t.Errorf("%d files are kept", files)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if left := filesIn(t, s); len(left) > 0 {
		t.Errorf("%d files are left", len(left))
	}
}

func filesIn(t *testing.T, s *FileStore) []os.DirEntry {
	files, err := os.ReadDir(filepath.Join(s.Path, tempDir))
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// TestSideRecordOfAnother checks that a reader never gets the content of another side record, which
// was written into the file that the reader has open.
func TestSideRecordOfAnother(t *testing.T) {
	s, _ := openCountingStore(t, None)
	s.hook = nil
	names := []string{"a", "b", "c"}
	stop := make(chan struct{})
	var wait sync.WaitGroup
	for _, name := range names {
		wait.Go(func() {
			key := tusd.SideRecordKey{Kind: "kind", Name: name}
			for {
				select {
				case <-stop:
					return
				default:
				}
				value, err := s.GetSideRecord(t.Context(), key)
				if err == nil && string(value) != name || err != nil && !errors.Is(err, tusd.ErrNotFound) {
					t.Errorf("the value of %s is %q, %v", name, value, err)
					return
				}
			}
		})
	}
	for range 5000 {
		for _, name := range names {
			key := tusd.SideRecordKey{Kind: "kind", Name: name}
			if err := errors.Join(s.PutSideRecord(t.Context(), key, []byte(name)), s.DeleteSideRecord(t.Context(), key)); err != nil {
				t.Fatal(err)
			}
		}
	}
	close(stop)
	wait.Wait()
}
