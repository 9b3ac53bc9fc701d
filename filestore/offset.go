package filestore

import (
	"errors"
)

// findOffset returns the offset, which is the length of the data, and the sync
// state that is valid for it. The cache may have evicted that state by then.
func (u *upload) findOffset() (int64, syncState, error) {
	if u.lease == nil {
		size, err := u.findOffsetWithoutLease()
		return size, syncState{}, err
	}
	state, trusted := u.trustedState()
	size, err := u.dataSize()
	if err != nil {
		return 0, syncState{}, err
	}
	switch {
	case trusted && state.cut:
		state, err = u.truncateToSynced(state)
		return state.synced, state, err
	case trusted:
		return size, state, u.checkSize(size)
	}
	if size, err = u.applyUndoRecord(size); err != nil {
		return 0, syncState{}, err
	}
	return size, syncState{synced: unknownOffset}, u.checkSize(size)
}

// findOffsetWithoutLease is findOffset without a lease. A chunk may begin, end or
// be rolled back at the same time, so it repeats until the state stays the same.
func (u *upload) findOffsetWithoutLease() (int64, error) {
	for {
		state, trusted := u.trustedState()
		size, err := u.dataSize()
		if err != nil {
			return 0, err
		}
		if trusted {
			size = min(size, state.visibleBytes(u.v.level))
		} else if size, err = u.visibleSize(size); err != nil {
			return 0, err
		}
		if again, _ := u.trustedState(); again == state {
			return size, u.checkSize(size)
		}
	}
}

// trustedState returns the cached sync state, if no other process can have changed the
// upload since.
func (u *upload) trustedState() (syncState, bool) {
	if u.once {
		return u.v.uploads.peekState(u.id, u.v.scope, u.lease)
	}
	return u.v.uploads.trustedState(u.id, u.v.scope, u.lease)
}

// checkSize returns an error if the data has more bytes than the upload's length.
func (u *upload) checkSize(size int64) error {
	if !u.info.SizeIsDeferred && size > u.info.Size {
		return broken(u.data.path(), "it has %d bytes, the upload's length is %d", size, u.info.Size)
	}
	return nil
}

// dataSize returns the size of the data. It also finds the name of tusd 0.x, <id>.bin.
func (u *upload) dataSize() (int64, error) {
	stat, err := statRegular(u.data)
	if err == nil {
		u.modified = stat.Modified
		return stat.Size, nil
	}
	if !isAbsent(err) {
		return 0, err
	}
	old := u.v.oldFile(u.id)
	if u.data == u.v.file(u.id) && u.info.Storage["Path"] == "" && u.v.isFree(u.v.record(old.name)) {
		if stat, err := statRegular(old); err == nil {
			u.data, u.modified = old, stat.Modified
			return stat.Size, nil
		}
	}
	return 0, u.dataMissing(err)
}

func (u *upload) dataMissing(err error) error {
	return broken(u.v.record(u.id).path(), "its data is missing: %w", err)
}

// truncateToSynced cuts off bytes that could not be synced earlier, and returns the
// new state.
func (u *upload) truncateToSynced(state syncState) (syncState, error) {
	f, err := u.openData()
	if err != nil {
		return state, err
	}
	defer f.Close()
	if err := errors.Join(f.Truncate(state.synced), f.Sync()); err != nil {
		return state, err
	}
	state = syncState{synced: state.synced, namesSynced: state.namesSynced}
	u.v.uploads.setState(u.id, u.lease, state)
	return state, nil
}
