package filestore

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/tus/tusd"
)

// writeFiles writes files into the directory of s, as another program does.
func writeFiles(t testing.TB, s *FileStore, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(s.Path, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// v2Record returns a record of tusd v2.
func v2Record(id string, size int64, path string) string {
	return fmt.Sprintf(`{"ID":%q,"Size":%d,"SizeIsDeferred":false,"Offset":0,"MetaData":{"filename":"hello.txt"},`+
		`"IsPartial":false,"IsFinal":false,"PartialUploads":null,"Storage":{"InfoPath":%q,"Path":%q,"Type":"filestore"}}`,
		id, size, path+".info", path)
}

// Unfinished uploads of tusd v2 and tusd 0.x continue.
func TestTakeOver(t *testing.T) {
	v0 := `{"ID":"old","Size":11,"Offset":0,"MetaData":null,"IsPartial":false,"IsFinal":false,"PartialUploads":null}`
	cases := map[string]struct {
		id    string
		files map[string]string
		after []string // files once the upload is terminated
	}{
		"tusd v2":                   {"a", map[string]string{"a": stored, "a.info": v2Record("a", 11, "$DIR/a")}, nil},
		"tusd v2, slashes":          {"x/a", map[string]string{"x/a": stored, "x/a.info": v2Record("x/a", 11, "$DIR/x/a")}, nil},
		"tusd v2, directory moved":  {"a", map[string]string{"a": stored, "a.info": v2Record("a", 11, "/gone/a")}, nil},
		"tusd v2, relative path":    {"a", map[string]string{"d/data": stored, "a.info": v2Record("a", 11, "d/data")}, nil},
		"tusd v2, embedded":         {"a", map[string]string{"a": stored, "a.info": v2Record("a", 11, "uploads/a")}, nil},
		"tusd v2, embedded above":   {"a", map[string]string{"a": stored, "a.info": v2Record("a", 11, "../data/a")}, nil},
		"tusd v2, hook's path":      {"a", map[string]string{"d/data": stored, "a.info": v2Record("a", 11, "$DIR/d/data")}, nil},
		"tusd 0.x":                  {"old", map[string]string{"old.bin": stored, "old.info": v0}, nil},
		"beside an upload old.bin":  {"old", map[string]string{"old": stored, "old.info": v0, "old.bin": "abc", "old.bin.info": v2Record("old.bin", 3, "$DIR/old.bin")}, []string{"old.bin", "old.bin.info"}},
		"beside a foreign old.bin":  {"old", map[string]string{"old": stored, "old.info": v0, "old.bin": "abc"}, []string{"old.bin"}},
		"lock files of a dead tusd": {"a", map[string]string{"a": stored, "a.info": v2Record("a", 11, "$DIR/a"), "a.lock": "1\n", "a.stop": ""}, nil},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, Ack)
			for file, content := range c.files {
				c.files[file] = strings.ReplaceAll(content, "$DIR", s.Path)
			}
			writeFiles(t, s, c.files)
			up := loadUpload(t, s, c.id)
			if got := offsetOf(t, up); got != int64(len(stored)) {
				t.Fatalf("the offset is %d, want %d", got, len(stored))
			}
			write(t, up, int64(len(stored)), added)
			s = reopen(t, s)
			wantContent(t, s, c.id, stored+added)
			if err := s.Terminate(t.Context(), lockID(t, c.id), c.id); err != nil {
				t.Fatal(err)
			}
			wantFiles(t, s, c.after...)
		})
	}
}

// The data of an upload named old.bin is not that of an upload named old.
func TestBinFileOfAnotherUpload(t *testing.T) {
	s := openStore(t, Ack)
	writeFiles(t, s, map[string]string{"old.info": v2Record("old", 11, "old"), "old.bin": "abc", "old.bin.info": v2Record("old.bin", 3, "old.bin")})
	wantAbsent(t, s, "old")
	if err := s.Terminate(t.Context(), lockID(t, "old"), "old"); err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, "old.bin", "abc")
}

