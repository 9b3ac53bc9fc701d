package filestore

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

func keyOf(name string) tusd.SideRecordKey { return tusd.SideRecordKey{Kind: "kind", Name: name} }

func putRecord(t testing.TB, s *FileStore, name, value string) {
	t.Helper()
	if err := s.PutSideRecord(t.Context(), keyOf(name), []byte(value)); err != nil {
		t.Fatal(err)
	}
}

func deleteRecord(t testing.TB, s *FileStore, name string) {
	t.Helper()
	if err := s.DeleteSideRecord(t.Context(), keyOf(name)); err != nil {
		t.Fatal(err)
	}
}

// recordsOf returns the values of all side records, by name. It also reads those of the names, which
// may not be listed.
func recordsOf(t testing.TB, s *FileStore, names ...string) map[string]string {
	t.Helper()
	listed, _, err := s.ListSideRecords(t.Context(), "kind", "", 1000)
	if err != nil {
		t.Fatal(err)
	}
	found := make(map[string]string)
	for _, name := range slices.Concat(listed, names) {
		switch value, err := s.GetSideRecord(t.Context(), keyOf(name)); {
		case err == nil:
			found[name] = string(value)
		case !errors.Is(err, tusd.ErrNotFound):
			t.Errorf("%s: %v", name, err)
		}
	}
	listed, _, err = s.ListSideRecords(t.Context(), "kind", "", 1000)
	if slices.Sort(listed); err != nil || !slices.Equal(listed, slices.Sorted(maps.Keys(found))) {
		t.Errorf("listed %q, %v; found %q", listed, err, found)
	}
	return found
}

