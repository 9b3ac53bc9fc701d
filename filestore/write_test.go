package filestore

import (
	"context"
	"errors"
	"io"
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

// A fast connection is read with the large buffer and a slow one with the small buffer,
// also if it was fast before.
func TestBufferFollowsTheConnection(t *testing.T) {
	s := openStore(t, None)
	up := createUpload(t, s, "a", 1<<30)
	reads := []int{smallBuffer, 100, largeBuffer, worthLarge, 10, 10, smallBuffer, 10, worthLarge - 1, 1}
	want := []int{smallBuffer, largeBuffer, largeBuffer, largeBuffer, largeBuffer, smallBuffer, smallBuffer,
		largeBuffer, largeBuffer, smallBuffer, smallBuffer}
	var got []int
	src := readFunc(func(p []byte) (int, error) {
		got = append(got, len(p))
		if len(got) > len(reads) {
			return 0, io.EOF
		}
		return reads[len(got)-1], nil
	})
	if _, err := up.WriteChunk(t.Context(), 0, src); err != nil {
		t.Fatal(err)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("buffers of %v, want %v", got, want)
		}
	}
}

// The number of large buffers is bounded. A connection that becomes slow or ends frees
// its buffer for others.
func TestLargeBuffersAreBounded(t *testing.T) {
	var all bufferPools
	taken := make([]readBuffer, 2*maxLarge)
	for i := range taken {
		taken[i] = all.acquire()
		taken[i].adapt(smallBuffer)
		if large := len(taken[i].space) == largeBuffer; large != (i < maxLarge) {
			t.Fatalf("connection %d has a buffer of %d bytes", i, len(taken[i].space))
		}
	}
	taken[0].adapt(worthLarge - 1)
	taken[0].adapt(worthLarge - 1)
	taken[1].release()
	for i := maxLarge; i < maxLarge+3; i++ {
		taken[i].adapt(smallBuffer)
		if large := len(taken[i].space) == largeBuffer; large != (i < maxLarge+2) {
			t.Errorf("connection %d then has a buffer of %d bytes", i, len(taken[i].space))
		}
	}
}

// Less than 8 MiB of a body are not synced, however long the body is.
func TestUnsyncedBytesAreBounded(t *testing.T) {
	const length, bound = 64 << 20, 8 << 20
	var u *upload
	var mu sync.Mutex
	started := int64(0)
	s := New(t.TempDir())
	s.hook = func(op durable.Op, _ string, done bool) error {
		mu.Lock()
		defer mu.Unlock()
		if op == durable.OpWriteBack {
			started++
		}
		return nil
	}
	s = reopen(t, s)
	up := createUpload(t, s, "a", length)
	u = up.(*upload)
	c, err := u.begin(t.Context(), 0)
	if err != nil {
		t.Fatal(err)
	}
	defer c.f.Close()
	worst := int64(0)
	buffer := make([]byte, largeBuffer)
	for c.end < length {
		if err := c.write(buffer); err != nil {
			t.Fatal(err)
		}
		worst = max(worst, c.end-c.waited)
	}
	if worst > bound {
		t.Errorf("%d bytes were not waited for, want at most %d", worst, bound)
	}
	if started == 0 {
		t.Error("no write-back was started")
	}
}

// After the lease or the context has ended nothing is written. Bytes that were written
// before are kept.
func TestNoWriteAfterTheLeaseEnds(t *testing.T) {
	for _, what := range []string{"context", "lease"} {
		t.Run(what, func(t *testing.T) {
			s := openStore(t, Ack)
			lease := lockID(t, "a")
			up, err := s.NewUpload(t.Context(), lease, tusd.FileInfo{ID: "a", Size: 100})
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			reads := 0
			src := readFunc(func(p []byte) (int, error) {
				if reads++; reads == 2 {
					if cancel(); what == "lease" {
						lease.Unlock(t.Context())
					}
				}
				return copy(p, added), nil
			})
			if what == "lease" {
				ctx = t.Context()
			}
			n, err := up.WriteChunk(ctx, 0, src)
			if n != int64(len(added)) || !errors.Is(err, context.Canceled) || reads != 2 {
				t.Errorf("WriteChunk gives %d, %v after %d reads", n, err, reads)
			}
			wantContent(t, s, "a", added)
			if what == "context" {
				return
			}
			wantRefusals(t, s, up, context.Canceled)
		})
	}
}

