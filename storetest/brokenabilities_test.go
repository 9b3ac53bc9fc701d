package storetest

import (
	"context"
	"errors"
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/tbrecord"
)

// brokenAbilities are stores with one fault in one ability.
var brokenAbilities = []broken{
	{"claims an ability that it lacks", "claims", func(_ *Memory, c *tusd.StoreComposer) { c.Lister = nil }},
	{"terminates an upload that never existed", "terminate/twice", func(m *Memory, c *tusd.StoreComposer) {
		c.Terminater = terminateFunc(func(ctx context.Context, lease tusd.Lease, id string) error {
			m.Terminate(ctx, lease, id)
			return nil
		})
	}},
	{"restores terminated uploads", "terminate/stays-gone", func(m *Memory, c *tusd.StoreComposer) {
		c.Terminater = terminateFunc(func(_ context.Context, _ tusd.Lease, id string) error {
			m.sideRecords[tusd.SideRecordKey{Kind: "undead", Name: id}] = m.uploads[id].record
			delete(m.uploads, id)
			return nil
		})
		for key, record := range m.sideRecords {
			m.uploads[key.Name] = &memoryEntry{record: record}
		}
	}},
	{"joins in the order of the ids", "concat/in-order", func(m *Memory, c *tusd.StoreComposer) {
		c.Concater = concatFunc(func(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
			ordered := []tusd.Upload{partials[1], partials[2], partials[0]}
			return m.Concat(ctx, final, ordered)
		})
	}},
	{"appends to the bytes of an interrupted concatenation", "concat/again", func(m *Memory, c *tusd.StoreComposer) {
		c.Concater = concatFunc(func(_ context.Context, final tusd.Upload, partials []tusd.Upload) error {
			f := final.(*memoryUpload)
			for _, p := range partials {
				m.uploads[f.id].data = join([]blob{m.uploads[f.id].data, m.uploads[p.(*memoryUpload).id].data})
			}
			return f.reload()
		})
	}},
	{"counts a chunk that was not verified", "atomic/source-fails-at-end", func(_ *Memory, c *tusd.StoreComposer) {
		c.AtomicWriter = atomicFunc(func(ctx context.Context, u tusd.Upload, offset int64, src io.Reader) (int64, error) {
			return u.WriteChunk(ctx, offset, src)
		})
	}},
	{"rolls nothing back", "rewind/small", func(_ *Memory, c *tusd.StoreComposer) {
		c.Rewinder = rewindFunc(func(context.Context, tusd.Upload, int64) error { return nil })
	}},
	{"ignores ranges", "content/ranges", func(_ *Memory, c *tusd.StoreComposer) {
		serve := c.ContentServer
		c.ContentServer = contentFunc(func(ctx context.Context, u tusd.Upload, w http.ResponseWriter, r *http.Request) error {
			r.Header.Del("Range")
			return serve.ServeContent(ctx, u, w, r)
		})
	}},
	{"leaves an upload out of the list", "list/all", func(m *Memory, c *tusd.StoreComposer) {
		c.Lister = listFunc(func(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
			ids, next, err := m.List(ctx, cursor, filter, limit)
			return ids[min(1, len(ids)):], next, err
		})
	}},
	{"begins a page with the cursor", "list/pages", func(m *Memory, c *tusd.StoreComposer) {
		c.Lister = listFunc(func(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
			ids, next, err := m.List(ctx, cursor, filter, limit)
			if cursor != "" && limit > 1 {
				ids = append([]tusd.Listed{{ID: cursor}}, ids[:min(len(ids), limit-1)]...)
			}
			return ids, next, err
		})
	}},
	{"takes a paused upload for a leftover", "tidy/keeps-paused-uploads", func(m *Memory, c *tusd.StoreComposer) {
		c.Tidier = tidyFunc(func(ctx context.Context, t tusd.Tidying) error {
			return m.tidyAway(ctx, t, func(info tusd.FileInfo) bool { return info.Offset == 0 && info.Size == 10 && !info.IsFinal })
		})
	}},
	{"tidies away what is locked", "tidy/keeps-running-uploads", func(m *Memory, c *tusd.StoreComposer) {
		c.Tidier = tidyFunc(func(ctx context.Context, t tusd.Tidying) error {
			t.Lock = func(ctx context.Context, id string) (tusd.Lease, error) {
				return new(tusd.LocalLocker).Lock(ctx, id, tusd.LockTry) // a new locker has no locks
			}
			return m.tidyAway(ctx, t, func(info tusd.FileInfo) bool { return info.Size == 100 && info.Offset > 10 })
		})
	}},
	{"tidies away what is young", "tidy/keeps-running-elsewhere", func(m *Memory, c *tusd.StoreComposer) {
		c.Tidier = tidyFunc(func(ctx context.Context, t tusd.Tidying) error {
			return m.tidyAway(ctx, t, func(info tusd.FileInfo) bool { return info.Size == 100 && info.Offset > 10 })
		})
	}},
	{"removes leftovers twice", "tidy/at-once", func(m *Memory, c *tusd.StoreComposer) {
		c.Tidier = tidyFunc(func(ctx context.Context, t tusd.Tidying) error {
			t.Report(tusd.Leftover{Kind: tusd.LeftoverTemporary, Name: "left 1", Removed: true})
			return m.Tidy(ctx, t)
		})
	}},
	{"leaves leftovers", "tidy/at-once", func(m *Memory, c *tusd.StoreComposer) {
		c.Tidier = tidyFunc(func(context.Context, tusd.Tidying) error { return nil })
	}},
	{"takes the uploads of others for leftovers", "tidy/at-once", func(m *Memory, c *tusd.StoreComposer) {
		c.Tidier = tidyFunc(func(ctx context.Context, t tusd.Tidying) error {
			t.Report(tusd.Leftover{Kind: tusd.LeftoverData, Name: "full", Upload: "full"})
			return m.Tidy(ctx, t)
		})
	}},
	{"leaves unreadable uploads out of the list", "list/unreadable", func(m *Memory, c *tusd.StoreComposer) {
		c.Lister = listFunc(func(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
			page, next, err := m.List(ctx, cursor, filter, limit)
			return slices.DeleteFunc(page, func(l tusd.Listed) bool { return l.Record == nil }), next, err
		})
	}},
	{"removes in a dry run", "tidy/dry-run", func(m *Memory, c *tusd.StoreComposer) {
		c.Tidier = tidyFunc(func(ctx context.Context, t tusd.Tidying) error {
			return m.tidyAway(ctx, t, func(info tusd.FileInfo) bool { return t.DryRun && info.ID == "failed" })
		})
	}},
	{"reports what an upload needs", "tidy/keeps-paused-uploads", func(_ *Memory, c *tusd.StoreComposer) {
		c.Tidier = tidyFunc(func(_ context.Context, t tusd.Tidying) error {
			t.Report(tusd.Leftover{Kind: tusd.LeftoverData, Name: "unfinished", Upload: "unfinished"})
			return nil
		})
	}},
	{"tidies without an end", "tidy/pace", func(m *Memory, c *tusd.StoreComposer) {
		c.Tidier = tidyFunc(func(_ context.Context, t tusd.Tidying) error { return m.Tidy(context.Background(), t) })
	}},
	{"takes an upload of deferred length for a fault", "verify/agrees", func(m *Memory, c *tusd.StoreComposer) {
		c.Verifier = verifyFunc(func(ctx context.Context, id string) ([]string, error) {
			if info, _, err := m.load(id); err == nil && info.SizeIsDeferred {
				return []string{"the length is not known"}, nil
			}
			return m.Verify(ctx, id)
		})
	}},
	{"finds nothing wrong with an upload that does not exist", "verify/unknown", func(m *Memory, c *tusd.StoreComposer) {
		c.Verifier = verifyFunc(func(ctx context.Context, id string) ([]string, error) {
			faults, _ := m.Verify(ctx, id)
			return faults, nil
		})
	}},
	{"uses positions in a list that changes", "list/while-changing", func(m *Memory, c *tusd.StoreComposer) {
		c.Lister = listFunc(func(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
			ids, _, err := m.List(ctx, "", filter, 1000)
			from := 2 * len(cursor)
			if from+limit >= len(ids) {
				return ids[min(from, len(ids)):], "", err
			}
			return ids[from : from+limit], cursor + "x", err
		})
	}},
	{"lists changed uploads", "list/before", func(m *Memory, c *tusd.StoreComposer) {
		c.Lister = listFunc(func(ctx context.Context, cursor string, _ tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
			return m.List(ctx, cursor, tusd.ListFilter{}, limit)
		})
	}},
	{"continues another listing", "list/two-listings", func(m *Memory, c *tusd.StoreComposer) {
		var rest []tusd.Listed
		c.Lister = listFunc(func(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) (found []tusd.Listed, next string, err error) {
			if cursor == "" {
				rest, _, err = m.List(ctx, "", filter, 1000)
			}
			found, rest = rest[:min(limit, len(rest))], rest[min(limit, len(rest)):]
			if len(rest) > 0 {
				next = "more"
			}
			return found, next, err
		})
	}},
	{"lists offsets of yesterday", "list/loadable", changeListed(func(l *tusd.Listed) { l.Bytes = max(0, l.Bytes-1) })},
	{"lists incomplete uploads as complete", "list/loadable", changeListed(func(l *tusd.Listed) { l.Complete = tusd.Complete })},
	{"lists the time of the listing", "list/loadable", changeListed(func(l *tusd.Listed) { l.Changed = time.Now().Add(time.Hour) })},
	{"leaves failed uploads out", "list/classes", func(m *Memory, c *tusd.StoreComposer) {
		c.Lister = listFunc(func(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
			delete(filter.Before, tusd.ClassFailed)
			return m.List(ctx, cursor, filter, limit)
		})
	}},
	{"reads records without pace", "list/classes", func(m *Memory, c *tusd.StoreComposer) {
		c.Lister = listFunc(func(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
			filter.Pace = nil
			return m.List(ctx, cursor, filter, limit)
		})
	}},
	{"drops the declared length", "length/declare", func(_ *Memory, c *tusd.StoreComposer) {
		c.LengthDeferrer = lengthFunc(func(context.Context, tusd.Upload, int64) error { return nil })
	}},
	{"declares a length in two steps", "length/cancelled", func(m *Memory, c *tusd.StoreComposer) {
		c.LengthDeferrer = lengthFunc(func(ctx context.Context, u tusd.Upload, length int64) error {
			info := u.(*memoryUpload).info
			info.SizeIsDeferred = false
			if err := u.(*memoryUpload).storeInfo(info, true); err != nil {
				return err
			}
			info.Size = length
			return errors.Join(ctx.Err(), u.(*memoryUpload).storeInfo(info, ctx.Err() == nil))
		})
	}},
	{"has no ETag", "content/etag", func(_ *Memory, c *tusd.StoreComposer) {
		serve := c.ContentServer
		c.ContentServer = contentFunc(func(ctx context.Context, u tusd.Upload, w http.ResponseWriter, r *http.Request) error {
			return serve.ServeContent(ctx, u, withoutETag{w}, r)
		})
	}},
	{"writes an answer and an error", "content/cancelled", func(_ *Memory, c *tusd.StoreComposer) {
		serve := c.ContentServer
		c.ContentServer = contentFunc(func(ctx context.Context, u tusd.Upload, w http.ResponseWriter, r *http.Request) error {
			err := serve.ServeContent(ctx, u, w, r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
			return err
		})
	}},
	{"replaces a side record in CreateSideRecord", "side/create", func(m *Memory, c *tusd.StoreComposer) {
		c.SideRecords = brokenSideRecords{Memory: m, create: true}
	}},
	{"returns its side records without a copy", "side/copies", func(m *Memory, c *tusd.StoreComposer) {
		c.SideRecords = brokenSideRecords{Memory: m, share: true}
	}},
	{"lists side records unsorted", "side/list", func(m *Memory, c *tusd.StoreComposer) {
		c.SideRecords = brokenSideRecords{Memory: m, unsorted: true}
	}},
	{"misses an absent side record", "side/delete", func(m *Memory, c *tusd.StoreComposer) {
		c.SideRecords = brokenSideRecords{Memory: m, remove: true}
	}},
}

type terminateFunc func(context.Context, tusd.Lease, string) error

func (f terminateFunc) Terminate(ctx context.Context, lease tusd.Lease, id string) error {
	return f(ctx, lease, id)
}

type concatFunc func(context.Context, tusd.Upload, []tusd.Upload) error

func (f concatFunc) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	return f(ctx, final, partials)
}