// openShared opens a directory that other stores may use.
func openShared(t testing.TB, s *FileStore) *FileStore {
	t.Helper()
	if err := s.Open(t.Context(), tusd.Env{Locker: machineLocker{}}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// crashed returns a copy of the directory of s, as if its process had been killed now. Files with
// several names have them in the copy, too.
func crashed(t testing.TB, s *FileStore) string {
	t.Helper()
	dir := t.TempDir()
	type file struct {
		info os.FileInfo
		copy string
	}
	var files []file
	err := filepath.WalkDir(s.Path, func(path string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(s.Path, path)
		if entry.IsDir() {
			return os.MkdirAll(filepath.Join(dir, name), 0o755)
		}
		info, err := os.Stat(path)
		if err != nil {
			return err
		}
		to := filepath.Join(dir, name)
		for _, f := range files {
			if os.SameFile(f.info, info) {
				return os.Link(f.copy, to)
			}
		}
		files = append(files, file{info, to})
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(to, content, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

func wantRecords(t testing.TB, s *FileStore, want map[string]string, names ...string) {
	t.Helper()
	if got := recordsOf(t, s, names...); !maps.Equal(got, want) {
		t.Errorf("the records are %q, want %q", got, want)
	}
}

func reopenShared(t testing.TB, s *FileStore) *FileStore {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	fresh := New(s.Path)
	fresh.Durability = s.Durability
	return openShared(t, fresh)
}

// A power cut in CreateNew can leave a file with the content of another record, with parts of it, or
// without content. There is no such record, and it can be stored.
func TestSideFilesAfterAPowerCut(t *testing.T) {
	whole := string(encodeSideFile(keyOf("a"), []byte(strings.Repeat("value", 200))))
	other := string(encodeSideFile(keyOf("b"), []byte(strings.Repeat("other", 200))))
	contents := map[string]string{"other": other, "empty": "", "zeros": strings.Repeat("\x00", sideFileBlock), "blocks": strings.Repeat("garbage!", sideFileBlock/8), "halves": whole[:512] + other[512:], "second half": other[:512] + whole[512:]}
	last := len(strings.TrimRight(whole, "\x00"))
	for _, n := range []int{1, len(sideFilePrefix), len(sideFilePrefix) + 4, 100, last - 1} {
		contents[fmt.Sprint(n)] = whole[:n]
		contents[fmt.Sprint(n, " and zeros")] = whole[:n] + strings.Repeat("\x00", sideFileBlock-n)
	}
	for name, content := range contents {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, Ack)
			putRecord(t, s, "b", "2")
			writeFiles(t, s, map[string]string{sideRecordDir + "/kind/a": content})
			if value, err := s.GetSideRecord(t.Context(), keyOf("a")); !errors.Is(err, tusd.ErrNotFound) {
				t.Errorf("the value is %.30q, %v", value, err)
			}
			value, created, err := s.CreateSideRecord(t.Context(), keyOf("a"), []byte("1"))
			if string(value) != "1" || !created || err != nil {
				t.Errorf("created %.30q, %v, %v", value, created, err)
			}
			writeFiles(t, s, map[string]string{sideRecordDir + "/kind/a": content})
			putRecord(t, s, "a", "3")
			wantRecords(t, s, map[string]string{"a": "3", "b": "2"})
		})
	}
}

// TestKilledSideRecords kills the process at each operation of changes of side records.
func TestKilledSideRecords(t *testing.T) {
	long := strings.Repeat("long", sideFileBlock)
	for at := 1; ; at++ {
		k := &killer{at: at}
		s := New(t.TempDir())
		s.hook = k.hook
		openShared(t, s)
		putRecord(t, s, "stays", "1")
		putRecord(t, s, "goes", "1")
		putRecord(t, s, "changes", "old")
		putRecord(t, s, "grows", "old")
		k.set(true)
		acked := map[string]bool{}
		for _, act := range []struct{ name, value string }{{"new", "1"}, {"goes", ""}, {"changes", "new"}, {"grows", long}, {"grows", "short"}, {"newer", "1"}} {
			err := error(nil)
			if act.value == "" {
				err = s.DeleteSideRecord(t.Context(), keyOf(act.name))
			} else {
				err = s.PutSideRecord(t.Context(), keyOf(act.name), []byte(act.value))
			}
			acked[act.name+act.value] = err == nil
		}
		dir := crashed(t, s)
		for range 2 {
			after := openShared(t, New(dir))
			got := recordsOf(t, after, "stays", "goes", "new", "newer", "changes", "grows")
			for name, allowed := range map[string][]string{
				"stays":   {"1"},
				"goes":    {choose(acked["goes"], "", "1"), ""},
				"new":     {choose(acked["new1"], "1", ""), "1"},
				"newer":   {choose(acked["newer1"], "1", ""), "1"},
				"changes": {choose(acked["changesnew"], "new", "old"), "new"},
				"grows":   {choose(acked["growsshort"], "short", choose(acked["grows"+long], long, "old")), choose(acked["growsshort"], "short", long), "short"},
			} {
				if !slices.Contains(allowed, got[name]) {
					t.Errorf("%s is %.20q, want %.20q", name, got[name], allowed)
				}
			}
			if err := after.Close(); err != nil {
				t.Fatal(err)
			}
		}
		if t.Failed() {
			t.Fatalf("killed at operation %d: %q", at, k.dead)
		}
		k.set(false)
		if k.dead == "" {
			return
		}
	}
}

func choose(condition bool, yes, no string) string {
	if condition {
		return yes
	}
	return no
}

// TestSideRecordsOfTwoStores changes the same side records in two stores at the same time. No record has
// the value of another, and both stores agree in the end.
func TestSideRecordsOfTwoStores(t *testing.T) {
	dir := t.TempDir()
	stores := []*FileStore{New(dir), New(dir)}
	for _, s := range stores {
		s.Durability = None
		openShared(t, s)
	}
	names := []string{"a", "b", "c", "d"}
	for round := range 20 {
		var wait sync.WaitGroup
		for i := range 6 {
			wait.Go(func() {
				random := rand.New(rand.NewPCG(uint64(round), uint64(i)))
				for step := range 150 {
					s, name := stores[random.IntN(2)], names[random.IntN(len(names))]
					value := fmt.Sprint(name, "-", i, "-", step)
					if random.IntN(8) == 0 {
						value += strings.Repeat("x", sideFileBlock)
					}
					var err error
					switch random.IntN(4) {
					case 0:
						err = s.DeleteSideRecord(context.Background(), keyOf(name))
					case 1, 2:
						err = s.PutSideRecord(context.Background(), keyOf(name), []byte(value))
					default:
						var got []byte
						if got, err = s.GetSideRecord(context.Background(), keyOf(name)); errors.Is(err, tusd.ErrNotFound) {
							err = nil
						} else if err == nil && !strings.HasPrefix(string(got), name+"-") {
							err = fmt.Errorf("the value is %.30q", got)
						}
					}
					if err != nil {
						t.Errorf("%s: %v", name, err)
						return
					}
				}
			})
		}
		wait.Wait()
		want := recordsOf(t, stores[0], names...)
		wantRecords(t, stores[1], want, names...)
		if t.Failed() {
			t.FailNow()
		}
	}
}

// The removal of a record is synced soon, and when the store is closed.
func TestRemovalsAreSynced(t *testing.T) {
	s, c := openCountingStore(t, Ack)
	putRecord(t, s, "a", "1")
	putRecord(t, s, "b", "1")
	c.reset()
	deleteRecord(t, s, "a")
	wantCounts(t, "delete", c.reset(), ops{durable.OpRename: 1})
	for deadline := time.Now().Add(time.Minute); ; <-time.After(10 * time.Millisecond) {
		seen := c.reset()
		if seen[durable.OpSyncDir] == 1 {
			break
		}
		if len(seen) > 0 || time.Now().After(deadline) {
			t.Fatalf("later: %v, want one sync", seen)
		}
	}
	deleteRecord(t, s, "b")
	c.reset()
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wantCounts(t, "close", c.reset(), ops{durable.OpSyncDir: 1, durable.OpRemove: 2})
}

// A sync that has failed is repeated.
func TestRemovalsAreSyncedAfterAnError(t *testing.T) {
	s := New(t.TempDir())
	var fails, synced atomic.Int32
	s.hook = func(op durable.Op, _ string, done bool) error {
		if op == durable.OpSyncDir && fails.Add(-1) >= 0 {
			return errKilled
		}
		if op == durable.OpSyncDir && done {
			synced.Add(1)
		}
		return nil
	}
	s = reopen(t, s)
	putRecord(t, s, "a", "1")
	before := synced.Load()
	fails.Store(1)
	deleteRecord(t, s, "a")
	for deadline := time.Now().Add(time.Minute); synced.Load() == before; <-time.After(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("there is no second sync")
		}
	}
}

// A file is not used again before its removal from its directory is durable: after a power cut the
// old name could have the new record.
func TestSparesWaitForASync(t *testing.T) {
	s, c := openCountingStore(t, Ack)
	put := func(kind, name string) {
		t.Helper()
		if err := s.PutSideRecord(t.Context(), tusd.SideRecordKey{Kind: kind, Name: name}, []byte("1")); err != nil {
			t.Fatal(err)
		}
	}
	put("other", "x")
	put("kind", "a")
	deleteRecord(t, s, "a")
	c.reset()
	put("other", "y")
	if n := c.reset()[durable.OpCreate]; n != 1 {
		t.Errorf("%d files were created, want one", n)
	}
	put("kind", "b") // syncs the removal of a
	put("other", "z")
	if n := c.reset()[durable.OpCreate]; n != 1 {
		t.Errorf("%d files were created for two records, want one", n)
	}
}

// A record that is stored while the leftover of a power cut is removed stays.
func TestCreateOverALeftover(t *testing.T) {
	s := New(t.TempDir())
	path := filepath.Join(s.Path, sideRecordDir, "kind", "a")
	stored := false
	s.hook = func(op durable.Op, name string, done bool) error {
		if op == durable.OpRename && strings.HasPrefix(name, tempDir) && !done && !stored {
			stored = true
			return os.WriteFile(path, encodeSideFile(keyOf("a"), []byte("meanwhile")), 0o644)
		}
		return nil
	}
	s = reopen(t, s)
	writeFiles(t, s, map[string]string{sideRecordDir + "/kind/a": string(encodeSideFile(keyOf("b"), nil))})
	value, created, err := s.CreateSideRecord(t.Context(), keyOf("a"), []byte("1"))
	if string(value) != "meanwhile" || created || err != nil || !stored {
		t.Errorf("created %.30q, %v, %v", value, created, err)
	}
	wantRecords(t, s, map[string]string{"a": "meanwhile"})
	if left, err := os.ReadDir(filepath.Join(s.Path, tempDir)); len(left) > 0 || err != nil {
		t.Errorf("%d temporary files are left, %v", len(left), err)
	}
}

// After a power cut a file that is used again may have its old content under the new name. So a file
// is not used for a record for which that could be taken.
func TestFilesThatAreNotUsedAgain(t *testing.T) {
	for name, store := range map[string]func(s *FileStore){
		"same key":  func(s *FileStore) { putRecord(t, s, "b", "old") },
		"old files": func(s *FileStore) { writeFiles(t, s, map[string]string{sideRecordDir + "/kind/b": `{"a":1}`}) },
		"long":      func(s *FileStore) { putRecord(t, s, "b", strings.Repeat("x", sideFileBlock)) },
	} {
		s, c := openCountingStore(t, Ack)
		putRecord(t, s, "x", "1")
		store(s)
		deleteRecord(t, s, "b")
		putRecord(t, s, "y", "1") // syncs the removal
		c.reset()
		putRecord(t, s, "b", "new")
		if n := c.reset()[durable.OpCreate]; n != 1 {
			t.Errorf("%s: %d files were created, want one", name, n)
		}
	}
}

// Where a rename cannot keep the file that is there, or there are no links, side records are stored in other ways.
func TestSideRecordsWithoutRenameNew(t *testing.T) {
	s := New(t.TempDir())
	s.hook = func(op durable.Op, name string, done bool) error {
		if op == durable.OpRename && strings.HasPrefix(name, sideRecordDir) && !done {
			return errors.ErrUnsupported
		}
		return nil
	}
	openShared(t, s)
	putRecord(t, s, "a", "a")
	putRecord(t, s, "b", "b")
	deleteRecord(t, s, "b")
	value, created, err := s.CreateSideRecord(t.Context(), keyOf("a"), []byte("2"))
	if string(value) != "a" || created || err != nil {
		t.Errorf("created %q, %v, %v", value, created, err)
	}
	wantRecords(t, s, map[string]string{"a": "a"}, "b")
}

// A value may look like the file of another record.
func TestValuesLikeSideFiles(t *testing.T) {
	s := openShared(t, New(t.TempDir()))
	want := map[string]string{
		"header": string(encodeSideFile(keyOf("other"), []byte("value"))),
		"zeros":  string(make([]byte, sideFileBlock)),
		"empty":  "",
		"long":   strings.Repeat("x", tusd.MaxSideRecord),
	}
	for name, value := range want {
		putRecord(t, s, name, value)
	}
	wantRecords(t, s, want, "other")
	writeFiles(t, s, map[string]string{sideRecordDir + "/kind/plain": `{"a":1}`}) // of an early version
	want["plain"] = `{"a":1}`
	wantRecords(t, s, want)
	wantRecords(t, reopenShared(t, s), want, "other")
}
