package filestore

import (
	"fmt"
	"sync"
	"testing"

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
