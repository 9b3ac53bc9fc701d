package protocoltest

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
)

// filesIn returns the names, sizes and times of all files below dir.
func filesIn(t *testing.T, dir string) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			files[path] = info.Mode().String() + info.ModTime().String()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func readOnlyHandler(t *testing.T, store tusd.DataStore) (*tusd.Handler, error) {
	t.Helper()
	composer := tusd.NewStoreComposer()
	composer.UseCore(store)
	return tusd.NewHandler(tusd.Config{StoreComposer: composer, ReadOnly: true})
}

// A handler that only reads works beside a server that has the directory for itself, finds
// its uploads, and changes nothing. A directory that is missing is an error.
func TestReadOnlyHandler(t *testing.T) {
	dir := t.TempDir()
	e := serve(t, filestore.New(dir), tusd.Config{})
	id := idOf(e.createFull([]byte("hello")))
	before := filesIn(t, dir)
	h, err := readOnlyHandler(t, filestore.New(dir))
	if err != nil {
		t.Fatal(err)
	}
	if info, err := h.Info(t.Context(), id); err != nil || !info.Complete() {
		t.Errorf("Info: %+v, %v", info, err)
	}
	if err := h.Terminate(t.Context(), id); !errors.Is(err, tusd.ErrNotImplemented) {
		t.Errorf("Terminate: %v", err)
	}
	policy := tusd.SweepPolicy{OnlyWriter: true, Ages: map[tusd.UploadClass]time.Duration{tusd.ClassComplete: time.Nanosecond}}
	if _, err := h.Sweep(t.Context(), policy); !errors.Is(err, tusd.ErrNotImplemented) {
		t.Errorf("Sweep: %v", err)
	}
	policy.DryRun = true
	if summary, err := h.Sweep(t.Context(), policy); err != nil || summary.Removed != 1 {
		t.Errorf("a dry run: %+v, %v", summary, err)
	}
	if after := filesIn(t, dir); !maps.Equal(before, after) {
		t.Errorf("the directory has changed: %v, before %v", after, before)
	}
	missing := filepath.Join(dir, "missing")
	if _, err := readOnlyHandler(t, filestore.New(missing)); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing directory: %v", err)
	}
	if _, err := os.Stat(missing); err == nil {
		t.Error("the missing directory was made")
	}
}

// With a lock of the process, an upload that expires soon stays until no other process can
// be writing it.
func TestExpiredUploadBesideOtherProcesses(t *testing.T) {
	e := serve(t, filestore.New(t.TempDir()), tusd.Config{ExpireAfter: time.Hour})
	e.create(5)
	for _, c := range []struct {
		age  time.Duration
		only bool
		want int
	}{{2 * time.Hour, false, 0}, {2 * time.Hour, true, 1}, {25 * time.Hour, false, 1}} {
		e.ahead.Store(int64(c.age))
		summary, err := e.handler.Sweep(t.Context(), tusd.SweepPolicy{DryRun: true, OnlyWriter: c.only})
		if err != nil || summary.Removed != c.want {
			t.Errorf("%v after the last change, the only writer %v: %+v, %v; want %d removed", c.age, c.only, summary, err, c.want)
		}
	}
}

// Verify finds a complete upload whose bytes have another digest, and one without data.
func TestVerify(t *testing.T) {
	dir := t.TempDir()
	e := serve(t, filestore.New(dir), tusd.Config{Digest: "sha256"})
	id := idOf(e.createFull([]byte("hello")))
	want := func(sentence string) {
		t.Helper()
		faults, err := e.handler.Verify(t.Context(), id)
		if err != nil || sentence == "" && len(faults) > 0 || sentence != "" && !slices.ContainsFunc(faults, func(f string) bool { return strings.Contains(f, sentence) }) {
			t.Errorf("faults %q, %v; want %q", faults, err, sentence)
		}
	}
	want("")
	if err := os.WriteFile(filepath.Join(dir, id), []byte("hellO"), 0o600); err != nil {
		t.Fatal(err)
	}
	want("the sha-256 digest of the bytes is not the one in the record")
	if err := os.Remove(filepath.Join(dir, id)); err != nil {
		t.Fatal(err)
	}
	want("cannot be loaded")
	if _, err := e.handler.Verify(t.Context(), "none"); !errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("an upload that does not exist: %v", err)
	}
}