type atomicFunc func(context.Context, tusd.Upload, int64, io.Reader) (int64, error)

func (f atomicFunc) WriteAtomic(ctx context.Context, u tusd.Upload, offset int64, src io.Reader) (int64, error) {
	return f(ctx, u, offset, src)
}

type rewindFunc func(context.Context, tusd.Upload, int64) error

func (f rewindFunc) ReadsIncomplete() bool { return true }

func (f rewindFunc) Rewind(ctx context.Context, u tusd.Upload, offset int64) error {
	return f(ctx, u, offset)
}

type contentFunc func(context.Context, tusd.Upload, http.ResponseWriter, *http.Request) error

func (f contentFunc) ServeContent(ctx context.Context, u tusd.Upload, w http.ResponseWriter, r *http.Request) error {
	return f(ctx, u, w, r)
}

type listFunc func(context.Context, string, tusd.ListFilter, int) ([]tusd.Listed, string, error)

func (f listFunc) List(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
	return f(ctx, cursor, filter, limit)
}

type lengthFunc func(context.Context, tusd.Upload, int64) error

func (f lengthFunc) DeclareLength(ctx context.Context, u tusd.Upload, length int64) error {
	return f(ctx, u, length)
}

// changeListed changes what a listing tells.
func changeListed(change func(*tusd.Listed)) func(*Memory, *tusd.StoreComposer) {
	return func(m *Memory, c *tusd.StoreComposer) {
		c.Lister = listFunc(func(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
			page, next, err := m.List(ctx, cursor, filter, limit)
			for i := range page {
				change(&page[i])
			}
			return page, next, err
		})
	}
}

