package filestore

import (
	"sync"
	"time"

	"github.com/tus/tusd"
)

// maxMarks bounds the memory for marks (about 150 bytes each). Forgetting one
// is always safe: it costs a sync.
const maxMarks = 1 << 16

// unknown is the synced offset of an upload that was not synced since it was
// loaded.
const unknown = -1

// mark is what this process knows about an upload's files without looking.
// That there is one also says: no rollback mark lies beside the upload.
type mark struct {
	synced  int64  // bytes on the disk; unknown if nobody made sure
	settled bool   // record and names are on the disk
	grant   uint64 // the lease's number when this was last true; 0: it has none
	// writing is set while a chunk is written, from the offset start. Readers
	// without a lease see start. A writing mark is never forgotten.
	writing bool
	start   int64
	// set numbers the changes of marks, so that equal marks are the same one
	set uint64
	// cut is set when bytes behind synced could neither be synced nor be cut
	// off: that has to come first.
	cut bool
}

// pinned marks carry what cannot be found out again.
func (m mark) pinned() bool { return m.writing || m.cut }

// marks is a bounded table. The zero value is ready to use.
type marks struct {
	mu   sync.Mutex
	sets uint64
	byID map[string]mark
	full map[string]time.Time
}

// trusted returns the mark of id if nobody else can have changed the upload
// since it was made: within this process all goes through this table; another
// process has not written if no other grant lies between.
func (t *marks) trusted(id string, scope tusd.Scope, lease tusd.Lease) (mark, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, ok := t.byID[id]
	if !ok || scope == tusd.ScopeProcess {
		return m, ok
	}
	if lease == nil {
		return mark{}, false
	}
	n, before := lease.Fence()
	if m.grant == 0 || (m.grant != n && m.grant != before) {
		return mark{}, false
	}
	m.grant = n
	t.byID[id] = m
	return m, true
}

// set makes m the mark of id. The caller holds lease.
func (t *marks) set(id string, lease tusd.Lease, m mark) {
	m.grant, _ = lease.Fence()
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.byID == nil {
		t.byID = make(map[string]mark)
	}
	if _, known := t.byID[id]; !known && len(t.byID) >= maxMarks {
		t.evict()
	}
	t.sets++
	m.set = t.sets
	t.byID[id] = m
}

// forget drops the mark of id.
func (t *marks) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byID, id)
	delete(t.full, id)
}

// spare drops the mark of id if it can be found out again.
func (t *marks) spare(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.byID[id].pinned() {
		delete(t.byID, id)
	}
}

// settledFull tells whether the full upload id was made durable by this
// process while its data was last modified at modified. Full data does not
// change, so this holds whoever else uses the directory, and without a lease:
// downloads need no sync.
func (t *marks) settledFull(id string, modified time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.full[id]
	return ok && known.Equal(modified)
}

// setSettledFull remembers what settledFull tells.
func (t *marks) setSettledFull(id string, modified time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.full == nil || len(t.full) >= maxMarks {
		t.full = make(map[string]time.Time)
	}
	t.full[id] = modified
}

// evict drops one mark, whichever comes first. The caller holds t.mu.
func (t *marks) evict() {
	for id, m := range t.byID {
		if !m.pinned() {
			delete(t.byID, id)
			return
		}
	}
}