// Without a lease nothing can be changed.
func TestNoLease(t *testing.T) {
	s := openStore(t, Ack)
	createWithContent(t, s, "a", 11, stored)
	up, err := s.GetUpload(t.Context(), nil, "a")
	if err != nil {
		t.Fatal(err)
	}
	wantRefusals(t, s, up, tusd.ErrNoLease)
	if _, err := s.NewUpload(t.Context(), nil, tusd.FileInfo{ID: "b"}); !errors.Is(err, tusd.ErrNoLease) {
		t.Errorf("NewUpload gives %v", err)
	}
	if err := s.Terminate(t.Context(), nil, "a"); !errors.Is(err, tusd.ErrNoLease) {
		t.Errorf("Terminate gives %v", err)
	}
	wantContent(t, s, "a", stored)
}

// wantRefusals checks that every change of up gives want.
func wantRefusals(t *testing.T, s *FileStore, up tusd.Upload, want error) {
	t.Helper()
	offset := offsetOf(t, up)
	_, write := up.WriteChunk(t.Context(), offset, strings.NewReader("x"))
	_, atomic := s.WriteAtomic(t.Context(), up, offset, strings.NewReader("x"))
	for what, err := range map[string]error{
		"WriteChunk": write, "WriteAtomic": atomic,
		"UpdateInfo":    up.UpdateInfo(t.Context(), func(*tusd.FileInfo) error { return nil }),
		"FinishUpload":  up.FinishUpload(t.Context()),
		"DeclareLength": s.DeclareLength(t.Context(), up, 100),
		"Concat":        s.Concat(t.Context(), up, nil),
	} {
		if !errors.Is(err, want) {
			t.Errorf("%s gives %v, want %v", what, err, want)
		}
	}
}

// A wrong offset or content beyond the length is refused before a byte is written.
func TestWrongOffsetAndTooMuch(t *testing.T) {
	s := openStore(t, Ack)
	up := createWithContent(t, s, "a", 11, stored)
	for _, offset := range []int64{-1, 0, 5, 7, 1 << 62} {
		if n, err := up.WriteChunk(t.Context(), offset, strings.NewReader("x")); n != 0 || !errors.Is(err, tusd.ErrMismatchedOffset) {
			t.Errorf("offset %d: %d, %v", offset, n, err)
		}
	}
	if n, err := up.WriteChunk(t.Context(), 6, strings.NewReader(added+"!")); n != 0 || !errors.Is(err, tusd.ErrUploadSizeExceeded) {
		t.Errorf("beyond the length: %d, %v", n, err)
	}
	wantContent(t, s, "a", stored)
}

// FileStore works as a value, not only as a pointer, as in README.
func TestZeroValueOfFileStore(t *testing.T) {
	store := FileStore{Path: filepath.Join(t.TempDir(), "new", "uploads")}
	composer := tusd.NewStoreComposer()
	store.UseIn(composer)
	if err := composer.Core.Open(t.Context(), env()); err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	wantContent(t, &store, "a", func() string { createWithContent(t, &store, "a", 3, "abc"); return "abc" }())
	if stat, err := os.Stat(store.Path); err != nil || !stat.IsDir() {
		t.Errorf("the directory: %v", err)
	}
}

func TestParseDurability(t *testing.T) {
	for _, level := range levels {
		if got, err := ParseDurability(level.String()); got != level || err != nil {
			t.Errorf("ParseDurability(%s) = %v, %v", level, got, err)
		}
	}
	for _, wrong := range []string{"", "ACK", "sync", "unknown durability"} {
		if _, err := ParseDurability(wrong); err == nil {
			t.Errorf("ParseDurability(%q) succeeds", wrong)
		}
	}
}

// Open removes temporary files of ended processes. In a shared directory it removes only
// old files without an owner: another process may be writing a new one.
func TestSweepOfTemporaryFiles(t *testing.T) {
	s := openStore(t, Ack)
	writeFiles(t, s, map[string]string{tempDir + "/left": "x"})
	s = reopen(t, s)
	left := filepath.Join(s.Path, tempDir, "left")
	if _, err := os.Stat(left); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("after Open: %v", err)
	}
	writeFiles(t, s, map[string]string{tempDir + "/left": "x", tempDir + "/old": "x"})
	past := time.Now().Add(-2 * tempAge)
	if err := errors.Join(os.Chtimes(filepath.Join(s.Path, tempDir, "old"), past, past), s.Close()); err != nil {
		t.Fatal(err)
	}
	if err := s.Open(t.Context(), tusd.Env{Locker: machineLocker{}}); err != nil {
		t.Fatal(err)
	}
	if entries, _ := os.ReadDir(filepath.Dir(left)); len(entries) != 1 || entries[0].Name() != "left" {
		t.Errorf("after Open of a shared directory: %v, want the new file", entries)
	}
}