// withoutETag removes the ETag before the header is written.
type withoutETag struct{ http.ResponseWriter }

func (w withoutETag) WriteHeader(status int) {
	w.Header().Del("ETag")
	w.ResponseWriter.WriteHeader(status)
}

// brokenSideRecords breaks one method of the side records.
type brokenSideRecords struct {
	*Memory
	create, share, unsorted, remove bool
}

func (s brokenSideRecords) CreateSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) ([]byte, bool, error) {
	if s.create {
		return value, true, s.PutSideRecord(ctx, key, value)
	}
	return s.Memory.CreateSideRecord(ctx, key, value)
}

func (s brokenSideRecords) GetSideRecord(ctx context.Context, key tusd.SideRecordKey) ([]byte, error) {
	value, err := s.Memory.GetSideRecord(ctx, key)
	if s.share && err == nil {
		return s.sideRecords[key], nil
	}
	return value, err
}

func (s brokenSideRecords) ListSideRecords(ctx context.Context, kind, cursor string, limit int) ([]string, string, error) {
	names, next, err := s.Memory.ListSideRecords(ctx, kind, cursor, limit)
	if s.unsorted {
		slices.Reverse(names)
	}
	return names, next, err
}

func (s brokenSideRecords) DeleteSideRecord(ctx context.Context, key tusd.SideRecordKey) error {
	if _, err := s.Memory.GetSideRecord(ctx, key); s.remove && err != nil {
		return err
	}
	return s.Memory.DeleteSideRecord(ctx, key)
}

