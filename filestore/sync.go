package filestore

import (
	"errors"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// ensureDurable syncs what the level requires before info is shown to a client.
func (u *upload) ensureDurable(info tusd.FileInfo) error {
	if !u.v.level.mustSync(info) {
		return nil
	}
	m, trusted := u.v.syncStates.trusted(u.id, u.v.scope, u.lease)
	if trusted && m.namesSynced && m.synced >= info.Offset {
		return nil
	}
	if info.Full() && u.v.syncStates.isFullSynced(u.id, u.modified) {
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
		err = u.syncData(f, info.Offset, m)
	}
	if err == nil && info.Full() {
		u.v.syncStates.setFullSynced(u.id, u.modified)
	}
	return err
}

// syncData syncs everything that is not known to be on disk according to m, and
// remembers the new state. The caller holds the lease.
func (u *upload) syncData(f durable.File, offset int64, m syncState) error {
	if err := f.Sync(); err != nil {
		return err
	}
	if !m.namesSynced {
		if err := u.syncNames(); err != nil {
			return err
		}
	}
	u.v.syncStates.set(u.id, u.lease, syncState{synced: offset, namesSynced: true})
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
	if m, ok := u.v.syncStates.trusted(u.id, u.v.scope, u.lease); ok {
		m.namesSynced = false
		u.v.syncStates.set(u.id, u.lease, m)
	}
}
