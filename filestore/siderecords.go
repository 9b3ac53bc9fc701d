package filestore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// sideRecord checks the arguments of a call and returns the path of the side record.
func (s *FileStore) sideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) (*volume, treePath, error) {
	v, err := s.volume()
	if err != nil {
		return nil, treePath{}, err
	}
	if ctx.Err() != nil {
		return nil, treePath{}, context.Cause(ctx)
	}
	if err := tusd.ValidateSideRecord(key, value); err != nil {
		return nil, treePath{}, fmt.Errorf("filestore: %w", err)
	}
	return v, v.file(sideRecordDir + "/" + key.Kind + "/" + key.Name), nil
}

// CreateSideRecord implements tusd.SideRecords.
func (s *FileStore) CreateSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) (current []byte, created bool, err error) {
	v, p, err := s.sideRecord(ctx, key, value)
	if err != nil {
		return nil, false, err
	}
	for {
		err = v.writeSideRecord(p, func(r durable.Replacer) error { return r.CreateNew(p.name, value) })
		if err == nil {
			return append([]byte(nil), value...), true, nil
		}
		if !errors.Is(err, os.ErrExist) {
			return nil, false, failed("create side record", p.name, err)
		}
		current, err = v.readSideRecord(p)
		if err == nil && v.level != None {
			err = p.tree.SyncParent(p.name) // its creator may not have synced it yet
		}
		if !isAbsent(err) {
			return current, false, failed("create side record", p.name, err)
		}
	}
}

// PutSideRecord implements tusd.SideRecords.
func (s *FileStore) PutSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) error {
	v, p, err := s.sideRecord(ctx, key, value)
	if err != nil {
		return err
	}
	err = v.writeSideRecord(p, func(r durable.Replacer) error { return r.Replace(p.name, value) })
	return failed("store side record", p.name, err)
}

// GetSideRecord implements tusd.SideRecords.
func (s *FileStore) GetSideRecord(ctx context.Context, key tusd.SideRecordKey) ([]byte, error) {
	v, p, err := s.sideRecord(ctx, key, nil)
	if err != nil {
		return nil, err
	}
	value, err := v.readSideRecord(p)
	if isAbsent(err) {
		return nil, notFound(err)
	}
	return value, failed("read side record", p.name, err)
}

// ListSideRecords implements tusd.SideRecords.
func (s *FileStore) ListSideRecords(ctx context.Context, kind, cursor string, limit int) (names []string, next string, err error) {
	v, p, err := s.sideRecord(ctx, tusd.SideRecordKey{Kind: kind, Name: "x"}, nil)
	if err != nil {
		return nil, "", err
	}
	found := &firstNames{after: cursor, limit: max(limit, 0)}
	if err := v.offerNames(parent(p), found); err != nil {
		return nil, "", failed("list side records", kind, err)
	}
	names, last := found.sorted()
	if !last && len(names) > 0 {
		next = names[len(names)-1]
	}
	return names, next, nil
}

// DeleteSideRecord implements tusd.SideRecords.
func (s *FileStore) DeleteSideRecord(ctx context.Context, key tusd.SideRecordKey) error {
	v, p, err := s.sideRecord(ctx, key, nil)
	if err != nil {
		return err
	}
	err = v.sideReplacer().Remove(p.name)
	if isAbsent(err) && v.level != None {
		err = p.tree.SyncParent(p.name) // another process may not have synced the removal yet
	}
	if isAbsent(err) {
		err = nil // perhaps no record of this kind was ever created
	}
	return failed("delete side record", p.name, err)
}

// sideReplacer writes and removes side records.
func (v *volume) sideReplacer() durable.Replacer {
	r := v.replacer(v.level != None)
	r.Spares = &v.spares
	return r
}

// writeSideRecord writes a side record by a temporary file, and makes missing directories.
func (v *volume) writeSideRecord(p treePath, write func(durable.Replacer) error) error {
	r := v.sideReplacer()
	err := v.inParents(func() error { return write(r) }, v.tempFile(), p)
	if err != nil || !r.Sync {
		return err
	}
	return v.syncOwnDirectory(v.file(parent(p)))
}

// readSideRecord reads again if the record was removed or replaced meanwhile: its file may have
// another content then. Where files have no durable.Stamp, it sees only a removal.
func (v *volume) readSideRecord(p treePath) ([]byte, error) {
	content, stat, err := readSmall(p, tusd.MaxSideRecord)
	for err == nil {
		var next []byte
		last := stat
		if next, stat, err = readSmall(p, tusd.MaxSideRecord); err == nil && stat.Stamp == last.Stamp {
			return content, nil
		}
		content = next
	}
	return nil, err
}

// offerNames offers the names in a directory to found. The directory may be missing.
func (v *volume) offerNames(dir string, found *firstNames) error {
	f, err := v.tree.OpenOS(dir)
	if isAbsent(err) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	for {
		names, err := f.Readdirnames(dirPage)
		for _, name := range names {
			found.offer(name)
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
	}
}
