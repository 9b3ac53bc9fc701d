package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
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

// lookAhead keeps the ids that walks found beyond the requested pages, for the listings
// that continue behind them: a directory of a million uploads is walked sixteen
// times for a listing, and not once per page.
type lookAhead struct {
	mu    sync.Mutex
	begun int64      // number of the last listing or walk
	found []foundIDs // the last used one at the end
}

// foundIDs are ids that a walk found.
type foundIDs struct {
	after string   // the id before ids
	ids   []string // sorted
	last  bool     // no ids follow
	walk  int64    // the number of the walk
}

// maxListings is how many listings continue without a new walk. It bounds the memory for
// ids of abandoned ones.
const maxListings = 4

// begin numbers a listing or walk that begins. Numbers grow, also over a restart unless the
// clock is set back: then listings that continue walk once per page.
func (a *lookAhead) begin() int64 {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.begun = max(a.begun+1, time.Now().UnixNano())
	return a.begun
}

// take removes and returns the ids that follow after, if they are known to a listing: those
// of a walk that began before the listing may lack uploads.
func (a *lookAhead) take(after string, listing int64) (found foundIDs, ok bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.found, func(f foundIDs) bool { return f.after == after && f.walk >= listing })
	if i < 0 {
		return found, false
	}
	found = a.found[i]
	a.found = slices.Delete(a.found, i, i+1)
	return found, true
}

// put keeps ids for the listing that continues behind the same id. Of two walks it keeps
// the newer: it serves both listings.
func (a *lookAhead) put(found foundIDs) {
	a.mu.Lock()
	defer a.mu.Unlock()
	i := slices.IndexFunc(a.found, func(f foundIDs) bool { return f.after == found.after })
	switch {
	case i >= 0 && a.found[i].walk >= found.walk:
		return
	case i >= 0:
		a.found = slices.Delete(a.found, i, i+1)
	}
	if len(found.ids) == 0 {
		return
	}
	if len(a.found) >= maxListings {
		a.found = slices.Delete(a.found, 0, 1)
	}
	a.found = append(a.found, found)
}

// formatCursor returns the cursor behind an id for a listing. No id has a space.
func formatCursor(id string, listing int64) string {
	return id + " " + strconv.FormatInt(listing, 36)
}

// parseCursor is the inverse of formatCursor. A cursor without a number continues any listing.
func parseCursor(cursor string) (id string, listing int64, err error) {
	id, number, ok := strings.Cut(cursor, " ")
	if ok {
		listing, err = strconv.ParseInt(number, 36, 64)
	}
	return id, listing, err
}

// List implements tusd.Lister. Ids are in the order of their bytes: an upload keeps
// its place. A cursor is an id and the number of the listing, and stays valid after a restart. Without a filter it reads every
// record: only the record names the data. Uploads that GetUpload cannot load have no Record.
func (s *FileStore) List(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) (uploads []tusd.Listed, next string, err error) {
	v, err := s.volume()
	if err != nil {
		return nil, "", err
	}
	after, listing, err := parseCursor(cursor)
	if err != nil {
		return nil, "", failed("list uploads behind", cursor, err)
	}
	if cursor == "" {
		listing = v.lookAhead.begin()
	}
	for last := false; !last && len(uploads) < limit; {
		var ids []string
		if ids, last, err = v.nextIDs(ctx, after, listing, limit-len(uploads)); err == nil {
			uploads, err = v.appendListed(ctx, uploads, ids, filter)
		}
		if err != nil {
			return nil, "", failed("list uploads behind", cursor, err)
		}
		if last {
			return uploads, "", nil
		}
		after = ids[len(ids)-1]
	}
	return uploads, formatCursor(after, listing), nil
}

// listReaders is how many uploads a listing reads at the same time.
const listReaders = 4

// appendListed appends the uploads with these ids that the filter lets in.
func (v *volume) appendListed(ctx context.Context, uploads []tusd.Listed, ids []string, filter tusd.ListFilter) ([]tusd.Listed, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	found := make([]*tusd.Listed, len(ids)) // nil: left out
	var next atomic.Int64
	var readers sync.WaitGroup
	for range min(listReaders, len(ids)) {
		readers.Go(func() {
			for i := next.Add(1) - 1; int(i) < len(ids) && ctx.Err() == nil; i = next.Add(1) - 1 {
				var err error
				if found[i], err = v.listUpload(ctx, ids[i], filter); err != nil {
					cancel(err)
				}
			}
		})
	}
	readers.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	for _, listed := range found {
		if listed != nil {
			uploads = append(uploads, *listed)
		}
	}
	return uploads, nil
}

