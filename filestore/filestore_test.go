package filestore

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

// levels are all durability levels.
var levels = []Durability{Ack, Complete, None}

// env returns an Env with a local locker, as NewHandler passes it to Open.
func env() tusd.Env { return tusd.Env{Locker: &tusd.LocalLocker{}} }

// machineLocker has the scope machine.
type machineLocker struct{ tusd.Locker }

func (machineLocker) Scope() tusd.Scope { return tusd.ScopeMachine }

// openStore opens a store on a new directory until the test ends.
func openStore(t testing.TB, level Durability) *FileStore {
	t.Helper()
	s := New(t.TempDir())
	s.Durability = level
	return reopen(t, s)
}

// reopen closes s and opens it again, as a restart does.
func reopen(t testing.TB, s *FileStore) *FileStore {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fresh := &FileStore{
		Path: s.Path, Durability: s.Durability, MinFree: s.MinFree,
		StorageRoots: s.StorageRoots, hook: s.hook, spaceOf: s.spaceOf,
	}
	if err := fresh.Open(t.Context(), env()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fresh.Close() })
	return fresh
}

// lockID returns a lease on id.
func lockID(t testing.TB, id string) tusd.Lease {
	t.Helper()
	lease, err := (&tusd.LocalLocker{}).Lock(context.Background(), id, tusd.LockTry)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

// createUpload creates an upload.
func createUpload(t testing.TB, s *FileStore, id string, size int64) tusd.Upload {
	t.Helper()
	up, err := s.NewUpload(t.Context(), lockID(t, id), tusd.FileInfo{ID: id, Size: size})
	if err != nil {
		t.Fatal(err)
	}
	return up
}

// createWithContent creates an upload of length size and writes content.
func createWithContent(t testing.TB, s *FileStore, id string, size int64, content string) tusd.Upload {
	t.Helper()
	up := createUpload(t, s, id, size)
	write(t, up, 0, content)
	return up
}

func write(t testing.TB, up tusd.Upload, offset int64, content string) {
	t.Helper()
	n, err := up.WriteChunk(t.Context(), offset, strings.NewReader(content))
	if n != int64(len(content)) || err != nil {
		t.Fatalf("WriteChunk stored %d of %d bytes: %v", n, len(content), err)
	}
}

// loadUpload loads an upload under a new lease.
func loadUpload(t testing.TB, s *FileStore, id string) tusd.Upload {
	t.Helper()
	up, err := s.GetUpload(t.Context(), lockID(t, id), id)
	if err != nil {
		t.Fatal(err)
	}
	return up
}

func offsetOf(t testing.TB, up tusd.Upload) int64 {
	t.Helper()
	info, err := up.GetInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info.Offset
}

func wantContent(t testing.TB, s *FileStore, id, want string) {
	t.Helper()
	r, err := loadUpload(t, s, id).GetReader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || !bytes.Equal(got, []byte(want)) {
		t.Fatalf("upload %s has %.60q (%d bytes), %v; want %.60q (%d bytes)", id, got, len(got), err, want, len(want))
	}
}

// A digest that lacks the last bytes only does not read the others.
func TestReaderSeeks(t *testing.T) {
	s := openStore(t, None)
	r, err := createWithContent(t, s, "a", 100, stored+added).GetReader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	if _, err := r.(io.Seeker).Seek(int64(len(stored)), io.SeekStart); err != nil {
		t.Fatal(err)
	}
	if got, err := io.ReadAll(r); string(got) != added || err != nil {
		t.Errorf("after Seek: %q, %v", got, err)
	}
}

func wantAbsent(t testing.TB, s *FileStore, id string) {
	t.Helper()
	if _, err := s.GetUpload(t.Context(), nil, id); !errors.Is(err, tusd.ErrNotFound) {
		t.Fatalf("GetUpload(%s) gives %v, want ErrNotFound", id, err)
	}
}

// wantFiles compares the names in the upload directory, without the store's own.
func wantFiles(t testing.TB, s *FileStore, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(s.Path)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, entry := range entries {
		if !strings.HasPrefix(entry.Name(), ".tusd") {
			got = append(got, entry.Name())
		}
	}
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Fatalf("the directory has %q, want %q", got, want)
	}
}

func TestUploadFromCreationToTermination(t *testing.T) {
	for _, level := range levels {
		t.Run(level.String(), func(t *testing.T) {
			s := openStore(t, level)
			up := createWithContent(t, s, "a", 11, "hello ")
			if got := offsetOf(t, up); got != 6 {
				t.Fatalf("offset %d, want 6", got)
			}
			s = reopen(t, s)
			up = loadUpload(t, s, "a")
			if got := offsetOf(t, up); got != 6 {
				t.Fatalf("offset after a restart %d, want 6", got)
			}
			write(t, up, 6, "world")
			if err := up.FinishUpload(t.Context()); err != nil {
				t.Fatal(err)
			}
			wantContent(t, s, "a", "hello world")
			if err := s.Terminate(t.Context(), lockID(t, "a"), "a"); err != nil {
				t.Fatal(err)
			}
			wantAbsent(t, s, "a")
			wantFiles(t, s)
		})
	}
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
