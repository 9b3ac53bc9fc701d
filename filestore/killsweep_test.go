package filestore

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
	"github.com/tus/tusd/internal/require"
)

// killer ends the process at one operation: the operation at is not done, or is done, and
// no later one is.
type killer struct {
	at int

	mu   sync.Mutex
	on   bool
	seen int
	dead string // the operation at which the process died
}

var errKilled = errors.New("killed")

func (k *killer) hook(op durable.Op, name string, _ bool) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	switch k.seen++; {
	case !k.on:
		k.seen = 0
	case k.dead != "":
		return errKilled
	case k.seen == k.at:
		k.dead = string(op) + " " + name
		return errKilled
	}
	return nil
}

func (k *killer) set(on bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.on = on
}

// eachKill calls act in a process that is killed at its first, second, third ... operation, and
// then after in a later process. It ends when act was not killed.
func eachKill(t *testing.T, prepare, act, after func(t *testing.T, s *FileStore)) {
	for at := 1; ; at++ {
		k := &killer{at: at}
		s := New(t.TempDir())
		s.Durability, s.hook = Ack, k.hook
		s = reopen(t, s)
		prepare(t, s)
		k.set(true)
		act(t, s)
		k.set(false)
		after(t, reopen(t, s))
		if t.Failed() {
			t.Fatalf("killed at operation %d: %q", at, k.dead)
		}
		if k.dead == "" {
			if at == 1 {
				t.Fatal("no operation called the hook")
			}
			return
		}
	}
}

// layouts are ways in which the files of the upload a lie, with content stored.
var layouts = map[string]func(t *testing.T, s *FileStore){
	"plain": func(t *testing.T, s *FileStore) { createWithContent(t, s, "a", 6, stored) },
	"chosen path": func(t *testing.T, s *FileStore) {
		if _, err := s.NewUpload(t.Context(), lockID(t, "a"), tusd.FileInfo{ID: "a", Size: 6, Storage: map[string]string{"Path": "d/e/data"}}); err != nil {
			t.Fatal(err)
		}
		write(t, loadUpload(t, s, "a"), 0, stored)
	},
	"tusd v2 with locks": func(t *testing.T, s *FileStore) {
		writeFiles(t, s, map[string]string{"a": stored, "a.info": v2Record("a", 6, "a"), "a.lock": "1", "a.stop": ""})
	},
	"tusd 0.x": func(t *testing.T, s *FileStore) {
		writeFiles(t, s, map[string]string{"a.bin": stored, "a.info": `{"ID":"a","Size":6}`})
	},
	"undo record": func(t *testing.T, s *FileStore) {
		writeFiles(t, s, map[string]string{"a": stored + added, "a.info": v2Record("a", 6, "a"), "a.undo": `{"Offset":6,"Created":"0001-01-01T00:00:00Z"}`})
	},
}

// If the process is killed while it removes an upload, the upload is whole or gone. What is
// left is reported, and a second removal, or Tidy, removes it.
func TestKilledTerminate(t *testing.T) {
	for name, create := range layouts {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			eachKill(t,
				func(t *testing.T, s *FileStore) {
					create(t, s)
					createWithContent(t, s, "b", 6, stored)
				},
				func(t *testing.T, s *FileStore) { s.Terminate(t.Context(), lockID(t, "a"), "a") },
				afterKilledTerminate)
		})
	}
}

