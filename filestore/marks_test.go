package filestore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// counter counts operations; after an operation has happened.
type counter struct {
	mu   sync.Mutex
	seen map[durable.Op]int
}

func (c *counter) hook(op durable.Op, _ string, done bool) error {
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

// take returns what was counted since the last call.
func (c *counter) take() map[durable.Op]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = nil
	return seen
}

func counted(t testing.TB, level Durability) (*FileStore, *counter) {
	c := &counter{}
	s := New(t.TempDir())
	s.Durability, s.hook = level, c.hook
	return reopened(t, s), c
}

func wantCounts(t *testing.T, what string, got, want map[durable.Op]int) {
	t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}

type ops = map[durable.Op]int

// What each step of an upload costs in changes and syncs.
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
			s, c := counted(t, level)
			created(t, s, "a", int64(len(stored+added)))
			wantCounts(t, "create", c.take(), want.create)
			up := loaded(t, s, "a")
			offsetOf(t, up)
			wantCounts(t, "load and show", c.take(), nil)
			write(t, up, 0, stored)
			wantCounts(t, "write", c.take(), want.write)
			offsetOf(t, up)
			offsetOf(t, loaded(t, s, "a"))
			wantCounts(t, "show", c.take(), want.show)
			write(t, up, int64(len(stored)), added)
			wantCounts(t, "last write", c.take(), want.last)
			if err := up.FinishUpload(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantCounts(t, "finish", c.take(), want.finish)
			if err := s.Terminate(t.Context(), locked(t, "a"), "a"); err != nil {
				t.Fatal(err)
			}
			wantCounts(t, "terminate", c.take(), want.terminate)
		})
	}
}

// After a restart the first offset that is shown is synced, with record and
// names, and no other.
func TestFirstOffsetAfterRestart(t *testing.T) {
	s, c := counted(t, Ack)
	written(t, s, "a", 11, stored)
	s = reopened(t, s)
	c.take()
	offsetOf(t, loaded(t, s, "a"))
	wantCounts(t, "the first time", c.take(), ops{durable.OpSync: 2, durable.OpSyncDir: 1})
	offsetOf(t, loaded(t, s, "a"))
	wantCounts(t, "the second time", c.take(), nil)
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
			s.opened.Load().marks.forget("a")
			for i, want := range []ops{{durable.OpSync: 2, durable.OpSyncDir: 1}, nil} {
				c.take()
				up, err := s.GetUpload(t.Context(), nil, "a")
				if err != nil {
					t.Fatal(err)
				}
				offsetOf(t, up)
				wantCounts(t, fmt.Sprintf("%s, scope %s, download %d", level, scope, i+1), c.take(), want)
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
		c.take()
		up, err := s.GetUpload(t.Context(), step.lease, "a")
		if err != nil {
			t.Fatal(err)
		}
		offsetOf(t, up)
		if got := c.take()[durable.OpSync] > 0; got != step.synced {
			t.Errorf("%s: synced %t, want %t", step.what, got, step.synced)
		}
	}
}

// The table of marks is bounded, and never forgets an upload that is written.
func TestMarksAreBounded(t *testing.T) {
	table := newMarks()
	lease := locked(t, "x")
	const writing = 1000
	before := heapInUse()
	for i := range 100_000 {
		m := mark{writing: i < writing && i%2 == 0, cut: i < writing && i%2 == 1}
		table.set(fmt.Sprint(strings.Repeat("i", 800), i), lease, m)
		table.setSettledFull(fmt.Sprint(strings.Repeat("i", 800), i), time.Now())
	}
	if took := heapInUse() - before; took > (marksBytes+fullBytes)*5/4 || took < marksBytes {
		t.Errorf("marks take %d bytes, %d are meant", took, marksBytes+fullBytes)
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

// However chunks that are taken back and a reader race, the reader never sees
// a byte of them.
func TestReaderNeverSeesWhatIsTakenBack(t *testing.T) {
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

// A process that dies in the middle of an all-or-nothing chunk leaves its
// bytes; nobody ever sees them.
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
			if err := up.(*upload).leaveRollbackMark(c.start); err != nil {
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

// A chunk that cannot be taken back at once is taken back by who loads the
// upload next, also through the same value.
func TestAtomicTakenBackLater(t *testing.T) {
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

// The order of an all-or-nothing chunk at ack: mark, mark's name, data, and
// only then the mark's removal, each on the disk before the next.
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

// A mark that is forgotten while an upload is looked at again does not say that
// nothing of it is on the disk.
func TestMarkForgottenAgain(t *testing.T) {
	s := opened(t, None)
	u := written(t, s, "a", 3, "abc").(*upload)
	u.v.forgetLater("a")
	for i := range maxLately - 1 {
		u.v.forgetLater(fmt.Sprint("other", i))
	}
	u.v.marks.forget("a")
	m, err := u.knownMark() // finds it complete, and "a" is the oldest of those that are
	if _, known := u.v.marks.byID.Get("a"); known {
		t.Fatal("the mark was not forgotten")
	}
	if err != nil || m.synced != unknown {
		t.Errorf("the mark is %+v, %v", m, err)
	}
}
