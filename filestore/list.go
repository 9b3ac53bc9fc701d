package filestore

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"slices"
	"strings"
	"sync"

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

// lookAhead keeps the ids that walks found beyond the requested pages, for the listings
// that continue at their cursors: a directory of a million uploads is walked sixteen
// times for a listing, and not once per page.
type lookAhead struct {
	mu    sync.Mutex
	found []foundIDs // the last used one at the end
}

// foundIDs are ids that a walk found.
type foundIDs struct {
	cursor string   // the id before ids
	ids    []string // sorted
	last   bool     // no ids follow
}

// maxListings is how many listings continue without a new walk. It bounds the memory for
// ids of abandoned ones.
const maxListings = 4

// take removes and returns the ids that follow cursor, if they are known.
func (a *lookAhead) take(cursor string) (found foundIDs, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.found, func(f foundIDs) bool { return f.cursor == cursor })
	if i < 0 {
		return found, false
	}
	found = a.found[i]
	a.found = slices.Delete(a.found, i, i+1)
	return found, true
}

// put keeps ids for the listing that continues at their cursor, in place of those that an
// older listing has left there.
func (a *lookAhead) put(found foundIDs) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.found = slices.DeleteFunc(a.found, func(f foundIDs) bool { return f.cursor == found.cursor })
	if len(found.ids) == 0 {
		return
	}
	if len(a.found) >= maxListings {
		a.found = slices.Delete(a.found, 0, 1)
	}
	a.found = append(a.found, found)
}

// List implements tusd.Lister. Ids are in the order of their bytes: an upload keeps
// its place, and a cursor stays valid after a restart.
func (s *FileStore) List(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) (uploads []tusd.Listed, next string, err error) {
	v, err := s.volume()
	if err != nil {
		return nil, "", err
	}
	for last := false; !last && len(uploads) < limit; {
		var page []string
		if page, last, err = v.nextIDs(ctx, cursor, limit-len(uploads)); err != nil {
			return nil, "", failed("list uploads behind", cursor, err)
		}
		for _, id := range page {
			cursor = id
			listed, ok, err := v.listUpload(ctx, id, filter)
			if err != nil {
				return nil, "", failed("list uploads behind", cursor, err)
			}
			if ok {
				uploads = append(uploads, listed)
			}
		}
		if !last {
			next = cursor
		} else {
			next = ""
		}
	}
	return uploads, next, nil
}

// nextIDs returns at most limit ids that follow cursor.
func (v *volume) nextIDs(ctx context.Context, cursor string, limit int) (ids []string, last bool, err error) {
	found, ok := v.lookAhead.take(cursor)
	if !ok {
		names := &firstNames{after: cursor, limit: max(limit, lookAheadIDs), maxBytes: lookAheadBytes}
		if err := v.walk(ctx, ".", names); err != nil {
			return nil, false, err
		}
		found.ids, found.last = names.sorted()
	}
	n := min(limit, len(found.ids))
	if n == 0 {
		return nil, true, nil
	}
	ids = found.ids[:n:n]
	v.lookAhead.put(foundIDs{ids[n-1], found.ids[n:], found.last})
	return ids, found.last && n == len(found.ids), nil
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

// listUpload describes an upload for a listing. ok is false if the filter leaves it out. A
// record that is too young for any upload is not read.
func (v *volume) listUpload(ctx context.Context, id string, filter tusd.ListFilter) (listed tusd.Listed, ok bool, err error) {
	record := v.record(id)
	stat, err := record.tree.Lstat(record.name)
	if isAbsent(err) || err == nil && !filter.Includes(stat.Modified, tusd.AllClasses...) {
		return listed, false, nil
	}
	if err == nil && filter.Pace != nil {
		err = filter.Pace(ctx)
	}
	if err != nil {
		return listed, false, err
	}
	listed = tusd.Listed{ID: id, Changed: stat.Modified, Bytes: -1}
	u, err := v.readForListing(id)
	switch {
	case err == nil:
		listed = u.describe()
		return listed, filter.Includes(listed.Changed, u.info.Class()), nil
	case isAbsent(err) && !errors.Is(err, tusd.ErrBroken):
		return listed, false, nil
	}
	return listed, filter.Includes(listed.Changed, tusd.AllClasses...), nil // an upload that cannot be read is listed, too
}

// readForListing reads the record and the size of the data of an upload, without a lock and
// without the cache, so that a listing does not evict what is in use.
func (v *volume) readForListing(id string) (*upload, error) {
	where := v.record(id)
	content, stat, err := readSmall(where, maxRecord)
	if err != nil {
		return nil, err
	}
	info, err := decodeRecord(where, id, content)
	if err != nil {
		return nil, err
	}
	u := &upload{v: v, id: id, info: *info}
	if u.data, err = v.data(id, info.Storage["Path"]); err != nil {
		return nil, err
	}
	u.info.Offset, err = u.findOffsetWithoutLease()
	if u.info.Changed = stat.Modified; u.modified.After(stat.Modified) {
		u.info.Changed = u.modified
	}
	return u, err
}

// describe returns what a listing tells of a loaded upload.
func (u *upload) describe() tusd.Listed {
	info := u.info
	listed := tusd.Listed{ID: u.id, Changed: info.Changed, Bytes: info.Offset, Record: &info, Complete: tusd.Incomplete}
	if info.Complete() {
		listed.Complete = tusd.Complete
	}
	return listed
}
