package filestore

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

// createAt creates an upload with data at path.
func createAt(t *testing.T, s *FileStore, id, path string) (tusd.Upload, error) {
	t.Helper()
	return s.NewUpload(t.Context(), lockID(t, id), tusd.FileInfo{ID: id, Size: 11, Storage: map[string]string{"Path": path}})
}

// A hook may set the path of the data below the directory or below StorageRoots.
func TestStoragePath(t *testing.T) {
	base := t.TempDir()
	extra := filepath.Join(base, "extra")
	if err := os.Mkdir(extra, 0o755); err != nil {
		t.Fatal(err)
	}
	s := New(filepath.Join(base, "uploads"))
	s.StorageRoots = []string{extra}
	s = reopen(t, s)
	createWithContent(t, s, "taken", 3, "abc")

	good := map[string]string{ // path: where the file is
		"d/e/report.pdf":                   filepath.Join(s.Path, "d/e/report.pdf"),
		filepath.Join(s.Path, "f/g"):       filepath.Join(s.Path, "f/g"),
		filepath.Join(extra, "h/i.bin"):    filepath.Join(extra, "h/i.bin"),
		"/somewhere/else/id":               filepath.Join(s.Path, "id"),
		filepath.Join(extra, "not.info"):   filepath.Join(extra, "not.info"),
		filepath.Join(s.Path, "x/../y/zz"): filepath.Join(s.Path, "y/zz"),
	}
	for path, want := range good {
		up, err := createAt(t, s, "id", path)
		if err != nil {
			t.Errorf("Storage.Path %s: %v", path, err)
			continue
		}
		write(t, up, 0, stored+added)
		if content, err := os.ReadFile(want); string(content) != stored+added {
			t.Errorf("Storage.Path %s: %s has %q, %v", path, want, content, err)
		}
		if info, _ := up.GetInfo(t.Context()); info.Storage["Path"] != want || info.Storage["InfoPath"] != filepath.Join(s.Path, "id.info") {
			t.Errorf("Storage.Path %s: the record has %v", path, info.Storage)
		}
		s = reopen(t, s)
		wantContent(t, s, "id", stored+added)
		if err := s.Terminate(t.Context(), lockID(t, "id"), "id"); err != nil {
			t.Error(err)
		}
		if _, err := os.Stat(want); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("after Terminate, %s: %v", want, err)
		}
	}
	for _, path := range []string{
		"../outside", "d/../../outside", filepath.Join(base, "outside"), "/etc/passwd", ".", s.Path,
		"other.info", ".tusd.locks", ".tusd.d/tmp/x", "x.undo/y", "a.lock", "a.stop", "a.part",
		"id.INFO", ".Tusd.locks", "a\x00b", strings.Repeat("x", 256), strings.Repeat("x/", 3000) + "x",
	} {
		up, err := createAt(t, s, "id", path)
		if !errors.Is(err, tusd.ErrInvalidName) {
			t.Errorf("Storage.Path %.80q gives %v, %v; want %v", path, up, err, tusd.ErrInvalidName)
		}
	}
	for _, path := range []string{"taken", filepath.Join(s.Path, "taken"), "taken/below", "taken.info/below"} {
		if _, err := createAt(t, s, "id", path); !errors.Is(err, tusd.ErrInvalidName) || errors.Is(err, tusd.ErrUploadExists) {
			t.Errorf("Storage.Path %s gives %v, want %v", path, err, tusd.ErrInvalidName)
		}
	}
	if _, err := createAt(t, s, "taken", "free"); !errors.Is(err, tusd.ErrUploadExists) {
		t.Errorf("an id that exists gives %v, want %v", err, tusd.ErrUploadExists)
	}
	wantContent(t, s, "taken", "abc")
	wantFiles(t, s, "taken", "taken.info")
}

// A hook cannot set the path of another record, also if the data of that is missing.
func TestStoragePathOfAnotherRecord(t *testing.T) {
	s := openStore(t, Ack)
	writeFiles(t, s, map[string]string{"b.info": v2Record("b", 11, "b")})
	if _, err := createAt(t, s, "a", "b"); !errors.Is(err, tusd.ErrInvalidName) {
		t.Errorf("Storage.Path gives %v, want %v", err, tusd.ErrInvalidName)
	}
	wantFiles(t, s, "b.info")
}