// nextIDs returns at most limit ids that follow after, for a listing.
func (v *volume) nextIDs(ctx context.Context, after string, listing int64, limit int) (ids []string, last bool, err error) {
	found, ok := v.lookAhead.take(after, listing)
	if !ok {
		found.walk = v.lookAhead.begin()
		names := &firstNames{after: after, limit: max(limit, lookAheadIDs), maxBytes: lookAheadBytes}
		if err := v.offerIDs(ctx, names); err != nil {
			return nil, false, err
		}
		found.ids, found.last = names.sorted()
	}
	n := min(limit, len(found.ids))
	if n == 0 {
		return nil, true, nil
	}
	ids = found.ids[:n:n]
	v.lookAhead.put(foundIDs{ids[n-1], found.ids[n:], found.last, found.walk})
	return ids, found.last && n == len(found.ids), nil
}

// offerIDs offers the id of every record to found.
func (v *volume) offerIDs(ctx context.Context, found *firstNames) error {
	return v.walk(ctx, ".", func(dir string) bool { return !found.isPast(dir + "/") }, func(name string) error {
		if id, ok := strings.CutSuffix(name, recordSuffix); ok && tusd.ValidateID(id) == nil {
			found.offer(id)
		}
		return nil
	}, unreadableEnds)
}

// unreadableEnds ends a walk at a directory that may not be read: who counts or copies all
// uploads must not take the others for all.
func unreadableEnds(_ string, err error) error {
	return fmt.Errorf("a directory may not be read: let this program read it, or move it out of the upload directory: %w", err)
}

// walk calls visit for every file in a directory and below, in any order. It leaves out
// directories for which enter returns false, and those whose name no upload has. It calls
// unreadable for directories that this program may not read. An error of visit or unreadable
// ends the walk. It needs memory for a part of each directory on the way, and tolerates changes meanwhile.
func (v *volume) walk(ctx context.Context, dir string, enter func(dir string) bool, visit func(name string) error, unreadable func(dir string, err error) error) error {
	f, err := v.tree.OpenOS(dir)
	switch {
	case isAbsent(err) && dir != ".", isLostAndFound(dir, err):
		return nil // removed meanwhile
	case errors.Is(err, fs.ErrPermission) && dir != ".":
		return unreadable(dir, err)
	case err != nil:
		return err
	}
	defer f.Close()
	for {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		entries, readErr := f.ReadDir(dirPage)
		for _, entry := range entries {
			name := entry.Name()
			if dir != "." {
				name = dir + "/" + name
			}
			switch {
			case !entry.IsDir():
				err = visit(name)
			case !datakey.Reserved(entry.Name()) && enter(name):
				err = v.walk(ctx, name, enter, visit, unreadable)
			}
			if err != nil {
				return err
			}
		}
		if errors.Is(readErr, io.EOF) {
			return nil
		}
		if readErr != nil {
			return readErr
		}
	}
}

// isLostAndFound reports whether dir is the directory of that name that many file systems
// have at their top, and only the administrator can read.
func isLostAndFound(dir string, err error) bool {
	return dir == "lost+found" && errors.Is(err, fs.ErrPermission)
}

// listUpload describes an upload for a listing. The result is nil if the filter leaves it
// out, or the upload is gone. A record that is too young for every class is not read.
func (v *volume) listUpload(ctx context.Context, id string, filter tusd.ListFilter) (*tusd.Listed, error) {
	if filter.Before != nil {
		record := v.record(id)
		stat, err := record.tree.Lstat(record.name)
		if isAbsent(err) || err == nil && !filter.Includes(stat.Modified, tusd.AllClasses...) {
			return nil, nil
		}
	}
	if filter.Pace != nil {
		if err := filter.Pace(ctx); err != nil {
			return nil, err
		}
	}
	var listed tusd.Listed
	possible := tusd.AllClasses
	u, err := v.load(nil, id, true)
	switch {
	case err == nil:
		listed, possible = u.describe(), []tusd.UploadClass{u.info.Class()}
	case isAbsent(err) && !errors.Is(err, tusd.ErrBroken), errors.Is(err, errForeign):
		return nil, nil
	default:
		listed = v.describeUnreadable(id)
	}
	if !filter.Includes(listed.Changed, possible...) {
		return nil, nil
	}
	return &listed, nil
}

// describe returns what a listing tells of a loaded upload.
func (u *upload) describe() tusd.Listed {
	listed := tusd.Listed{ID: u.id, Changed: u.info.Changed, Bytes: u.info.Offset, Record: &u.info, Complete: tusd.Incomplete}
	if u.info.Complete() {
		listed.Complete = tusd.Complete
	}
	return listed
}

// describeUnreadable returns what a listing tells of an upload that cannot be loaded: its
// record is broken or of a newer version, or its data is missing. Data with the name of the
// upload counts; where other data is, only the record knows.
func (v *volume) describeUnreadable(id string) tusd.Listed {
	listed := tusd.Listed{ID: id, Bytes: -1}
	if stat, err := v.tree.Lstat(v.record(id).name); err == nil {
		listed.Changed = stat.Modified
	}
	stat, err := statRegular(v.file(id))
	if err != nil {
		return listed
	}
	if listed.Bytes = stat.Size; stat.Modified.After(listed.Changed) {
		listed.Changed = stat.Modified
	}
	return listed
}
