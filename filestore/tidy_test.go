package filestore

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
)

const (
	serverID  = "0123456789abcdef0123456789abcdef"
	serverID2 = "ffffffffffffffff0123456789abcdef"
)

// tidyAll removes what has not changed since before, and returns what is reported, a line
// each: kind, name below the directory, upload, and what became of it.
func tidyAll(t testing.TB, s *FileStore, before time.Time, options ...func(*tusd.Tidying)) []string {
	t.Helper()
	var reported []string
	locker := &tusd.LocalLocker{}
	tidying := tusd.Tidying{
		Before: before,
		Lock: func(ctx context.Context, id string) (tusd.Lease, error) {
			return locker.Lock(ctx, id, tusd.LockTry)
		},
		Pace: func(ctx context.Context) error { return context.Cause(ctx) },
		Report: func(l tusd.Leftover) {
			became := "stays"
			if l.Removed {
				became = "removed"
			}
			reported = append(reported, fmt.Sprintf("%s %s %q %s", l.Kind, strings.TrimPrefix(l.Name, s.Path+"/"), l.Upload, became))
			if l.Removed && l.Err != nil {
				t.Errorf("%+v", l)
			}
		},
	}
	for _, change := range options {
		change(&tidying)
	}
	if err := s.Tidy(t.Context(), tidying); err != nil {
		t.Fatal(err)
	}
	slices.Sort(reported)
	return reported
}

