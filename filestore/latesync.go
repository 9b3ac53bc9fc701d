package filestore

import (
	"errors"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tus/tusd"
)

// syncDelay is how long the removal of a side record may stay in memory only. A removal that a power
// cut undoes does no harm: a crash before the removal looks the same.
const syncDelay = time.Second

// lateSyncs are directories that have to be synced within syncDelay.
type lateSyncs struct {
	mu      sync.Mutex
	dirs    map[string]bool
	waiting bool // a sync will begin
	closed  bool

	syncing sync.Mutex // held during syncs
}

func (l *lateSyncs) take() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	dirs := slices.Collect(maps.Keys(l.dirs))
	l.dirs, l.waiting = nil, false
	return dirs
}

// syncSoon syncs a directory with side records within syncDelay.
func (v *volume) syncSoon(dir string) {
	l := &v.lateSyncs
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.dirs == nil {
		l.dirs = make(map[string]bool)
	}
	l.dirs[dir] = true
	if !l.waiting && !l.closed {
		l.waiting = true
		time.AfterFunc(syncDelay, func() { v.syncLate() })
	}
}

// syncLate syncs the directories of syncSoon. After an error they are synced later.
func (v *volume) syncLate() error {
	v.lateSyncs.syncing.Lock()
	defer v.lateSyncs.syncing.Unlock()
	var errs []error
	for _, dir := range v.lateSyncs.take() {
		err := v.sideReplacer(tusd.SideRecordKey{}).SyncDir(dir)
		if err != nil && !isAbsent(err) { // a directory that was removed needs no sync
			errs = append(errs, err)
			v.syncSoon(dir)
		}
	}
	return errors.Join(errs...)
}

// endLateSyncs is the last sync.
func (v *volume) endLateSyncs() error {
	v.lateSyncs.mu.Lock()
	v.lateSyncs.closed = true
	v.lateSyncs.mu.Unlock()
	return v.syncLate()
}
