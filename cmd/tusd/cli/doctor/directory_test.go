package doctor_test

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/cmd/tusd/cli/doctor"
)

// inspected returns the report of a directory.
func inspected(ctx context.Context, d doctor.Directory) (text string, good bool) {
	var out bytes.Buffer
	report := doctor.NewReport(&out)
	d.Examine(ctx, report)
	report.Conclude()
	return out.String(), report.Good()
}

// wantNames compares the names in a directory.
func wantNames(t *testing.T, dir string, want ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	if strings.Join(names, " ") != strings.Join(want, " ") {
		t.Errorf("%s has %q, want %q", dir, names, want)
	}
}

func wantLine(t *testing.T, text, pattern string) {
	t.Helper()
	if !regexp.MustCompile(`(?m)^` + pattern).MatchString(text) {
		t.Errorf("the report lacks %s:\n%s", pattern, text)
	}
}

func TestGoodDirectory(t *testing.T) {
	dir, root := t.TempDir(), t.TempDir()
	text, good := inspected(t.Context(), doctor.Directory{Path: dir, StorageRoots: []string{root}})
	if !good {
		t.Error(text)
	}
	for _, subject := range []string{
		"ok       directory " + dir, "(ok|warning)  .*fsync.*: takes ", "ok       write, read and cut files", "(ok|warning)  +hard links",
		"ok       replace files", "ok       locks between processes", "ok       directory " + root + ` \(-storage-root\)`,
	} {
		wantLine(t, text, subject)
	}
	wantNames(t, dir)
	wantNames(t, root)
}

func TestDirectoryThatDoesNotExist(t *testing.T) {
	parent := t.TempDir()
	text, good := inspected(t.Context(), doctor.Directory{Path: filepath.Join(parent, "a", "b")})
	if !good {
		t.Error(text)
	}
	wantLine(t, text, "ok       directory .*/a/b: it is not there yet; the server makes it$")
	wantNames(t, parent)
}

func TestDirectoryThatIsAFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	text, good := inspected(t.Context(), doctor.Directory{Path: file, StorageRoots: nil})
	if good {
		t.Error(text)
	}
	wantLine(t, text, "missing  directory .*/file: .* is no directory$")
	text, good = inspected(t.Context(), doctor.Directory{Path: t.TempDir(), StorageRoots: []string{file}})
	if good {
		t.Error(text)
	}
	wantLine(t, text, `missing  directory .*/file \(-storage-root\): `)
}

// Records without a version are of tusd v2. Lock files are only a warning.
func TestDirectoryWithUploads(t *testing.T) {
	dir := t.TempDir()
	for name, content := range map[string]string{
		"one": "", "one.info": `{"ID":"one","Size":5}`, "two.info": `{"ID":"two","Size":5,"Version":1}`,
		"one.lock": "12345\n", ".tusd.d/side/x.info": `{"ID":"x"}`, "deep/three.info": `{"ID":"deep/three"}`, "broken.info": "",
	} {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	text, good := inspected(t.Context(), doctor.Directory{Path: dir})
	if !good {
		t.Error(text)
	}
	wantLine(t, text, "ok       existing uploads: 4 records, 2 of them of tusd v2 or before$")
	wantLine(t, text, "ok       uploads of tusd v2: .*Stop tusd v2 first")
	wantLine(t, text, "warning  locks: 1 files end with .lock")
	wantNames(t, dir, ".tusd.d", "broken.info", "deep", "one", "one.info", "one.lock", "two.info")
}

// A cancelled inspection leaves nothing. The next inspection removes the old files
// of a killed one.
func TestDirectoryLeftClean(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	inspected(ctx, doctor.Directory{Path: dir})
	wantNames(t, dir)

	for name, age := range map[string]time.Duration{".tusd-doctor-old": 2 * time.Hour, ".tusd-doctor-new": 0} {
		path := filepath.Join(dir, name)
		if err := os.Mkdir(path, 0o700); err != nil {
			t.Fatal(err)
		}
		made := time.Now().Add(-age)
		if err := os.Chtimes(path, made, made); err != nil {
			t.Fatal(err)
		}
	}
	inspected(t.Context(), doctor.Directory{Path: dir})
	wantNames(t, dir, ".tusd-doctor-new")
}
