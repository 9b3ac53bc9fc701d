package durable

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
)

func newTree(t *testing.T, hook Hook) (*Tree, string) {
	t.Helper()
	dir := t.TempDir()
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	tree, err := NewTree(root, hook)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tree.Close() })
	return tree, dir
}

// Callers that come during a run share the next run: the current one may not include
// their changes.
func TestGroupSharesTheNextRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		var runs atomic.Int32
		release := make(chan struct{})
		run := func() error { runs.Add(1); <-release; return nil }
		call := func() { go func() { g.do("a", run) }() }
		call()
		synctest.Wait()
		for range 10 {
			call()
		}
		synctest.Wait()
		if got := runs.Load(); got != 1 {
			t.Fatalf("%d runs at once, want 1", got)
		}
		release <- struct{}{}
		synctest.Wait()
		release <- struct{}{}
		synctest.Wait()
		if got := runs.Load(); got != 2 {
			t.Errorf("%d runs for 11 calls, want 2", got)
		}
		if len(g.queues) != 0 {
			t.Error("a queue is left after the last run")
		}
	})
}

// Keys do not wait for each other, and each caller gets the error of its own run.
func TestGroupKeysAndErrors(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g group
		first, second := errors.New("first"), errors.New("second")
		release := make(chan struct{})
		results := make(chan error, 3)
		go func() { results <- g.do("a", func() error { <-release; return first }) }()
		synctest.Wait()
		for range 2 {
			go func() { results <- g.do("a", func() error { return second }) }()
		}
		synctest.Wait()
		if err := g.do("b", func() error { return nil }); err != nil {
			t.Error(err)
		}
		close(release)
		got := map[error]int{<-results: 1}
		got[<-results]++
		got[<-results]++
		if got[first] != 1 || got[second] != 2 {
			t.Errorf("errors %v", got)
		}
	})
}

// A fault is injected at each step of Replace. The file is the old or the new one, and no
// temporary file is left.
func TestReplaceWithFaultAtEachStep(t *testing.T) {
	fault := errors.New("fault")
	for at := 1; ; at++ {
		seen, fired := 0, false
		armed := false
		tree, dir := newTree(t, func(Op, string, bool) error {
			if !armed {
				return nil
			}
			if seen++; seen == at {
				fired = true
				return fault
			}
			return nil
		})
		if _, err := tree.Mkdir("tmp", 0o755); err != nil {
			t.Fatal(err)
		}
		r := Replacer{Tree: tree, Dir: "tmp", Perm: 0o644, Sync: true}
		if err := r.Replace("a", []byte("old")); err != nil {
			t.Fatal(err)
		}
		armed = true
		err := r.Replace("a", []byte("new"))
		if fired != errors.Is(err, fault) {
			t.Errorf("fault %d: Replace gives %v", at, err)
		}
		content, readErr := os.ReadFile(filepath.Join(dir, "a"))
		if got := string(content); readErr != nil || got != "new" && (got != "old" || err == nil) {
			t.Errorf("fault %d: the file has %q, %v after %v", at, got, readErr, err)
		}
		left, _ := os.ReadDir(filepath.Join(dir, "tmp"))
		if len(left) > 1 || len(left) == 1 && !fired { // one: created before the fault was returned
			t.Errorf("fault %d: %d temporary files are left", at, len(left))
		}
		if !fired {
			return
		}
	}
}

func TestCreateNew(t *testing.T) {
	tree, dir := newTree(t, nil)
	r := Replacer{Tree: tree, Dir: ".", Perm: 0o644}
	if err := r.CreateNew("a", []byte("first")); err != nil {
		t.Fatal(err)
	}
	if err := r.CreateNew("a", []byte("second")); !errors.Is(err, os.ErrExist) {
		t.Errorf("a second CreateNew gives %v", err)
	}
	if err := tree.renameAlone("a", "a"); !errors.Is(err, os.ErrExist) {
		t.Errorf("without links: %v", err)
	}
	if content, _ := os.ReadFile(filepath.Join(dir, "a")); string(content) != "first" {
		t.Errorf("the file has %q", content)
	}
	if entries, _ := os.ReadDir(dir); len(entries) != 1 {
		t.Errorf("%d files are left, want 1", len(entries))
	}
}

// Sync and write-back succeed on files of this system.
func TestSyncs(t *testing.T) {
	tree, _ := newTree(t, nil)
	f, err := tree.Create("a", 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 1<<20), 0); err != nil {
		t.Fatal(err)
	}
	_, waitErr := f.WaitWriteBack(0, 1<<20)
	for what, err := range map[string]error{
		"start write-back": f.StartWriteBack(0, 1<<20), "wait": waitErr,
		"sync": f.Sync(), "shared sync": f.SyncShared(), "directory": tree.SyncDir("."), "parent": tree.SyncParent("a"),
		"outside": SyncDirectory(t.TempDir()),
	} {
		if err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A file is a spare when a sync of its directory that began after its removal has succeeded.
func TestSparesWaitForTheRightSync(t *testing.T) {
	var onSync func() error
	tree, dir := newTree(t, func(op Op, _ string, done bool) error {
		if op == OpSyncDir && done && onSync != nil {
			act := onSync
			onSync = nil
			return act()
		}
		return nil
	})
	for _, name := range []string{"tmp", "names"} {
		if _, err := tree.Mkdir(name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	r := Replacer{Tree: tree, Dir: "tmp", Perm: 0o644, Sync: true, Spares: new(Spares), SpareSize: 100, Usable: func(old []byte) bool { return string(old) != "unusable" }}
	for _, name := range []string{"names/a", "names/b"} {
		if err := r.CreateNew(name, []byte("content")); err != nil {
			t.Fatal(err)
		}
	}
	if err := r.Remove("names/a"); err != nil {
		t.Fatal(err)
	}
	onSync = func() error { return errors.New("broken disk") }
	if err := r.SyncDir("names"); err == nil {
		t.Fatal("the sync has not failed")
	}
	onSync = func() error { return r.Remove("names/b") }
	if err := r.SyncDir("names"); err != nil {
		t.Fatal(err)
	}
	if spare := r.Spares.take(); spare != "" {
		t.Errorf("there is a spare after a failed sync, and one that began before the removal")
	}
	if err := r.SyncDir("names"); err != nil || r.Spares.take() == "" {
		t.Errorf("b is no spare, %v", err)
	}
	if r.Spares.count != 0 {
		t.Errorf("%d spares are counted", r.Spares.count)
	}
	for content, usable := range map[string]bool{"usable": true, "unusable": false, strings.Repeat("long", 100): false} {
		if err := errors.Join(r.CreateNew("names/a", []byte(content)), r.Remove("names/a"), r.SyncDir("names")); err != nil {
			t.Fatal(err)
		}
		temp, f, ok := r.openSpare(3)
		if ok != usable {
			t.Errorf("%.10s: is used again: %v", content, ok)
		}
		if ok {
			if info, err := f.Info(); info.Size != 3 || err != nil {
				t.Errorf("the spare has %d bytes, %v", info.Size, err)
			}
			f.Close()
			tree.Remove(temp)
		}
	}
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); len(left) > 1 || err != nil { // b
		t.Errorf("%d files are left, %v", len(left), err)
	}
}
