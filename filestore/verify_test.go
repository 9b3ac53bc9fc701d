package filestore

import (
	"context"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
)

// verified returns the faults of an upload, with paths below the directory.
func verified(t *testing.T, s *FileStore, id string) []string {
	t.Helper()
	faults, err := s.Verify(t.Context(), id)
	if err != nil {
		t.Fatalf("verify %s: %v", id, err)
	}
	for i := range faults {
		faults[i] = strings.ReplaceAll(faults[i], s.Path+"/", "")
	}
	return faults
}

func wantFault(t *testing.T, s *FileStore, id, want string) {
	t.Helper()
	got := verified(t, s, id)
	if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], want)) {
		t.Errorf("%s: %q, want %q", id, got, want)
	}
}

// Verify finds every way in which record, data and undo record contradict each other.
func TestVerify(t *testing.T) {
	synctest.Test(t, func(t *testing.T) { // waits between two looks
		s := openStore(t, None)
		createWithContent(t, s, "part1", 6, stored)
		createWithContent(t, s, "part2", 5, added)
		writeFiles(t, s, map[string]string{
			"long": stored, "long.info": v2Record("long", 3, "long"),
			"missing.info":   v2Record("missing", 3, "missing"),
			"directory/x":    "",
			"directory.info": v2Record("directory", 3, "directory"),
			"cut":            "", "cut.info": `{"ID":"cu`,
			"other": "", "other.info": v2Record("else", 3, "else"),
			"stolen.info": v2Record("stolen", 6, "part1"),
			"short":       stored, "short.info": `{"ID":"short","Size":11,"State":"complete"}`,
			"open": stored, "open.info": `{"ID":"open","SizeIsDeferred":true,"State":"complete"}`,
			"digest": stored, "digest.info": `{"ID":"digest","Size":11,"Digests":[{"Algorithm":"sha-256","Offset":3,"State":"AA=="},{"Algorithm":"sha-512","Offset":11,"Sum":"AA=="}]}`,
			"digests": stored, "digests.info": `{"ID":"digests","Size":11,"Digests":[{"Algorithm":"sha-256","Offset":6,"State":"AA==","Want":"AA=="}]}`,
			"digested": stored, "digested.info": `{"ID":"digested","Size":6,"Digests":[{"Algorithm":"sha-256","Offset":6,"Sum":"AA=="}]}`,
			"undone": stored, "undone.info": v2Record("undone", 11, "undone"), "undone.undo": "{",
			"final": stored, "final.info": `{"ID":"final","Size":6,"IsFinal":true,"PartialUploads":["part1","part2"]}`,
			"right": stored + added, "right.info": `{"ID":"right","Size":11,"IsFinal":true,"PartialUploads":["part1","part2"]}`,
			"parted": stored, "parted.info": `{"ID":"parted","Size":6,"IsFinal":true,"PartialUploads":["part1","gone"]}`,
			"unbuilt": "", "unbuilt.info": `{"ID":"unbuilt","Size":6,"IsFinal":true,"State":"uploading","PartialUploads":["part1","part2"]}`,
			"v0.bin": stored, "v0.info": `{"ID":"v0","Size":6}`,
		})
		for id, want := range map[string]string{
			"part1":     "",
			"right":     "",
			"parted":    "",
			"unbuilt":   "",
			"v0":        "",
			"long":      "long: it has 6 bytes, the upload's length is 3",
			"missing":   "missing.info: its data is missing",
			"directory": "directory: it is no regular file",
			"cut":       "cut.info: it is not a record",
			"stolen":    "stolen.info: it names the data of another upload",
			"short":     "short.info: the upload is said to be complete, but short has 6 of 11 bytes",
			"open":      "open.info: the upload is said to be complete, but open has 6 of an unknown number of bytes",
			"digest":    "digest.info: the upload has a digest of all bytes, but digest has 6 of 11 bytes",
			"digests":   "",
			"digested":  "",
			"undone":    "undone.undo: it is not an undo record",
			"final":     "final.info: the upload has 6 bytes, but its partial uploads have 11 together",
		} {
			wantFault(t, s, id, want)
		}
		for _, id := range []string{"never", "directory/y", "other"} {
			if faults, err := s.Verify(t.Context(), id); !errors.Is(err, tusd.ErrNotFound) {
				t.Errorf("%s: %q, %v", id, faults, err)
			}
		}
	})
}