// Open removes temporary files of an owner that has ended, however new they are. It keeps
// files of a running owner and files with other names.
func TestSweepOfOwners(t *testing.T) {
	if !locksBytes {
		t.Skip("no locks on single bytes here")
	}
	open := func(s *FileStore) {
		t.Helper()
		if err := s.Open(t.Context(), tusd.Env{Locker: machineLocker{}}); err != nil {
			t.Fatal(err)
		}
	}
	dir := t.TempDir()
	first, gone := New(dir), New(dir)
	open(first)
	defer first.Close()
	open(gone)
	prefix, dead := first.opened.Load().tempPrefix, gone.opened.Load().tempPrefix
	if prefix == dead || prefix == "" {
		t.Fatalf("the owners are %q and %q", prefix, dead)
	}
	stays := []string{prefix + "A", "no-owner", "0000000000000001.A", "ffffffffffffffff.A", "1000.A", "-1000000000000001.A", "+" + dead + "A", strings.ToUpper(dead) + "A", "0" + dead + "A", strings.TrimSuffix(dead, ".")}
	writeFiles(t, first, map[string]string{tempDir + "/" + dead + "A": "x", tempDir + "/" + dead + "B": "x", dead + "C": "x"})
	for _, name := range stays {
		writeFiles(t, first, map[string]string{tempDir + "/" + name: "x"})
	}
	if err := os.MkdirAll(filepath.Join(dir, tempDir, dead+"D"), 0o777); err != nil {
		t.Fatal(err)
	}
	stays = append(stays, dead+"D")
	if err := gone.Close(); err != nil {
		t.Fatal(err)
	}
	second := New(dir)
	open(second)
	defer second.Close()
	var names []string
	entries, err := os.ReadDir(filepath.Join(dir, tempDir))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	slices.Sort(stays)
	if !slices.Equal(names, stays) {
		t.Errorf("after Open: %q, want %q", names, stays)
	}
	if _, err := os.Stat(filepath.Join(dir, dead+"C")); err != nil {
		t.Errorf("a file elsewhere: %v", err)
	}
	// The running owner still works.
	createWithContent(t, first, "a", 3, "abc")
	if err := loadUpload(t, first, "a").UpdateInfo(t.Context(), func(*tusd.FileInfo) error { return nil }); err != nil {
		t.Error(err)
	}
}

// machineLocker has the scope machine.
type machineLocker struct{ tusd.Locker }

func (machineLocker) Scope() tusd.Scope { return tusd.ScopeMachine }

// If data can neither be synced nor truncated, it is truncated before an offset is
// returned. Until that succeeds, loads with a lease fail.
func TestFailedSyncAndFailedCut(t *testing.T) {
	for _, writeAgain := range []bool{false, true} {
		var failing atomic.Bool
		s := New(t.TempDir())
		s.hook = func(op durable.Op, name string, _ bool) error {
			if failing.Load() && name == "a" && (op == durable.OpSync || op == durable.OpTruncate) {
				return syscall.EIO
			}
			return nil
		}
		s = reopen(t, s)
		up := createWithContent(t, s, "a", 100, stored)
		failing.Store(true)
		if n, err := up.WriteChunk(t.Context(), 6, strings.NewReader(added)); n != 0 || !errors.Is(err, syscall.EIO) {
			t.Fatalf("WriteChunk gives %d, %v", n, err)
		}
		if _, err := s.GetUpload(t.Context(), lockID(t, "a"), "a"); !errors.Is(err, syscall.EIO) {
			t.Errorf("GetUpload gives %v, want EIO", err)
		}
		reader, err := s.GetUpload(t.Context(), nil, "a")
		if err != nil || offsetOf(t, reader) != 6 {
			t.Errorf("without a lease: %v", err)
		}
		failing.Store(false)
		if writeAgain {
			write(t, up, 6, "W")
			wantContent(t, s, "a", stored+"W")
			continue
		}
		wantContent(t, s, "a", stored)
		if stat, err := os.Stat(filepath.Join(s.Path, "a")); err != nil || stat.Size() != 6 {
			t.Errorf("the file has %d bytes, %v", stat.Size(), err)
		}
	}
}

// Creations succeed while other uploads' directories are created and removed.
func TestDirectoriesUnderConcurrency(t *testing.T) {
	s := openStore(t, None)
	var wg sync.WaitGroup
	for _, id := range []string{"d/e/1", "d/e/2", "d/3"} {
		wg.Go(func() {
			for range 200 {
				lease := lockID(t, id)
				if _, err := s.NewUpload(t.Context(), lease, tusd.FileInfo{ID: id, Size: 1}); err != nil {
					t.Error(err)
					return
				}
				if err := s.Terminate(t.Context(), lease, id); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	wantFiles(t, s)
}