func afterKilledTerminate(t *testing.T, s *FileStore) {
	page, _, err := s.List(t.Context(), "", tusd.ListFilter{}, 10)
	if err != nil {
		t.Fatal(err)
	}
	listed := page[0].ID == "a"
	_, err = s.GetUpload(t.Context(), nil, "a")
	whole := err == nil
	switch {
	case whole:
		if listed = listed && page[0].Record != nil; !listed {
			t.Errorf("the upload is whole, and is listed as %+v", page[0])
		}
		wantContent(t, s, "a", stored)
	case !errors.Is(err, tusd.ErrNotFound), listed != errors.Is(err, tusd.ErrBroken), listed && page[0].Record != nil:
		t.Errorf("listed: %t, loaded with %v", listed, err)
	}
	marked := errors.Is(err, errRemovalCut)
	for _, line := range tidyAll(t, s, time.Now().Add(time.Hour)) {
		if marked && line == `broken a.info "a" removed` {
			listed = false
		} else if !strings.HasPrefix(line, "lock ") && (whole || marked || line != `broken a.info "a" stays`) {
			t.Errorf("the upload is whole: %t; %s", whole, line)
		}
	}
	if marked && listed {
		t.Error("Tidy has not completed the removal")
	}
	err = s.Terminate(t.Context(), lockID(t, "a"), "a")
	if listed && err != nil || !listed && !errors.Is(err, tusd.ErrNotFound) {
		t.Errorf("a second removal: %v", err)
	}
	wantOnlyFiles(t, s, "b", "b.info")
	wantContent(t, s, "b", stored)
}

// wantOnlyFiles checks which files there are, without temporary ones. Empty directories may be left.
func wantOnlyFiles(t *testing.T, s *FileStore, names ...string) {
	t.Helper()
	got := allFiles(t, s)
	for _, name := range names {
		if _, ok := got[name]; !ok {
			t.Errorf("%s is missing", name)
		}
		delete(got, name)
	}
	if len(got) > 0 {
		t.Errorf("left behind: %q", got)
	}
}

// If the process is killed while it creates an upload, the upload is there or is not, and
// Tidy removes or reports what is left.
func TestKilledCreation(t *testing.T) {
	eachKill(t,
		func(*testing.T, *FileStore) {},
		func(t *testing.T, s *FileStore) {
			s.NewUpload(t.Context(), lockID(t, serverID), tusd.FileInfo{ID: serverID, Size: 6})
		},
		func(t *testing.T, s *FileStore) {
			_, err := s.GetUpload(t.Context(), nil, serverID)
			reported := strings.Join(tidyAll(t, s, time.Now().Add(time.Hour)), "\n")
			switch files := allFiles(t, s); {
			case err == nil:
				if reported != "" || len(files) != 2 {
					t.Errorf("the upload is created; files: %q, reported: %s", files, reported)
				}
				write(t, loadUpload(t, s, serverID), 0, stored)
				wantContent(t, s, serverID, stored)
			case errors.Is(err, tusd.ErrBroken):
				if reported != `broken `+serverID+`.info "`+serverID+`" stays` {
					t.Errorf("the record is broken; reported: %s", reported)
				}
			case !errors.Is(err, tusd.ErrNotFound) || len(files) > 0:
				t.Errorf("loaded with %v; files: %q, reported: %s", err, files, reported)
			}
		})
}

// If the process is killed while it tidies, every upload is whole, and a second call
// completes the work.
func TestKilledTidy(t *testing.T) {
	require.Long(t)
	var before map[string]string
	eachKill(t,
		func(t *testing.T, s *FileStore) {
			writeLeftovers(t, s, "newer.info", "newer", ".tusd.d/tmp/other.tmp") // Open removes that one
			writeFiles(t, s, map[string]string{serverID: ""})
			setTime(t, s, serverID, dayAgo().Add(-time.Hour))
			before = allFiles(t, s)
		},
		func(t *testing.T, s *FileStore) {
			locker := &tusd.LocalLocker{}
			s.Tidy(t.Context(), tusd.Tidying{
				Before: dayAgo(),
				Lock: func(ctx context.Context, id string) (tusd.Lease, error) {
					return locker.Lock(ctx, id, tusd.LockTry)
				},
				Pace:   func(ctx context.Context) error { return context.Cause(ctx) },
				Report: func(tusd.Leftover) {},
			})
		},
		func(t *testing.T, s *FileStore) {
			tidyAll(t, s, dayAgo())
			for name, file := range leftovers {
				if strings.HasSuffix(file.want, " removed") {
					delete(before, name)
				}
			}
			delete(before, serverID)
			if after := allFiles(t, s); !maps.Equal(before, after) {
				t.Errorf("there are %q, want %q", after, before)
			}
		})
}
