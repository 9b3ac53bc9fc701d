package filestore_test

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/storetest"
)

func TestContract(t *testing.T) {
	for _, level := range []filestore.Durability{filestore.Ack, filestore.Complete, filestore.None} {
		t.Run(level.String(), func(t *testing.T) {
			if level != filestore.Ack {
				require.Long(t)
			}
			storetest.Run(t, storetest.Harness{
				New:       func(tb testing.TB) *tusd.StoreComposer { return newComposer(tb, tb.TempDir(), level) },
				Reopen:    func(tb testing.TB, c *tusd.StoreComposer) *tusd.StoreComposer { return reopenComposer(tb, c, level) },
				Claims:    storetest.Everything,
				Leftovers: leftovers,
				Break:     truncateRecord,
				Leave:     leaveOldFiles,
			})
		})
	}
}

// newComposer returns a composer with a store for dir.
func newComposer(tb testing.TB, dir string, level filestore.Durability) *tusd.StoreComposer {
	store := &filestore.FileStore{Path: dir, Durability: level}
	tb.Cleanup(func() { store.Close() })
	composer := tusd.NewStoreComposer()
	store.UseIn(composer)
	return composer
}

// reopenComposer closes the store of a composer and returns a composer with a new one.
func reopenComposer(tb testing.TB, c *tusd.StoreComposer, level filestore.Durability) *tusd.StoreComposer {
	store := fileStoreOf(tb, c)
	if err := store.Close(); err != nil {
		tb.Fatal(err)
	}
	return newComposer(tb, store.Path, level)
}

// fileStoreOf returns the file store of a composer.
func fileStoreOf(tb testing.TB, c *tusd.StoreComposer) *filestore.FileStore {
	store, ok := c.Core.(*filestore.FileStore)
	if !ok {
		tb.Fatalf("the composer has a %T", c.Core)
	}
	return store
}

// leaveOldFiles makes files that crashes and tusd v2 have left.
func leaveOldFiles(tb testing.TB, c *tusd.StoreComposer) {
	dir := fileStoreOf(tb, c).Path
	id := "fedcba9876543210fedcba9876543210"
	for name, content := range map[string]string{id: "", "gone.undo": `{"Offset":1}`, id + ".lock": "1234\n", id + ".stop": ""} {
		path, old := filepath.Join(dir, name), time.Now().Add(-25*time.Hour)
		if err := errors.Join(os.WriteFile(path, []byte(content), 0o644), os.Chtimes(path, old, old)); err != nil {
			tb.Fatal(err)
		}
	}
}

// leftovers returns the files that belong to none of the uploads ids. An undo record
// belongs to its upload: it stays if the lease was lost.
func leftovers(tb testing.TB, c *tusd.StoreComposer, ids []string) []string {
	dir := fileStoreOf(tb, c).Path
	expected := map[string]bool{".tusd.locks": true}
	for _, id := range ids {
		expected[id], expected[id+".info"], expected[id+".undo"] = true, true, true
	}
	var extra []string
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		name = filepath.ToSlash(name)
		if err == nil && !entry.IsDir() && !expected[name] && !strings.HasPrefix(name, ".tusd.d/side/") {
			extra = append(extra, name)
		}
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return extra
}

// truncateRecord cuts a record in half, as a crash of another program may.
func truncateRecord(tb testing.TB, c *tusd.StoreComposer, id string) {
	path := filepath.Join(fileStoreOf(tb, c).Path, id+".info")
	stat, err := os.Stat(path)
	if err == nil {
		err = os.Truncate(path, stat.Size()/2)
	}
	if err != nil {
		tb.Fatal(err)
	}
}

// A second store of this process on a directory is refused until the first is closed. The
// error says how the directory can be shared.
func TestSecondStoreIsRefused(t *testing.T) {
	dir := t.TempDir()
	first, second := filestore.New(dir), filestore.New(dir)
	env := tusd.Env{Locker: &tusd.LocalLocker{}}
	if err := first.Open(t.Context(), env); err != nil {
		t.Fatal(err)
	}
	err := second.Open(t.Context(), env)
	if err == nil || !strings.Contains(err.Error(), dir) || !strings.Contains(err.Error(), "in use") ||
		!strings.Contains(err.Error(), "locker that works across processes") {
		t.Fatalf("the second store gets %v", err)
	}
	if err := first.Close(); err != nil {
		t.Fatal(err)
	}
	if err := second.Open(t.Context(), env); err != nil {
		t.Fatalf("after the first is closed: %v", err)
	}
	if err := second.Close(); err != nil {
		t.Fatal(err)
	}
}

// scopedLocker is a locker with another scope.
type scopedLocker struct {
	tusd.Locker
	scope tusd.Scope
}

func (l scopedLocker) Scope() tusd.Scope { return l.scope }

// Stores whose lockers have the scope machine share a directory. A store with another
// scope is refused there.
func TestSharedDirectory(t *testing.T) {
	dir := t.TempDir()
	machine := tusd.Env{Locker: scopedLocker{&tusd.LocalLocker{}, tusd.ScopeMachine}}
	process := tusd.Env{Locker: &tusd.LocalLocker{}}
	for range 2 {
		store := filestore.New(dir)
		if err := store.Open(t.Context(), machine); err != nil {
			t.Fatal(err)
		}
		defer store.Close()
	}
	if err := filestore.New(dir).Open(t.Context(), process); err == nil {
		t.Error("a store with scope process is opened beside those with scope machine")
	}
	lease := tusd.Env{Locker: scopedLocker{&tusd.LocalLocker{}, tusd.ScopeLease}}
	if err := filestore.New(t.TempDir()).Open(t.Context(), lease); err == nil || !strings.Contains(err.Error(), "scope lease") || !strings.Contains(err.Error(), "filelocker") {
		t.Errorf("a locker of scope lease gives %v, want an error that names the scope, and filelocker", err)
	}
}

func TestNotOpen(t *testing.T) {
	store := filestore.New(t.TempDir())
	if _, err := store.GetUpload(context.Background(), nil, "a"); err == nil || errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("before Open, GetUpload gives %v; want an error that is not ErrNotFound", err)
	}
}
