package filestore

import (
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// After a restart MakeDurable syncs the data, the record and the names once. Loading, reading
// and removing an upload sync none of them.
func TestSyncsAfterRestart(t *testing.T) {
	s, c := openCountingStore(t, Ack)
	createWithContent(t, s, "a", 11, stored)
	s = reopen(t, s)
	c.reset()
	up := loadUpload(t, s, "a")
	offsetOf(t, up)
	offsetOf(t, view(t, s, "a"))
	wantCounts(t, "looking", c.reset(), nil)
	makeDurable(t, up)
	wantCounts(t, "the first time", c.reset(), ops{durable.OpSync: 2, durable.OpSyncDir: 1})
	makeDurable(t, up)
	makeDurable(t, loadUpload(t, s, "a"))
	wantCounts(t, "the second time", c.reset(), nil)
	s = reopen(t, s)
	offsetOf(t, loadUpload(t, s, "a"))
	c.reset()
	if err := s.Terminate(t.Context(), lockID(t, "a"), "a"); err != nil {
		t.Fatal(err)
	}
	if got := c.reset(); got[durable.OpSync] != 0 {
		t.Errorf("a removal does %v", got)
	}
}

// FinishUpload and WriteChunk keep their promises, too, if nothing was made durable before.
func TestSyncsAfterLookingOnly(t *testing.T) {
	for _, level := range []Durability{Ack, Complete, None} {
		for what, change := range map[string]func(tusd.Upload) error{
			"finishing": func(up tusd.Upload) error { return up.FinishUpload(t.Context()) },
			"an empty chunk": func(up tusd.Upload) error {
				_, err := up.WriteChunk(t.Context(), int64(len(stored)), strings.NewReader(""))
				return err
			},
		} {
			s, c := openCountingStore(t, level)
			createWithContent(t, s, "a", int64(len(stored)), stored)
			s = reopen(t, s)
			up := loadUpload(t, s, "a")
			offsetOf(t, up)
			c.reset()
			if err := change(up); err != nil {
				t.Fatal(err)
			}
			want := ops{durable.OpSync: 2, durable.OpSyncDir: 1}
			if level == None {
				want = nil
			}
			wantCounts(t, fmt.Sprintf("%s at level %s", what, level), c.reset(), want)
		}
	}
}

func view(t *testing.T, s *FileStore, id string) tusd.Upload {
	t.Helper()
	up, err := s.GetUpload(t.Context(), nil, id)
	if err != nil {
		t.Fatal(err)
	}
	return up
}

func makeDurable(t *testing.T, up tusd.Upload) {
	t.Helper()
	if err := up.MakeDurable(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// After a restart a complete upload is synced before its first download, also at level
// complete. Further downloads sync nothing.
func TestDownloadsOfCompleteUploads(t *testing.T) {
	for _, level := range []Durability{Ack, Complete} {
		s, c := openCountingStore(t, level)
		createWithContent(t, s, "a", int64(len(stored)), stored)
		s = reopen(t, s)
		for _, scope := range []tusd.Scope{tusd.ScopeProcess, tusd.ScopeMachine} {
			s.opened.Load().scope = scope
			s.opened.Load().uploads.invalidateState("a")
			for i, want := range []ops{{durable.OpSync: 2, durable.OpSyncDir: 1}, nil} {
				c.reset()
				makeDurable(t, view(t, s, "a"))
				wantCounts(t, fmt.Sprintf("%s, scope %s, download %d", level, scope, i+1), c.reset(), want)
			}
		}
	}
}

// fencedLease is a lease with given fencing numbers.
type fencedLease struct {
	tusd.Lease
	n, before uint64
}

func (l fencedLease) Fence() (n, before uint64) { return l.n, l.before }

// With a locker of scope machine a sync state is trusted only if no other process had a
// grant in between.
func TestStatesBetweenProcesses(t *testing.T) {
	s, c := openCountingStore(t, Ack)
	s.opened.Load().scope = tusd.ScopeMachine
	first := fencedLease{lockID(t, "a"), 5, 0}
	if _, err := s.NewUpload(t.Context(), first, tusd.FileInfo{ID: "a", Size: 3}); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		what   string
		lease  tusd.Lease
		synced bool // before the offset is shown
	}{
		{"the same grant", first, false},
		{"the next grant", fencedLease{first, 6, 5}, false},
		{"and the one after it", fencedLease{first, 7, 6}, false},
		{"after a grant of another process", fencedLease{first, 9, 8}, true},
		{"the next grant again", fencedLease{first, 10, 9}, false},
		{"the grant before is not known", fencedLease{first, 11, 0}, true},
		{"a locker without numbers", fencedLease{first, 0, 0}, true},
		{"a locker without numbers again", fencedLease{first, 0, 0}, true},
		{"no lease", nil, true},
	}
	for _, step := range steps {
		c.reset()
		up, err := s.GetUpload(t.Context(), step.lease, "a")
		if err != nil {
			t.Fatal(err)
		}
		makeDurable(t, up)
		if got := c.reset()[durable.OpSync] > 0; got != step.synced {
			t.Errorf("%s: synced %t, want %t", step.what, got, step.synced)
		}
	}
}

// After a failed removal the store still truncates the bytes that a failed sync has lost.
func TestFailedRemovalKeepsLostBytesKnown(t *testing.T) {
	s := New(t.TempDir())
	var failing atomic.Bool
	s.hook = func(op durable.Op, name string, _ bool) error {
		canFail := op == durable.OpSync || op == durable.OpTruncate || op == durable.OpRemove
		if failing.Load() && name == "a" && canFail {
			return syscall.EIO
		}
		return nil
	}
	s = reopen(t, s)
	up := createWithContent(t, s, "a", 100, "stored")
	failing.Store(true)
	if n, err := up.WriteChunk(t.Context(), 6, strings.NewReader("lost")); n != 0 || err == nil {
		t.Fatalf("WriteChunk gives %d, %v", n, err)
	}
	if err := s.Terminate(t.Context(), lockID(t, "a"), "a"); !errors.Is(err, syscall.EIO) {
		t.Fatalf("Terminate gives %v", err)
	}
	failing.Store(false)
	wantContent(t, s, "a", "stored")
}