// An upload with an invalid record cannot be loaded. It can be terminated, without an
// effect on other uploads.
func TestBrokenRecords(t *testing.T) {
	good := v2Record("a", 11, "a")
	cases := map[string]map[string]string{
		"empty":                  {"a.info": "", "a": stored},
		"cut":                    {"a.info": good[:40], "a": stored},
		"trailing garbage":       {"a.info": good + "x", "a": stored},
		"negative size":          {"a.info": v2Record("a", -1, "a"), "a": ""},
		"absurd size":            {"a.info": v2Record("a", math.MaxInt64, "a"), "a": stored},
		"size beyond int64":      {"a.info": strings.Replace(good, `"Size":11`, `"Size":99999999999999999999`, 1), "a": stored},
		"another store":          {"a.info": strings.Replace(good, `"filestore"`, `"s3store"`, 1), "a": stored},
		"unknown state":          {"a.info": strings.Replace(good, `"Size"`, `"State":"done","Size"`, 1), "a": stored},
		"impossible failure":     {"a.info": strings.Replace(good, `"Size"`, `"State":"failed","Failure":{"StatusCode":7},"Size"`, 1), "a": stored},
		"negative known length":  {"a.info": strings.Replace(good, `"Size"`, `"KnownLength":-1,"Size"`, 1), "a": stored},
		"impossible final":       {"a.info": strings.Replace(good, `"Size"`, `"Finals":["../b"],"Size"`, 1), "a": stored},
		"impossible partial":     {"a.info": strings.Replace(good, `"PartialUploads":null`, `"PartialUploads":["x.info"]`, 1), "a": stored},
		"too long":               {"a.info": good + strings.Repeat(" ", maxRecord), "a": stored},
		"data missing":           {"a.info": good},
		"data longer":            {"a.info": v2Record("a", 3, "a"), "a": stored},
		"impossible undo offset": {"a.info": good, "a": stored, "a.undo": `{"Offset":-1}`},
		"undo not JSON":          {"a.info": good, "a": stored, "a.undo": `{"Off`},
	}
	for name, files := range cases {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, Ack)
			createWithContent(t, s, "other", 3, "abc")
			writeFiles(t, s, files)
			wantBroken(t, s)
		})
	}
}

// A record that no version of tusd can have written is no upload. It stays, with its data.
func TestForeignRecords(t *testing.T) {
	for name, files := range map[string]map[string]string{
		"not JSON":     {"a.info": "hello", "a": stored},
		"empty object": {"a.info": "{}", "a": stored},
		"null":         {"a.info": "null", "a": stored},
		"array":        {"a.info": "[]", "a": stored},
		"another id":   {"a.info": v2Record("b", 11, "a"), "a": stored},
	} {
		t.Run(name, func(t *testing.T) {
			s := openStore(t, Ack)
			writeFiles(t, s, files)
			wantForeign(t, s)
			wantUntouched(t, s, files)
		})
	}
}

// wantUntouched checks the content of files.
func wantUntouched(t *testing.T, s *FileStore, want map[string]string) {
	t.Helper()
	for name, content := range want {
		if got, err := os.ReadFile(filepath.Join(s.Path, name)); string(got) != content {
			t.Errorf("%s has %q (%v), want %q", name, got, err, content)
		}
	}
}

// wantForeign checks that there is no upload "a", and that it cannot be removed.
func wantForeign(t *testing.T, s *FileStore) {
	t.Helper()
	for _, lease := range []tusd.Lease{nil, lockID(t, "a")} {
		_, err := s.GetUpload(t.Context(), lease, "a")
		if !errors.Is(err, tusd.ErrNotFound) || errors.Is(err, tusd.ErrBroken) {
			t.Fatalf("GetUpload gives %v, want ErrNotFound", err)
		}
		if lease == nil {
			continue
		}
		if err := s.Terminate(t.Context(), lease, "a"); !errors.Is(err, tusd.ErrNotFound) {
			t.Errorf("Terminate gives %v, want ErrNotFound", err)
		}
	}
	if ids := listAll(t, s, tusd.ListFilter{}, 10); slices.Contains(ids, "a") {
		t.Errorf("listed are %q", ids)
	}
}

