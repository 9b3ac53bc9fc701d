package filestore

import (
	"sync"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/bytecache"
)

// syncStatesBytes and fullBytes bound the memory for marks: some 35 000 of uploads that
// go on, and 20 000 of full ones. An eviction is always safe: it costs a sync.
const (
	syncStatesBytes = 8 << 20
	fullBytes       = 4 << 20
)

// unknownOffset is the synced offset of an upload that was not synced since it was
// loaded.
const unknownOffset = -1

// syncState is what this process knows about an upload's files without looking.
// That there is one also says: no rollback mark lies beside the upload.
type syncState struct {
	synced      int64  // bytes on the disk; unknown if nobody made sure
	namesSynced bool   // record and names are on the disk
	grant       uint64 // the lease's number when this was last true; 0: it has none
	// writing is set while a chunk is written, from the offset start. Readers
	// without a lease see start. A writing mark is never evicted.
	writing bool
	start   int64
	// set numbers the changes of marks, so that equal marks are the same one
	set uint64
	// cut is set when bytes behind synced could neither be synced nor be cut
	// off: that has to come first.
	cut bool
}

// pinned marks carry what cannot be found out again.
func (m syncState) pinned() bool { return m.writing || m.cut }

// syncStates is a bounded table.
type syncStates struct {
	mu   sync.Mutex
	sets uint64
	byID *bytecache.Cache[string, syncState]
	full *bytecache.Cache[string, time.Time]
}

func newSyncStates() syncStates {
	return syncStates{
		byID: bytecache.New(syncStatesBytes, func(id string, _ syncState) int { return len(id) }, syncState.pinned),
		full: bytecache.New(fullBytes, func(id string, _ time.Time) int { return len(id) }, nil),
	}
}

// trusted returns the mark of id if nobody else can have changed the upload
// since it was made: within this process all goes through this table; another
// process has not written if no other grant lies between.
func (t *syncStates) trusted(id string, scope tusd.Scope, lease tusd.Lease) (syncState, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	m, ok := t.byID.Get(id)
	if !ok || scope == tusd.ScopeProcess {
		return m, ok
	}
	if lease == nil {
		return syncState{}, false
	}
	n, before := lease.Fence()
	if m.grant == 0 || (m.grant != n && m.grant != before) {
		return syncState{}, false
	}
	m.grant = n
	t.byID.Put(id, m)
	return m, true
}

// set makes m the mark of id. The caller holds lease.
func (t *syncStates) set(id string, lease tusd.Lease, m syncState) {
	m.grant, _ = lease.Fence()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.sets++
	m.set = t.sets
	t.byID.Put(id, m)
}

// forget drops the mark of id.
func (t *syncStates) forget(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.byID.Delete(id)
	t.full.Delete(id)
}

// spare drops the mark of id if it can be found out again.
func (t *syncStates) spare(id string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if m, _ := t.byID.Get(id); !m.pinned() {
		t.byID.Delete(id)
	}
}

// isFullSynced tells whether the full upload id was made durable by this
// process while its data was last modified at modified. Full data does not
// change, so this holds whoever else uses the directory, and without a lease:
// downloads need no sync.
func (t *syncStates) isFullSynced(id string, modified time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	known, ok := t.full.Get(id)
	return ok && known.Equal(modified)
}

// setFullSynced remembers what isFullSynced tells.
func (t *syncStates) setFullSynced(id string, modified time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.full.Put(id, modified)
}

// visibleBytes is how many bytes a reader without a lease may see.
func (m syncState) visibleBytes(level Durability) int64 {
	switch {
	case m.writing:
		return m.start
	case m.cut || level == Ack && m.synced != unknownOffset:
		return m.synced
	}
	return maxSize
}
