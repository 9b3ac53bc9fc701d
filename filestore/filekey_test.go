package filestore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
)

func TestFileKey(t *testing.T) {
	s := &FileStore{Path: t.TempDir(), FileKey: "{date}/{id}/{filename}"}
	if err := s.Open(t.Context(), tusd.Env{Locker: new(tusd.LocalLocker)}); err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	created := time.Date(2026, 11, 22, 23, 59, 0, 0, time.UTC)
	for id, c := range map[string]struct{ name, want string }{
		"a":   {"report.pdf", "report.pdf"},
		"b":   {"../../etc/passwd", "_.._etc_passwd"},
		"c":   {"", "file"},
		"d":   {"x.info", "x.info_"},
		"e":   {".tusd.locks", "tusd.locks"},
		"f":   {"späße\x00\r\n.png", "späße___.png"},
		"g/h": {`C:\a`, "C__a"},
		"i":   {strings.Repeat("ä", 400) + ".txt", strings.Repeat("ä", 72) + ".txt"},
		"j":   {"हिन्दी.txt", "हिन्दी.txt"},
		"k":   {"e\u0301te\u0301.txt", "e\u0301te\u0301.txt"},
		"l":   {"می\u200cخواهم.doc", "می\u200cخواهم.doc"},
		"m":   {"photo\u202egpj.exe", "photo_gpj.exe"},
		"n":   {"con.txt", "_con.txt"},
	} {
		info := tusd.FileInfo{ID: id, Size: 3, Created: created, MetaData: tusd.MetaData{"filename": c.name}}
		up, err := s.NewUpload(t.Context(), lockID(t, id), info)
		if err != nil {
			t.Errorf("%s: %v", id, err)
			continue
		}
		if n, err := up.WriteChunk(t.Context(), 0, strings.NewReader("abc")); n != 3 || err != nil {
			t.Errorf("%s: wrote %d, %v", id, n, err)
		}
		content, err := os.ReadFile(filepath.Join(s.Path, "2026-11-22", filepath.FromSlash(id), c.want))
		if err != nil || string(content) != "abc" {
			t.Errorf("%s: %q, %v", id, content, err)
		}
		wantContent(t, s, id, "abc")
		if _, err := s.NewUpload(t.Context(), lockID(t, id), info); !errors.Is(err, tusd.ErrUploadExists) {
			t.Errorf("%s again: %v", id, err)
		}
		if err := s.Terminate(t.Context(), lockID(t, id), id); err != nil {
			t.Errorf("terminate %s: %v", id, err)
		}
	}
	wantFiles(t, s)
}

// Some filenames of clients lead to names that are reserved or too long; similar ones do
// not.
func TestFilenamesOfClients(t *testing.T) {
	long := strings.Repeat("n", 200)
	for _, c := range []struct {
		key, id, name string
		good          bool
	}{
		{"{id}.{filename}", "a", "info", false},
		{"{id}.{filename}", "a", "lock", false},
		{"{id}.{filename}", "a", "stop", false},
		{"{id}.{filename}", "a", "part", false},
		{"{id}.{filename}", "a", "undo", false},
		{"{id}.{filename}", "a", "INFO", false}, // the record, if the file system ignores case
		{"{id}.{filename}", "a", ".info", false},
		{"{id}.{filename}", "a", "info.", false},
		{"{id}.{filename}", "a", "info. ", true}, // a.info._
		{"{id}.{filename}", "a", "\x00info", true},
		{"{id}.{filename}", "a", "information", true},
		{"{id}.{filename}", "a", "bin", true},    // the name of the data in tusd 0.x
		{"{id}.{filename}", "a", "a.info", true}, // x.info_
		{"{id}.{filename}", "a", "", true},
		{"{id}.{filename}", "a", "a.", true},
		{"{id}.{filename}", "a", "../../x", true},
		{"{id}{filename}", "a", ".info", true}, // ainfo
		{"{id}/{filename}", "a", "info", true},
		{"{id}/{filename}", "a", ".info", true},
		{"{id}/{filename}", "a", ".tusd.locks", true},
		{".{filename}/{id}", "a", "tusd.locks", false},
		{".{filename}/{id}", "a", "TUSD.d", false},
		{".{filename}/{id}", "a", ".", true},
		{"{id}.{filename}", strings.Repeat("i", 200), long, false}, // 351 bytes
		{"{id}.{filename}", "a", long, true},
		{"{id}{filename}{filename}", "a", long, false},
		{"{id}{filename}{filename}", "a", "n", true},
	} {
		t.Run(c.key+" "+c.name, func(t *testing.T) {
			s := &FileStore{Path: t.TempDir(), FileKey: c.key}
			if err := s.Open(t.Context(), tusd.Env{Locker: new(tusd.LocalLocker)}); err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			up, err := s.NewUpload(t.Context(), lockID(t, c.id), tusd.FileInfo{ID: c.id, Size: 3, MetaData: tusd.MetaData{"filename": c.name}})
			if !c.good {
				if !errors.Is(err, tusd.ErrInvalidName) {
					t.Errorf("%v, want %v", err, tusd.ErrInvalidName)
				}
				wantFiles(t, s)
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			write(t, up, 0, "abc")
			wantContent(t, s, c.id, "abc")
		})
	}
}

func TestInvalidFileKeys(t *testing.T) {
	for _, key := range []string{"{filename}", "/{id}", "../{id}", "{id}/", "{id}.info", ".tusd.d/{id}", "{id}/{name}", "{id}/{", "a/{id}/..", "a//{id}", "./{id}",
		`a\{id}`, "a\x01{id}", "{id}.LOCK", "con/{id}", "{id}.", strings.Repeat("x", 224) + "{id}"} {
		s := &FileStore{Path: t.TempDir(), FileKey: key}
		if err := s.Open(t.Context(), tusd.Env{Locker: new(tusd.LocalLocker)}); err == nil {
			t.Errorf("FileKey %q is accepted", key)
			s.Close()
		}
	}
}