// wantBroken checks that upload "a" is broken and "other" is not.
func wantBroken(t *testing.T, s *FileStore) {
	t.Helper()
	for _, lease := range []tusd.Lease{nil, lockID(t, "a")} {
		_, err := s.GetUpload(t.Context(), lease, "a")
		if !errors.Is(err, tusd.ErrNotFound) || !errors.Is(err, tusd.ErrBroken) {
			t.Fatalf("GetUpload gives %v, want ErrNotFound that is ErrBroken", err)
		}
		if !strings.Contains(err.Error(), filepath.Join(s.Path, "a")) {
			t.Errorf("the error names no path: %v", err)
		}
	}
	if err := s.Terminate(t.Context(), lockID(t, "a"), "a"); err != nil {
		t.Fatalf("Terminate: %v", err)
	}
	wantAbsent(t, s, "a")
	wantFiles(t, s, "other", "other.info")
	wantContent(t, s, "other", "abc")
}

// An error while a record is read is not ErrNotFound.
func TestReadErrors(t *testing.T) {
	s := openStore(t, Ack)
	writeFiles(t, s, map[string]string{"a": stored, "a.info": strings.Replace(v2Record("a", 11, "a"), `{"ID"`, `{"Version":99,"ID"`, 1)})
	_, err := s.GetUpload(t.Context(), nil, "a")
	if err == nil || errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("a record of a later version gives %v; want an error that is not ErrNotFound", err)
	}
	f := &faults{at: 1, err: syscall.EACCES}
	s.hook = f.hook
	s = reopen(t, s)
	f.on()
	_, err = s.GetUpload(t.Context(), nil, "a")
	if !errors.Is(err, syscall.EACCES) || errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("GetUpload gives %v, want EACCES", err)
	}
	f.at = 2
	err = s.Terminate(t.Context(), lockID(t, "a"), "a")
	if err == nil || errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("Terminate gives %v; want an error that is not ErrNotFound", err)
	}
	wantFiles(t, s, "a", "a.info")
}

// A record that names another upload's data is broken, and that upload is not changed.
func TestDataOfAnotherUpload(t *testing.T) {
	s := openStore(t, Ack)
	createWithContent(t, s, "b", 3, "abc")
	writeFiles(t, s, map[string]string{"a.info": v2Record("a", 3, "b")})
	if _, err := s.GetUpload(t.Context(), lockID(t, "a"), "a"); !errors.Is(err, tusd.ErrNotFound) || !errors.Is(err, tusd.ErrBroken) {
		t.Errorf("GetUpload: %v, want a broken record", err)
	}
	if err := s.Terminate(t.Context(), lockID(t, "a"), "a"); err != nil {
		t.Error(err)
	}
	wantContent(t, s, "b", "abc")
	wantFiles(t, s, "b", "b.info")
}

// A directory in place of a file is removed if it is empty, and kept if it has files.
func TestDirectoryInPlaceOfAFile(t *testing.T) {
	s := openStore(t, Ack)
	createWithContent(t, s, "a/b", 3, "abc")
	writeFiles(t, s, map[string]string{"a.info": v2Record("a", 11, "a")})
	if err := s.Terminate(t.Context(), lockID(t, "a"), "a"); err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, "a/b", "abc")

	writeFiles(t, s, map[string]string{"c.info/d": "abc"})
	if err := s.Terminate(t.Context(), lockID(t, "c"), "c"); err == nil {
		t.Error("a directory with files was removed, or forgotten, in place of a record")
	}
	_, err := s.NewUpload(t.Context(), lockID(t, "a"), tusd.FileInfo{ID: "a", Size: 1})
	if !errors.Is(err, tusd.ErrInvalidName) {
		t.Errorf("an upload in place of a directory: %v, want %v", err, tusd.ErrInvalidName)
	}
	_, err = s.NewUpload(t.Context(), lockID(t, "a/b/c"), tusd.FileInfo{ID: "a/b/c", Size: 1})
	if !errors.Is(err, tusd.ErrInvalidName) {
		t.Errorf("an upload below a file: %v, want %v", err, tusd.ErrInvalidName)
	}
}

// An undo record of a terminated upload does not truncate a later upload with its id.
func TestStaleUndoRecord(t *testing.T) {
	s := openStore(t, None)
	createWithContent(t, s, "a", 11, stored)
	writeFiles(t, s, map[string]string{"a.undo": `{"Offset":1,"Created":"2001-02-03T04:05:06Z"}`})
	s = reopen(t, s)
	wantContent(t, s, "a", stored)
	wantFiles(t, s, "a", "a.info")
}