// If the data of a record of tusd v2 is outside the directories of this store, the
// configuration is wrong: the error is not ErrNotFound, so that the client keeps its
// upload.
func TestRecordPointsOutside(t *testing.T) {
	s := openStore(t, Ack)
	outside := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(outside, []byte("secret"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{outside, "../data", "/etc/passwd"} {
		writeFiles(t, s, map[string]string{"a.info": v2Record("a", 11, path)})
		_, err := s.GetUpload(t.Context(), lockID(t, "a"), "a")
		if err == nil || errors.Is(err, tusd.ErrNotFound) {
			t.Errorf("Path %s gives %v; want an error that is not ErrNotFound", path, err)
		}
		if err := s.Terminate(t.Context(), lockID(t, "a"), "a"); err == nil {
			t.Errorf("Path %s: Terminate succeeded", path)
		}
	}
	if content, err := os.ReadFile(outside); string(content) != "secret" {
		t.Errorf("the file outside has %q, %v", content, err)
	}
}

// The store follows no link to a file outside its directory.
func TestLinksOutside(t *testing.T) {
	s := openStore(t, Ack)
	outside := t.TempDir()
	secret := filepath.Join(outside, "a")
	for name, content := range map[string]string{"a": "secret", "a.info": v2Record("d/a", 11, "d/a")} {
		if err := os.WriteFile(filepath.Join(outside, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	links := map[string]string{"d": outside, "l": secret, "m.info": filepath.Join(outside, "a.info")}
	for name, target := range links {
		if err := os.Symlink(target, filepath.Join(s.Path, name)); err != nil {
			t.Fatal(err)
		}
	}
	writeFiles(t, s, map[string]string{"l.info": v2Record("l", 11, "l"), "m": ""})
	for _, id := range []string{"d/a", "l", "m"} {
		if up, err := s.GetUpload(t.Context(), lockID(t, id), id); err == nil {
			t.Errorf("upload %s was loaded: %+v", id, up)
		}
		if _, err := s.NewUpload(t.Context(), lockID(t, id), tusd.FileInfo{ID: id, Size: 1}); err == nil {
			t.Errorf("upload %s was created", id)
		}
		s.Terminate(t.Context(), lockID(t, id), id)
	}
	if _, err := s.NewUpload(t.Context(), lockID(t, "d/new"), tusd.FileInfo{ID: "d/new", Size: 1}); err == nil {
		t.Error("upload d/new was created outside")
	}
	entries, err := os.ReadDir(outside)
	if err != nil || len(entries) != 2 {
		t.Errorf("the directory outside has %v, %v", entries, err)
	}
	if content, err := os.ReadFile(secret); string(content) != "secret" {
		t.Errorf("the file outside has %q, %v", content, err)
	}
}

// A link within the directory gives no upload a second name.
func TestLinkedDirectory(t *testing.T) {
	s := openStore(t, Ack)
	writeFiles(t, s, map[string]string{"a.info": v2Record("a", 3, "a"), "a": "abc"})
	if err := os.Symlink(".", filepath.Join(s.Path, "self")); err != nil {
		t.Fatal(err)
	}
	const id = "self/a"
	if _, err := s.GetUpload(t.Context(), nil, id); !errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("GetUpload through the link: %v", err)
	}
	if err := s.Terminate(t.Context(), lockID(t, id), id); !errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("Terminate through the link: %v", err)
	}
	if _, err := s.NewUpload(t.Context(), lockID(t, "self/b"), tusd.FileInfo{ID: "self/b", Size: 1}); err == nil {
		t.Error("created through the link")
	}
	wantContent(t, s, "a", "abc")
	for name, target := range map[string]string{"etc": "/etc", "loop": "loop"} {
		if err := os.Symlink(target, filepath.Join(s.Path, name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, id := range []string{"etc/passwd", "etc/ssl/x", "loop/a/b"} {
		if _, err := s.GetUpload(t.Context(), nil, id); !errors.Is(err, tusd.ErrNotFound) {
			t.Errorf("%s: %v, want ErrNotFound", id, err)
		}
		if err := s.Terminate(t.Context(), lockID(t, id), id); !errors.Is(err, tusd.ErrNotFound) {
			t.Errorf("Terminate %s: %v, want ErrNotFound", id, err)
		}
	}
}

func FuzzStoragePath(f *testing.F) {
	for _, seed := range []string{"", "a", "../a", "/a/b", "a/./b", "a\x00b", "a//b", ".tusd.d/x", "a.info", `..\a`, "/gone/id"} {
		f.Add(seed)
	}
	s := openStore(f, None)
	v := s.opened.Load()
	f.Fuzz(func(t *testing.T, path string) {
		p, err := v.data("id", path)
		if err != nil {
			return
		}
		if !filepath.IsLocal(p.name) || p.tree != v.tree {
			t.Errorf("%q leads to %q", path, p.name)
		}
	})
}

func FuzzParseRecord(f *testing.F) {
	for _, seed := range []string{"", "{}", "null", "[]", v2Record("id", 1, "id"), v2Record("id", -1, ""), v2Record("b", 1, "")} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, content []byte) {
		info, err := parseRecord("id", content, unmarshal)
		if err == nil && (info.ID != "id" || info.Size < 0 || info.Size > maxSize) {
			t.Errorf("%q is parsed as %+v", content, info)
		}
	})
}

// isDefaultStorage accepts only the storage of an upload at its default path.
func TestIsDefaultStorage(t *testing.T) {
	for _, dir := range []string{"/data", "/data/a", "/"} {
		v := &volume{path: dir, aliases: []string{dir}}
		for _, id := range []string{"a", "a/a", "data", "a.txt", "a%2Fb"} {
			usual := v.storage(id, v.file(id))
			if dir != "/" && !v.isDefaultStorage(id, usual) {
				t.Errorf("%s in %s is not the default storage", id, dir)
			}
			for _, other := range otherStorages(usual, dir, id) {
				if v.isDefaultStorage(id, other) {
					t.Errorf("%s in %s: %v", id, dir, other)
				}
			}
		}
	}
}

// otherStorages returns storages that differ from usual in one value.
func otherStorages(usual map[string]string, dir, id string) []map[string]string {
	others := []map[string]string{nil}
	for _, key := range []string{"Type", "Path", "InfoPath", "Key"} {
		for _, value := range []string{
			"", id, dir, dir + "/", dir + id, dir + "//" + id, dir + "/./" + id, dir + "/" + id + "/", dir + "2/" + id, dir + "2" + id,
			dir + "/" + id + ".bin", dir + "/" + id + ".infx", dir + "/b", "/elsewhere/" + id,
		} {
			other := maps.Clone(usual)
			if other[key] = value; !maps.Equal(other, usual) {
				others = append(others, other)
			}
		}
	}
	return others
}