// TestLeftoversAreFound runs cases that leave something behind.
func TestLeftoversAreFound(t *testing.T) {
	require.Long(t)
	h := memoryHarness()
	leave := map[string]func(e *env){
		"an upload": func(e *env) { e.create("a", 1); delete(e.exist, "a") },
		"a goroutine": func(e *env) {
			for range 50 { // more than may be ending when the case begins
				go func() { <-e.Context().Done() }()
			}
		},
		"a descriptor": func(e *env) {
			f, err := os.Open(os.DevNull)
			e.must(err)
			t.Cleanup(func() { f.Close() })
		},
		"a lock": func(e *env) { e.lease("a"); delete(e.leases, "a") },
	}
	for what, run := range leave {
		failed, _ := tbrecord.Run(t, func(tb testing.TB) {
			runCase(tb, h, testCase{name: "leaves " + what, run: run})
		})
		if !failed {
			t.Errorf("a case that leaves %s behind passes", what)
		}
	}
}

type tidyFunc func(context.Context, tusd.Tidying) error

func (f tidyFunc) Tidy(ctx context.Context, t tusd.Tidying) error { return f(ctx, t) }

type verifyFunc func(context.Context, string) ([]string, error)

func (f verifyFunc) Verify(ctx context.Context, id string) ([]string, error) { return f(ctx, id) }

// tidyAway removes uploads as if they were leftovers.
func (m *Memory) tidyAway(ctx context.Context, t tusd.Tidying, useless func(tusd.FileInfo) bool) error {
	m.mu.Lock()
	ids := slices.Collect(maps.Keys(m.uploads))
	m.mu.Unlock()
	for _, id := range ids {
		info, _, err := m.load(id)
		if err != nil || !useless(info) {
			continue
		}
		lease, err := t.Lock(ctx, id)
		if err != nil {
			return err
		}
		m.Terminate(ctx, lease, id)
		lease.Unlock(ctx)
	}
	return m.Tidy(ctx, t)
}
