package filestore

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

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
	buffer := make([]byte, largestBuffer)
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

// A chunk that arrives byte by byte changes the time of the last change with each byte.
func TestSlowChunkKeepsItsUploadYoung(t *testing.T) {
	for _, level := range levels {
		for name, write := range map[string]func(s *FileStore, up tusd.Upload, src io.Reader) (int64, error){
			"WriteChunk": func(_ *FileStore, up tusd.Upload, src io.Reader) (int64, error) {
				return up.WriteChunk(context.Background(), 0, src)
			},
			"WriteAtomic": func(s *FileStore, up tusd.Upload, src io.Reader) (int64, error) {
				return s.WriteAtomic(context.Background(), up, 0, src)
			},
		} {
			t.Run(level.String()+"/"+name, func(t *testing.T) {
				s := openStore(t, level)
				up := createUpload(t, s, "a", 100)
				src, client := io.Pipe()
				done := make(chan error, 1)
				go func() {
					_, err := write(s, up, src)
					src.CloseWithError(io.ErrClosedPipe)
					done <- err
				}()
				send := func() { // when it returns, the byte before is stored
					if _, err := client.Write([]byte("x")); err != nil {
						t.Error(err)
					}
				}
				old := time.Now().Add(-30 * time.Hour)
				send()
				send()
				for range 3 {
					for _, name := range []string{"a", "a.info"} {
						setTime(t, s, name, old)
					}
					send()
					send()
					view, err := s.GetUpload(t.Context(), nil, "a")
					if err != nil {
						t.Fatal(err)
					}
					info, err := view.GetInfo(t.Context())
					if err != nil || time.Since(info.Changed) > 29*time.Hour {
						t.Errorf("changed at %v, %v", info.Changed, err)
					}
					if page, _, err := s.List(t.Context(), "", changedBefore(old.Add(time.Hour)), 1); err != nil || len(page) > 0 {
						t.Errorf("listed as old: %+v, %v", page, err)
					}
				}
				client.Close()
				if err := <-done; err != nil {
					t.Error(err)
				}
			})
		}
	}
}
