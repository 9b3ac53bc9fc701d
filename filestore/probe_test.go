package filestore_test

import (
	"context"
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
)

// openStore opens a store for dir.
func openStore(t *testing.T, dir string, minFree int64) *filestore.FileStore {
	t.Helper()
	s := &filestore.FileStore{Path: dir, MinFree: minFree}
	if err := s.Open(t.Context(), tusd.Env{Locker: &tusd.LocalLocker{}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// files returns the names below dir.
func files(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		names = append(names, name)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestProbe(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "uploads")
	s := openStore(t, dir, 0)
	before := files(t, dir)
	if err := s.Probe(t.Context()); err != nil {
		t.Errorf("a store without fault: %v", err)
	}
	if after := files(t, dir); !slices.Equal(after, before) {
		t.Errorf("probing left files behind: %q, before %q", after, before)
	}
}

func TestProbeFindsAMissingDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "uploads")
	s := openStore(t, dir, 0)
	away := dir + ".away"
	if err := os.Rename(dir, away); err != nil {
		t.Fatal(err)
	}
	wantProbeError(t, s, "gone")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	wantProbeError(t, s, "another directory")
	if err := errors.Join(os.Remove(dir), os.Rename(away, dir)); err != nil {
		t.Fatal(err)
	}
	if err := s.Probe(t.Context()); err != nil {
		t.Errorf("the directory is back: %v", err)
	}
}

// wantProbeError probes s and checks that the error contains words, and not the path.
func wantProbeError(t *testing.T, s *filestore.FileStore, words string) {
	t.Helper()
	err := s.Probe(t.Context())
	if err == nil || !strings.Contains(err.Error(), words) || strings.Contains(err.Error(), s.Path) {
		t.Errorf("Probe: %v; want %q, and not the path", err, words)
	}
	if errors.Is(err, tusd.ErrNoSpace) {
		t.Errorf("Probe: %v is ErrNoSpace", err)
	}
}

func TestProbeFindsLittleSpace(t *testing.T) {
	s := openStore(t, t.TempDir(), math.MaxInt64)
	if err := s.Probe(t.Context()); !errors.Is(err, tusd.ErrNoSpace) {
		t.Errorf("Probe: %v, want %v", err, tusd.ErrNoSpace)
	}
}

func TestProbeAfterClose(t *testing.T) {
	s := openStore(t, t.TempDir(), 0)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantProbeError(t, s, "not open")
}

func TestProbeOfAnEndedContext(t *testing.T) {
	s := openStore(t, t.TempDir(), 0)
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(os.ErrDeadlineExceeded)
	if err := s.Probe(ctx); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("Probe: %v, want the cause of the end", err)
	}
}