// An undo record that no request uses any more is a fault. One of a chunk that arrives is none.
func TestVerifyUndo(t *testing.T) {
	s := openStore(t, None)
	createWithContent(t, s, "a", 100, stored)
	s = reopen(t, s)
	writeFiles(t, s, map[string]string{"a.undo": undoContent})
	old := time.Now().Add(-2 * undoAge)
	wantFault(t, s, "a", "")
	setTime(t, s, "a.undo", old)
	wantFault(t, s, "a", "")
	setTime(t, s, "a", old)
	wantFault(t, s, "a", "a.undo: a chunk that had to be stored as a whole has ended early")
	setTime(t, s, "a.undo", time.Now())
	wantFault(t, s, "a", "")
}

// Verify looks again if a request changes the upload between two looks, and reports what
// stays.
func TestVerifyLooksAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, None)
		for _, id := range []string{"created", "removed", "changed"} {
			writeFiles(t, s, map[string]string{id: stored, id + ".info": v2Record(id, 3, id)})
		}
		changes := map[string]func(look int){
			"created": func(int) {
				writeFiles(t, s, map[string]string{"created.info": v2Record("created", 6, "created")})
			},
			"removed": func(int) { os.Remove(filepath.Join(s.Path, "removed.info")) },
			"changed": func(look int) {
				if look < 3 {
					writeFiles(t, s, map[string]string{"changed": strings.Repeat("x", 10+look)})
				}
			},
		}
		for id, change := range changes {
			type result struct {
				faults []string
				err    error
			}
			done := make(chan result, 1)
			start := time.Now()
			go func() {
				faults, err := s.Verify(t.Context(), id)
				done <- result{faults, err}
			}()
			for look := range 5 {
				synctest.Wait() // Verify waits for its next look
				change(look)
				time.Sleep(confirmAfter)
			}
			r := <-done
			switch id {
			case "created":
				if r.err != nil || len(r.faults) > 0 {
					t.Errorf("created meanwhile: %q, %v", r.faults, r.err)
				}
			case "removed":
				if !errors.Is(r.err, tusd.ErrNotFound) {
					t.Errorf("removed meanwhile: %q, %v", r.faults, r.err)
				}
			case "changed":
				if r.err != nil || len(r.faults) != 1 || !strings.Contains(r.faults[0], "12 bytes") {
					t.Errorf("changed meanwhile, in %v: %q, %v", time.Since(start), r.faults, r.err)
				}
			}
		}
	})
}

// The end of the caller ends the wait for the next look.
func TestVerifyStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openStore(t, None)
		writeFiles(t, s, map[string]string{"a.info": ""})
		cause := errors.New("the caller has gone")
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(confirmAfter/2, func() { cancel(cause) })
		start := time.Now()
		if _, err := s.Verify(ctx, "a"); !errors.Is(err, cause) || time.Since(start) != confirmAfter/2 {
			t.Errorf("after %v: %v", time.Since(start), err)
		}
	})
}

// Verify changes no file and no cache.
func TestVerifyChangesNothing(t *testing.T) {
	s := openStore(t, Ack)
	createWithContent(t, s, "a", 100, stored)
	s = reopen(t, s)
	writeFiles(t, s, map[string]string{"a.undo": undoContent})
	before := allFiles(t, s)
	wantFault(t, s, "a", "")
	if n := len(s.opened.Load().uploads.index); n > 0 {
		t.Errorf("%d uploads are cached", n)
	}
	if after := allFiles(t, s); !maps.Equal(before, after) {
		t.Errorf("the files are %q, before: %q", after, before)
	}
}
