package storetest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tus/tusd"
)

// Memory is the reference store: it has every ability, keeps all data in memory, and is as
// simple as the contract allows. It is stricter than the contract to find faults of
// callers: a new upload with an offset, an invalid id or a negative length, a wrong
// offset, a chunk beyond the length, a change after the end of the lease and a malformed
// side record are errors.
//
// Records are stored as JSON, so that callers and the store share no memory. Memory is
// safe for concurrent use.
type Memory struct {
	// Synthetic stores the number of bytes and not the bytes: an upload accepts only its
	// Content; other bytes are an error. So uploads of any length need no memory. It is
	// set before the first use.
	Synthetic bool

	mu          sync.Mutex
	uploads     map[string]*memoryEntry
	sideRecords map[tusd.SideRecordKey][]byte
	created     uint64
	leftovers   []string // for tests of the suite
}

// memoryEntry is one stored upload, guarded by Memory.mu.
type memoryEntry struct {
	record  []byte // JSON
	data    blob
	changed time.Time
	serial  uint64 // of the creation: an id used again is another upload
}

var _ tusd.DataStore = (*Memory)(nil)

// NewMemory returns an empty store.
func NewMemory() *Memory {
	return &Memory{uploads: make(map[string]*memoryEntry), sideRecords: make(map[tusd.SideRecordKey][]byte)}
}

// UseIn makes m the store of composer, with all abilities.
func (m *Memory) UseIn(composer *tusd.StoreComposer) { composer.UseCore(m) }

// Reopen returns a store with a copy of everything in m, as after a restart of the
// process.
func (m *Memory) Reopen() *Memory {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := NewMemory()
	n.Synthetic, n.created = m.Synthetic, m.created
	for id, e := range m.uploads {
		c := *e
		c.data = join([]blob{e.data})
		n.uploads[id] = &c
	}
	maps.Copy(n.sideRecords, m.sideRecords) // values are replaced, never changed
	return n
}

// Fill sets the data of an upload in a Synthetic store to its Content up to offset.
// Nothing else may change the upload at the same time.
func (m *Memory) Fill(id string, offset int64) error {
	if !m.Synthetic {
		return errors.New("storetest: Fill needs a synthetic store")
	}
	return m.change(id, func(e *memoryEntry) error {
		e.data = blob{{id: id, length: offset}}
		return nil
	})
}

// SetChanged sets the time of the last change of an upload.
func (m *Memory) SetChanged(id string, changed time.Time) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.uploads[id]
	if e == nil {
		return tusd.ErrNotFound
	}
	e.changed = changed
	return nil
}

// Open implements tusd.DataStore. There is nothing to probe.
func (m *Memory) Open(ctx context.Context, _ tusd.Env) error { return context.Cause(ctx) }

// NewUpload implements tusd.DataStore.
func (m *Memory) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	if err := tusd.CheckLease(ctx, lease); err != nil {
		return nil, err
	}
	if err := checkNewUpload(info); err != nil {
		return nil, err
	}
	info.Storage = map[string]string{"Type": "memory", "Key": info.ID}
	record, err := json.Marshal(info)
	if err != nil {
		return nil, fmt.Errorf("storetest: encode the record of %s: %w", info.ID, err)
	}
	if err := m.insert(info.ID, record); err != nil {
		return nil, err
	}
	return m.open(lease, info.ID) // without ctx, because the upload exists
}

// checkNewUpload checks the guarantees of NewUpload's caller.
func checkNewUpload(info tusd.FileInfo) error {
	switch err := tusd.ValidateID(info.ID); {
	case err != nil:
		return fmt.Errorf("storetest: the caller has not checked the id %q: %w", info.ID, err)
	case info.Size < 0:
		return fmt.Errorf("storetest: the caller has not checked the length of %s: %d", info.ID, info.Size)
	case info.Offset != 0:
		return fmt.Errorf("storetest: the caller has not left Offset of %s at 0: %d", info.ID, info.Offset)
	}
	return nil
}

