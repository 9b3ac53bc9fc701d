package filestore

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// After a restart the first offset that is shown is synced, with record and
// names, and no other.
func TestFirstOffsetAfterRestart(t *testing.T) {
	s, c := counted(t, Ack)
	written(t, s, "a", 11, stored)
	s = reopened(t, s)
	c.reset()
	offsetOf(t, loaded(t, s, "a"))
	wantCounts(t, "the first time", c.reset(), ops{durable.OpSync: 2, durable.OpSyncDir: 1})
	offsetOf(t, loaded(t, s, "a"))
	wantCounts(t, "the second time", c.reset(), nil)
}

// A complete upload is synced before it is shown as such after a restart, also
// at the level complete; downloads that follow cost nothing.
func TestDownloadsOfCompleteUploads(t *testing.T) {
	for _, level := range []Durability{Ack, Complete} {
		s, c := counted(t, level)
		written(t, s, "a", int64(len(stored)), stored)
		s = reopened(t, s)
		for _, scope := range []tusd.Scope{tusd.ScopeProcess, tusd.ScopeMachine} {
			s.opened.Load().scope = scope
			s.opened.Load().syncStates.forget("a")
			for i, want := range []ops{{durable.OpSync: 2, durable.OpSyncDir: 1}, nil} {
				c.reset()
				up, err := s.GetUpload(t.Context(), nil, "a")
				if err != nil {
					t.Fatal(err)
				}
				offsetOf(t, up)
				wantCounts(t, fmt.Sprintf("%s, scope %s, download %d", level, scope, i+1), c.reset(), want)
			}
		}
	}
}

// fenced is a lease with given numbers.
type fenced struct {
	tusd.Lease
	n, before uint64
}

func (l fenced) Fence() (n, before uint64) { return l.n, l.before }

// With a locker of the machine's processes a mark counts only if no other
// grant lies between.
func TestMarksBetweenProcesses(t *testing.T) {
	s, c := counted(t, Ack)
	s.opened.Load().scope = tusd.ScopeMachine
	first := fenced{locked(t, "a"), 5, 0}
	if _, err := s.NewUpload(t.Context(), first, tusd.FileInfo{ID: "a", Size: 3}); err != nil {
		t.Fatal(err)
	}
	steps := []struct {
		what   string
		lease  tusd.Lease
		synced bool // before the offset is shown
	}{
		{"the same grant", first, false},
		{"the next grant", fenced{first, 6, 5}, false},
		{"one between was another's", fenced{first, 8, 7}, true},
		{"the next grant again", fenced{first, 9, 8}, false},
		{"the grant before is not known", fenced{first, 10, 0}, true},
		{"a locker without numbers", fenced{first, 0, 0}, true},
		{"a locker without numbers again", fenced{first, 0, 0}, true},
		{"no lease", nil, true},
	}
	for _, step := range steps {
		c.reset()
		up, err := s.GetUpload(t.Context(), step.lease, "a")
		if err != nil {
			t.Fatal(err)
		}
		offsetOf(t, up)
		if got := c.reset()[durable.OpSync] > 0; got != step.synced {
			t.Errorf("%s: synced %t, want %t", step.what, got, step.synced)
		}
	}
}

// The table of marks is bounded, and never forgets an upload that is written.
func TestMarksAreBounded(t *testing.T) {
	table := newSyncStates()
	lease := locked(t, "x")
	const writing = 1000
	before := heapInUse()
	for i := range 100_000 {
		m := syncState{writing: i < writing && i%2 == 0, cut: i < writing && i%2 == 1}
		table.set(fmt.Sprint(strings.Repeat("i", 800), i), lease, m)
		table.setFullSynced(fmt.Sprint(strings.Repeat("i", 800), i), time.Now())
	}
	if took := heapInUse() - before; took > (syncStatesBytes+fullBytes)*5/4 || took < syncStatesBytes {
		t.Errorf("marks take %d bytes, %d are meant", took, syncStatesBytes+fullBytes)
	}
	for i := range writing {
		if m, ok := table.trusted(fmt.Sprint(strings.Repeat("i", 800), i), tusd.ScopeProcess, nil); !ok || !m.pinned() {
			t.Fatalf("the mark of upload %d, which is written, was evicted", i)
		}
	}
}

// A reader without a lease sees, while a chunk is written, what held before.
func TestReaderBesideWriter(t *testing.T) {
	for _, level := range levels {
		for name, fresh := range map[string]bool{"known": false, "after a restart": true} {
			t.Run(level.String()+"/"+name, func(t *testing.T) {
				s := opened(t, level)
				offsetOf(t, written(t, s, "a", int64(len(stored+added)), stored))
				if fresh {
					s = reopened(t, s)
				}
				up := loaded(t, s, "a")
				offsetOf(t, up)
				look := func() int64 {
					reader, err := s.GetUpload(t.Context(), nil, "a")
					if err != nil {
						t.Fatal(err)
					}
					return offsetOf(t, reader)
				}
				var seen []int64
				half := 0
				src := readFunc(func(p []byte) (int, error) {
					seen = append(seen, look(), offsetOf(t, up))
					if half++; half > 1 {
						return 0, errSource
					}
					return copy(p, added[:3]), nil
				})
				if n, err := s.WriteAtomic(t.Context(), up, int64(len(stored)), src); n != 0 || err == nil {
					t.Fatalf("WriteAtomic gives %d, %v", n, err)
				}
				half = 0
				if n, err := up.WriteChunk(t.Context(), int64(len(stored)), src); n != 3 || err == nil {
					t.Fatalf("WriteChunk gives %d, %v", n, err)
				}
				for _, got := range seen {
					if got != int64(len(stored)) {
						t.Errorf("beside a writer the offset is %d, want %d", got, len(stored))
					}
				}
				if got := look(); got != int64(len(stored))+3 {
					t.Errorf("after it the offset is %d, want %d", got, len(stored)+3)
				}
			})
		}
	}
}

// A mark that is forgotten while an upload is looked at again does not say that
// nothing of it is on the disk.
func TestMarkForgottenAgain(t *testing.T) {
	s := opened(t, None)
	u := written(t, s, "a", 3, "abc").(*upload)
	u.v.rememberCompleted("a")
	for i := range maxRecentlyCompleted - 1 {
		u.v.rememberCompleted(fmt.Sprint("other", i))
	}
	u.v.syncStates.forget("a")
	m, err := u.knownState() // finds it complete, and "a" is the oldest of those that are
	if _, known := u.v.syncStates.byID.Get("a"); known {
		t.Fatal("the mark was not forgotten")
	}
	if err != nil || m.synced != unknownOffset {
		t.Errorf("the mark is %+v, %v", m, err)
	}
}