// allFiles returns the files below the directory, with sizes and times, without the lock file.
func allFiles(t testing.TB, s *FileStore) map[string]string {
	t.Helper()
	files := make(map[string]string)
	err := filepath.Walk(s.Path, func(path string, info os.FileInfo, err error) error {
		if err == nil && !info.IsDir() && info.Name() != lockFileName {
			files[strings.TrimPrefix(path, s.Path+"/")] = fmt.Sprint(info.Size(), info.ModTime())
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

const undoContent = `{"Offset":3,"Created":"0001-01-01T00:00:00Z"}`

// leftovers are files by name, with what Tidy says about them; "": nothing. {data} is the
// content of files whose content does not matter.
var leftovers = map[string]struct{ content, want string }{
	// Uploads, and what is needed by them.
	"plain.info":                       {v2Record("plain", 10, "plain"), ""},
	"plain":                            {stored, ""},
	"plain.undo":                       {undoContent, ""},
	"chosen.info":                      {v2Record("chosen", 10, "d/file name"), ""},
	"d/file name":                      {stored, ""},
	"empty.info":                       {v2Record("empty", 10, "fedcba9876543210fedcba9876543210"), ""},
	"fedcba9876543210fedcba9876543210": {"", ""},
	"old.info":                         {`{"ID":"old","Size":10}`, ""},
	"old.bin":                          {stored, ""},
	"x/deep.info":                      {v2Record("x/deep", 10, "x/deep"), ""},
	"x/deep":                           {stored, ""},
	"newer.info":                       {`{"ID":"newer","Size":10,"Version":99}`, ""},
	"newer":                            {stored, ""},
	"cut0.info":                        {`{"ID":"cut0`, `broken cut0.info "cut0" stays`},
	"cut0.bin":                         {stored, ""},
	// Of no upload.
	"0123abcd":                 {"", `data 0123abcd "" stays`},
	"gone.undo":                {undoContent, `undo gone.undo "gone" removed`},
	"x/gone.undo":              {undoContent, `undo x/gone.undo "x/gone" removed`},
	"text.undo":                {"text", `undo text.undo "text" stays`},
	"plain.lock":               {"1234\n", `lock plain.lock "plain" removed`},
	"chosen.lock":              {"1234", `lock chosen.lock "chosen" removed`},
	"x/deep.stop":              {"", `lock x/deep.stop "x/deep" removed`},
	serverID2 + ".lock":        {"1234\n", "lock " + serverID2 + `.lock "` + serverID2 + `" removed`},
	serverID2 + ".stop":        {"", "lock " + serverID2 + `.stop "` + serverID2 + `" removed`},
	"x/" + serverID2 + ".lock": {"1234\n", "foreign x/" + serverID2 + `.lock "" stays`},
	"cleanup.lock":             {"", `foreign cleanup.lock "" stays`},
	"cleanup.stop":             {"", `foreign cleanup.stop "" stays`},
	"gone.lock":                {"1234", `foreign gone.lock "" stays`},
	"empty.lock":               {"", `foreign empty.lock "" stays`},
	"old.lock":                 {"\n", `foreign old.lock "" stays`},
	"cut.lock":                 {"12 34\n", `foreign cut.lock "" stays`},
	"empty.stop":               {"1234", `foreign empty.stop "" stays`},
	"yarn.lock":                {"# yarn", `foreign yarn.lock "" stays`},
	"void.lock":                {strings.Repeat("1", 100), `foreign void.lock "" stays`},
	"lonely":                   {stored, `data lonely "" stays`},
	"lonely.bin":               {stored, `data lonely.bin "" stays`},
	"no id.txt":                {"", `data no id.txt "" stays`},
	"empty-name":               {"", `data empty-name "" stays`},
	"x/" + serverID:            {"", `data x/` + serverID + ` "" stays`},
	strings.ToUpper(serverID):  {"", `data ` + strings.ToUpper(serverID) + ` "" stays`},
	"1" + serverID[1:]:         {"x", `data 1` + serverID[1:] + ` "" stays`},
	"missing.info":             {v2Record("missing", 10, "missing"), `broken missing.info "missing" stays`},
	"cut.info":                 {`{"ID": "cut","Si`, `broken cut.info "cut" stays`},
	"void.info":                {"", `broken void.info "void" stays`},
	"zeros.info":               {"\x00\x00\x00", `broken zeros.info "zeros" stays`},
	"other.info":               {v2Record("else", 10, "else"), `foreign other.info "" stays`},
	"json.info":                {`{"name":"value"}`, `foreign json.info "" stays`},
	"emacs.info":               {"This is emacs.info", `foreign emacs.info "" stays`},
	"no id.info":               {`{"ID":"no id"}`, `foreign no id.info "" stays`},
	"s3.part":                  {"", ""},
	".tusd.other":              {"", ""},
	".tusd.d/side/finishing/a": {"1", ""},
	".tusd.d/tmp/1000000000000000.ABCDEFGHIJKLMNOPQRSTUVWXYZ": {"x", `temporary .tusd.d/tmp/1000000000000000.ABCDEFGHIJKLMNOPQRSTUVWXYZ "" removed`},
	".tusd.d/tmp/ABCDEFGHIJKLMNOPQRSTUVWX22":                  {"x", `temporary .tusd.d/tmp/ABCDEFGHIJKLMNOPQRSTUVWX22 "" removed`},
	".tusd.d/tmp/other.tmp":                                   {"x", ""},
	".tusd.d/tmp/1000000000000000.ABCDEFGHIJKLM/x":            {"x", ""},
}

// writeLeftovers makes the files of leftovers, but for names, and lets them be old.
func writeLeftovers(t *testing.T, s *FileStore, without ...string) (want []string) {
	t.Helper()
	old := time.Now().Add(-48 * time.Hour)
	for name, file := range leftovers {
		if slices.Contains(without, name) {
			continue
		}
		writeFiles(t, s, map[string]string{name: file.content})
		setTime(t, s, name, old)
		if file.want != "" {
			want = append(want, file.want)
		}
	}
	slices.Sort(want)
	return want
}

func dayAgo() time.Time { return time.Now().Add(-24 * time.Hour) }

// Tidy removes and reports every kind of leftover, and nothing that an upload needs. A dry
// run says the same and changes nothing.
func TestTidy(t *testing.T) {
	s := openStore(t, Ack)
	want := writeLeftovers(t, s, "newer.info", "newer")
	expect := func(what string, got []string) {
		t.Helper()
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n%s\nwant\n%s", what, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	before := allFiles(t, s)
	expect("a dry run", tidyAll(t, s, dayAgo(), func(t *tusd.Tidying) { t.DryRun = true }))
	if after := allFiles(t, s); !maps.Equal(before, after) {
		t.Errorf("after a dry run: %q, before: %q", after, before)
	}
	expect("the first time", tidyAll(t, s, dayAgo()))
	for name, file := range leftovers {
		if strings.HasSuffix(file.want, " removed") {
			delete(before, name)
		}
	}
	if after := allFiles(t, s); !maps.Equal(before, after) {
		t.Errorf("there are %q, want %q", after, before)
	}
	want = slices.DeleteFunc(want, func(line string) bool { return strings.HasSuffix(line, " removed") })
	expect("the second time", tidyAll(t, s, dayAgo()))
	wantContent(t, s, "chosen", stored)
}

// The empty data of a creation that was cut short is removed, unless a record may name it:
// one record cannot be read.
func TestTidyUnfinishedCreation(t *testing.T) {
	for _, readable := range []bool{true, false} {
		s := openStore(t, None)
		writeFiles(t, s, map[string]string{serverID: ""})
		if !readable {
			writeFiles(t, s, map[string]string{"newer.info": leftovers["newer.info"].content})
		}
		want := []string{"data " + serverID + ` "" stays`}
		if readable {
			want = []string{"data " + serverID + ` "` + serverID + `" removed`}
		}
		if got := tidyAll(t, s, time.Now().Add(time.Hour)); !slices.Equal(got, want) {
			t.Errorf("every record is readable: %t: %q, want %q", readable, got, want)
		}
	}
}

// Nothing young is removed or reported: it may be of a running request.
func TestTidyLeavesYoungFiles(t *testing.T) {
	s := openStore(t, None)
	writeLeftovers(t, s)
	for name := range leftovers {
		setTime(t, s, name, time.Now())
	}
	if got := tidyAll(t, s, dayAgo()); len(got) > 0 {
		t.Errorf("reported: %q", got)
	}
}

// What is of an upload that is locked stays.
func TestTidyLeavesLockedUploads(t *testing.T) {
	s := openStore(t, None)
	writeLeftovers(t, s, "newer.info", "newer")
	writeFiles(t, s, map[string]string{serverID: ""})
	setTime(t, s, serverID, dayAgo().Add(-time.Hour))
	before := allFiles(t, s)
	got := tidyAll(t, s, dayAgo(), func(t *tusd.Tidying) {
		t.Lock = func(context.Context, string) (tusd.Lease, error) { return nil, tusd.ErrUploadLocked }
	})
	for _, line := range got {
		if strings.HasSuffix(line, " removed") != strings.HasPrefix(line, "temporary ") || strings.HasPrefix(line, "broken ") {
			t.Errorf("with every upload locked: %s", line)
		}
	}
	if lost := len(before) - len(allFiles(t, s)); lost != 2 {
		t.Errorf("%d files were removed, want the two temporary ones", lost)
	}
}

// A file that a request changes before Tidy has the lock stays.
func TestTidyLooksAgainUnderTheLock(t *testing.T) {
	s := openStore(t, None)
	writeLeftovers(t, s, "newer.info", "newer")
	writeFiles(t, s, map[string]string{serverID: ""})
	setTime(t, s, serverID, dayAgo().Add(-time.Hour))
	locker := &tusd.LocalLocker{}
	got := tidyAll(t, s, dayAgo(), func(tidying *tusd.Tidying) {
		tidying.Lock = func(ctx context.Context, id string) (tusd.Lease, error) {
			switch {
			case id == "missing": // is removed
				os.Remove(filepath.Join(s.Path, "missing.info"))
			case id == "cut": // is replaced
				writeFiles(t, s, map[string]string{"cut": "", "cut.info": v2Record("cut", 10, "cut")})
			case strings.HasSuffix(id, "gone"), id == serverID: // is created
				writeFiles(t, s, map[string]string{id + ".info": v2Record(id, 10, id), id: ""})
			}
			return locker.Lock(ctx, id, tusd.LockTry)
		}
	})
	for _, line := range got {
		if strings.HasPrefix(line, "undo ") && strings.HasSuffix(line, "removed") || strings.HasPrefix(line, "data "+serverID) ||
			strings.HasPrefix(line, "broken cut.") || strings.HasPrefix(line, "broken missing") {
			t.Error(line)
		}
	}
	for _, name := range []string{"gone.undo", "x/gone.undo", serverID} {
		if _, err := os.Stat(filepath.Join(s.Path, name)); err != nil {
			t.Error(err)
		}
	}
}

// A lost lease, and the end of the caller, stop the removal.
func TestTidyStops(t *testing.T) {
	s := openStore(t, None)
	writeFiles(t, s, map[string]string{"gone.undo": undoContent})
	locker := &tusd.LocalLocker{}
	tidyAll(t, s, time.Now().Add(time.Hour), func(t *tusd.Tidying) {
		t.Lock = func(ctx context.Context, id string) (tusd.Lease, error) {
			lease, err := locker.Lock(ctx, id, tusd.LockTry)
			return lostLease{lease}, err
		}
	})
	cause := errors.New("the caller has gone")
	ctx, cancel := context.WithCancelCause(t.Context())
	err := s.Tidy(ctx, tusd.Tidying{Before: time.Now().Add(time.Hour), Pace: func(ctx context.Context) error {
		cancel(cause)
		return context.Cause(ctx)
	}})
	if !errors.Is(err, cause) {
		t.Errorf("Tidy after the end of ctx: %v", err)
	}
	wantFiles(t, s, "gone.undo")
}

// lostLease is a lease that is lost.
type lostLease struct{ tusd.Lease }

func (lostLease) Context() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// The data of uploads in a storage root counts as named also if the root, or a link, leads
// into the upload directory.
func TestTidyKeepsDataBehindOtherNames(t *testing.T) {
	s := New(t.TempDir())
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Symlink(s.Path, root); err != nil {
		t.Fatal(err)
	}
	s.StorageRoots = []string{root}
	s = reopen(t, s)
	if _, err := createAt(t, s, "a", root+"/"+serverID); err != nil {
		t.Fatal(err)
	}
	if got := tidyAll(t, s, time.Now().Add(time.Hour)); len(got) > 0 {
		t.Errorf("reported: %q", got)
	}
	wantContent(t, s, "a", "")
}

// Tidy needs the same memory for any number of names.
func TestNameSet(t *testing.T) {
	s := newNameSet()
	if s.has("a") {
		t.Error("an empty set has a name")
	}
	const n = 200_000
	for i := range n {
		s.add(fmt.Sprintf("Data/%d", i))
	}
	others := 0
	for i := range n {
		if !s.has(fmt.Sprintf("data/%d", i)) {
			t.Fatalf("name %d is missing", i)
		}
		if s.has(fmt.Sprintf("other/%d", i)) {
			others++
		}
	}
	if others > n/1000 {
		t.Errorf("%d of %d other names seem to be in the set", others, n)
	}
}

// Several calls at once remove everything, and report each removal once.
func TestTidyAtOnce(t *testing.T) {
	s := openStore(t, None)
	want := writeLeftovers(t, s, "newer.info", "newer")
	want = slices.DeleteFunc(want, func(line string) bool { return !strings.HasSuffix(line, " removed") })
	var mu sync.Mutex
	var removed []string
	var sweepers sync.WaitGroup
	for range 4 {
		sweepers.Go(func() {
			for _, line := range tidyAll(t, s, dayAgo()) {
				if strings.HasSuffix(line, " removed") {
					mu.Lock()
					removed = append(removed, line)
					mu.Unlock()
				}
			}
		})
	}
	sweepers.Wait()
	if slices.Sort(removed); !slices.Equal(removed, want) {
		t.Errorf("removed: %q, want %q", removed, want)
	}
}