func (m *Memory) insert(id string, record []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.uploads[id] != nil {
		return tusd.ErrUploadExists
	}
	m.created++
	m.uploads[id] = &memoryEntry{record: record, changed: time.Now(), serial: m.created}
	return nil
}

// GetUpload implements tusd.DataStore.
func (m *Memory) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return m.open(lease, id)
}

func (m *Memory) open(lease tusd.Lease, id string) (tusd.Upload, error) {
	u := &memoryUpload{store: m, lease: lease, id: id}
	if err := u.reload(); err != nil {
		return nil, err
	}
	return u, nil
}

// load reads the record and a snapshot of the data of an upload.
func (m *Memory) load(id string) (tusd.FileInfo, memoryEntry, error) {
	var info tusd.FileInfo
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.uploads[id]
	if e == nil {
		return info, memoryEntry{}, tusd.ErrNotFound
	}
	copied := *e
	copied.data = e.data.snapshot()
	if err := json.Unmarshal(e.record, &info); err != nil {
		return info, copied, tusd.ErrNotFound.With(fmt.Errorf("%w: %w", tusd.ErrBroken, err))
	}
	info.Offset, info.Changed = e.data.size(), e.changed // never from the record
	return info, copied, nil
}

// change lets f change a stored upload.
func (m *Memory) change(id string, f func(*memoryEntry) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	e := m.uploads[id]
	if e == nil {
		return tusd.ErrNotFound
	}
	if err := f(e); err != nil {
		return err
	}
	e.changed = time.Now()
	return nil
}

// Terminate implements tusd.Terminater.
func (m *Memory) Terminate(ctx context.Context, lease tusd.Lease, id string) error {
	if err := tusd.CheckLease(ctx, lease); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.uploads[id] == nil {
		return tusd.ErrNotFound
	}
	delete(m.uploads, id)
	return nil
}

// List implements tusd.Lister, in the order of the ids. It tells everything.
func (m *Memory) List(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
	m.mu.Lock()
	ids, next := page(slices.Collect(maps.Keys(m.uploads)), cursor, len(m.uploads))
	m.mu.Unlock()
	var found []tusd.Listed
	for i, id := range ids {
		if err := context.Cause(ctx); err != nil {
			return nil, "", err
		}
		if len(found) == limit {
			return found, ids[i-1], nil
		}
		listed, ok := m.list(id)
		if !ok {
			continue
		}
		classes := tusd.AllClasses
		if listed.Record != nil {
			classes = []tusd.UploadClass{listed.Record.Class()}
		}
		if filter.Includes(listed.Changed, classes...) {
			if filter.Pace != nil {
				if err := filter.Pace(ctx); err != nil {
					return nil, "", err
				}
			}
			found = append(found, listed)
		}
	}
	return found, next, nil
}

// list returns what is known of an upload, also if its record is broken.
func (m *Memory) list(id string) (listed tusd.Listed, ok bool) {
	info, e, err := m.load(id)
	if errors.Is(err, tusd.ErrBroken) {
		return tusd.Listed{ID: id, Changed: e.changed, Bytes: e.data.size()}, true
	}
	if err != nil {
		return listed, false
	}
	listed = tusd.Listed{ID: id, Changed: e.changed, Bytes: e.data.size(), Record: &info, Complete: tusd.Incomplete}
	if info.Complete() {
		listed.Complete = tusd.Complete
	}
	return listed, true
}

// page sorts names and returns up to limit of those behind cursor, and the
// cursor of the following page.
func page(names []string, cursor string, limit int) (found []string, next string) {
	slices.Sort(names)
	start, there := slices.BinarySearch(names, cursor)
	if there {
		start++
	}
	found = names[start:]
	if len(found) <= limit {
		return found, ""
	}
	return found[:limit], found[limit-1]
}
