package filestore

import (
	"errors"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// unknownOffset is the synced offset of an upload that was not synced since it was
// loaded.
const unknownOffset = -1

// syncState is the cached state of the files of an upload. While one is cached, a load
// does not look for an undo record: only the write or rewind that is running has one.
type syncState struct {
	synced      int64  // synced offset, or unknownOffset
	namesSynced bool   // the record and the names of both files are on disk
	grant       uint64 // fencing number of the lease when this was last true; 0: it has none
	// writing is set while a chunk is written from the offset start. Readers
	// without a lease see start.
	writing bool
	start   int64
	// change numbers the changes of states, so that equal states are the same one.
	change uint64
	// cut is set when bytes behind synced could neither be synced nor be cut off.
	// They must be cut off before anything else.
	cut bool
}

// isPinned reports whether the state cannot be read from the files again.
func (s syncState) isPinned() bool { return s.writing || s.cut }

// visibleBytes returns how many bytes a reader without a lease may see.
func (s syncState) visibleBytes(level Durability) int64 {
	switch {
	case s.writing:
		return s.start
	case s.cut || level == Ack && s.synced != unknownOffset:
		return s.synced
	}
	return maxSize
}

// ensureDurable syncs what the level requires before info is shown to a client.
func (u *upload) ensureDurable(info tusd.FileInfo) error {
	if !u.v.level.mustSync(info) {
		return nil
	}
	state, trusted := u.v.uploads.trustedState(u.id, u.v.scope, u.lease)
	if trusted && state.namesSynced && state.synced >= info.Offset {
		return nil
	}
	if info.Full() && u.v.uploads.isFullSynced(u.id, u.modified) {
		return nil
	}
	f, err := u.openData()
	if err != nil {
		return err
	}
	defer f.Close()
	if u.lease == nil {
		err = errors.Join(f.SyncShared(), u.syncNames())
	} else {
		err = u.syncData(f, info.Offset, state)
	}
	if err == nil && info.Full() {
		u.v.uploads.setFullSynced(u.id, u.modified)
	}
	return err
}

// syncData syncs everything that is not known to be on disk according to state, and
// remembers the new state. The caller holds the lease.
func (u *upload) syncData(f durable.File, offset int64, state syncState) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if !state.namesSynced {
		if err := u.syncNames(); err != nil {
			return err
		}
	}
	u.v.uploads.setState(u.id, u.lease, syncState{synced: offset, namesSynced: true})
	return nil
}

// syncNames syncs the record, and the directories of record and data.
func (u *upload) syncNames() error {
	record := u.v.record(u.id)
	f, err := record.tree.Open(record.name)
	if err != nil {
		return err
	}
	err = errors.Join(f.SyncShared(), f.Close())
	return errors.Join(err, u.v.syncNamesOf(u.data, record))
}

// markRecordUnsynced remembers that the record was written without a sync.
func (u *upload) markRecordUnsynced() {
	if state, ok := u.v.uploads.trustedState(u.id, u.v.scope, u.lease); ok {
		state.namesSynced = false
		u.v.uploads.setState(u.id, u.lease, state)
	}
}
