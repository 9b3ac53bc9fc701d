package filestore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"strings"
	"sync"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/datakey"
)

const (
	// lookAheadIDs and lookAheadBytes bound the ids that one walk over the
	// directory collects, and so the memory of a listing.
	lookAheadIDs   = 1 << 16
	lookAheadBytes = 4 << 20
	// dirPage is the number of directory entries that are read at a time.
	dirPage = 1 << 10
)

// lookAhead keeps the ids that a walk found beyond the requested page, for the
// listing that continues at cursor: a directory of a million uploads is walked
// sixteen times, and not once per page.
type lookAhead struct {
	mu     sync.Mutex
	cursor string   // the id before ids
	ids    []string // sorted
	last   bool     // no ids follow
}

// List implements tusd.Lister. Ids are in the order of their bytes: an upload keeps
// its place, and a cursor stays valid after a restart.
func (s *FileStore) List(ctx context.Context, cursor string, before time.Time, limit int) (ids []string, next string, err error) {
	v, err := s.volume()
	if err != nil {
		return nil, "", err
	}
	for last := false; !last && len(ids) < limit; {
		var page []string
		if page, last, err = v.nextIDs(ctx, cursor, limit-len(ids)); err != nil {
			return nil, "", failed("list uploads behind", cursor, err)
		}
		for _, id := range page {
			if cursor = id; v.unchangedSince(id, before) {
				ids = append(ids, id)
			}
		}
		if !last {
			next = cursor
		} else {
			next = ""
		}
	}
	return ids, next, nil
}

// nextIDs returns at most limit ids that follow cursor.
func (v *volume) nextIDs(ctx context.Context, cursor string, limit int) (ids []string, last bool, err error) {
	a := &v.lookAhead
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.ids) == 0 || a.cursor != cursor {
		found := &firstNames{after: cursor, limit: max(limit, lookAheadIDs), maxBytes: lookAheadBytes}
		if err := v.walk(ctx, ".", found); err != nil {
			return nil, false, err
		}
		a.ids, a.last = found.sorted()
	}
	n := min(limit, len(a.ids))
	ids, a.ids = a.ids[:n:n], a.ids[n:]
	if len(a.ids) > 0 {
		a.cursor = ids[n-1]
		return ids, false, nil
	}
	a.ids = nil
	return ids, a.last, nil
}

// walk offers every id in a directory and below to found.
func (v *volume) walk(ctx context.Context, dir string, found *firstNames) error {
	f, err := v.tree.OpenOS(dir)
	if isAbsent(err) && dir != "." {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		entries, err := f.ReadDir(dirPage)
		for _, entry := range entries {
			if err := v.visit(ctx, dir, entry, found); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

func (v *volume) visit(ctx context.Context, dir string, entry fs.DirEntry, found *firstNames) error {
	name := entry.Name()
	if dir != "." {
		name = dir + "/" + name
	}
	if entry.IsDir() {
		if datakey.Reserved(entry.Name()) || found.isPast(name+"/") {
			return nil
		}
		return v.walk(ctx, name, found)
	}
	if id, ok := strings.CutSuffix(name, ".info"); ok && tusd.ValidateID(id) == nil {
		found.offer(id)
	}
	return nil
}

// unchangedSince reports whether neither record nor data of id has changed after before. A
// file that cannot be read counts as unchanged, because the ids are only candidates.
func (v *volume) unchangedSince(id string, before time.Time) bool {
	if before.IsZero() {
		return true
	}
	files := []treePath{v.record(id), v.file(id)}
	if info, err := v.readRecord(id); err == nil {
		u := &upload{v: v, id: id}
		if u.data, err = v.data(id, info.Storage["Path"]); err == nil {
			u.dataSize() // also finds the name of tusd 0.x
			files[1] = u.data
		}
	}
	for _, p := range files {
		if stat, err := p.tree.Lstat(p.name); err == nil && stat.Modified.After(before) {
			return false
		}
	}
	return true
}
