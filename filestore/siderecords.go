package filestore

import (
	"context"
	"crypto/rand"
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
	return v, v.file(sideRecordDir + "/" + sideName(key)), nil
}

// CreateSideRecord implements tusd.SideRecords.
func (s *FileStore) CreateSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) (current []byte, created bool, err error) {
	v, p, err := s.sideRecord(ctx, key, value)
	if err != nil {
		return nil, false, err
	}
	content := encodeSideFile(key, value)
	for {
		err = v.writeSideRecord(p, key, func(r durable.Replacer) error { return r.CreateNew(p.name, content) })
		if err == nil {
			return append([]byte(nil), value...), true, nil
		}
		if !errors.Is(err, os.ErrExist) {
			return nil, false, failed("create side record", p.name, err)
		}
		current, err = v.readSideRecord(p, key)
		if err == nil {
			err = v.syncSideFile(p) // its creator may not have done so yet
		}
		if errors.Is(err, errOtherRecord) {
			if err = v.removeOtherRecord(p, key); err == nil {
				continue
			}
		}
		if !isAbsent(err) {
			return current, false, failed("create side record", p.name, err)
		}
	}
}

// removeOtherRecord removes a file that has not the record of its name.
func (v *volume) removeOtherRecord(p treePath, key tusd.SideRecordKey) error {
	temp := v.file(tempDir + "/" + v.tempPrefix + rand.Text())
	if err := p.tree.Rename(p.name, temp.name); err != nil {
		return err
	}
	if _, err := v.readSideRecord(temp, key); err == nil { // it was stored meanwhile
		return v.replacer(false).Place(temp.name, p.name)
	}
	return p.tree.Remove(temp.name)
}

// PutSideRecord implements tusd.SideRecords.
func (s *FileStore) PutSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) error {
	v, p, err := s.sideRecord(ctx, key, value)
	if err != nil {
		return err
	}
	content := encodeSideFile(key, value)
	err = v.writeSideRecord(p, key, func(r durable.Replacer) error {
		if err := r.CreateNew(p.name, content); !errors.Is(err, os.ErrExist) {
			return err
		}
		return r.Replace(p.name, content)
	})
	return failed("store side record", p.name, err)
}

// GetSideRecord implements tusd.SideRecords.
func (s *FileStore) GetSideRecord(ctx context.Context, key tusd.SideRecordKey) ([]byte, error) {
	v, p, err := s.sideRecord(ctx, key, nil)
	if err != nil {
		return nil, err
	}
	value, err := v.readSideRecord(p, key)
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
	err = v.sideReplacer(key).Remove(p.name)
	if isAbsent(err) {
		return nil // another process may not have synced that yet, but will do so
	}
	if err == nil && v.level != None {
		v.syncSoon(parent(p))
	}
	return failed("delete side record", p.name, err)
}

// sideReplacer writes and removes the side record of key.
func (v *volume) sideReplacer(key tusd.SideRecordKey) durable.Replacer {
	r := v.replacer(v.level != None)
	r.Spares, r.SpareSize = &v.spares, sideFileBlock
	r.Usable = func(old []byte) bool {
		_, looksRight := decodeSideFile(key, old)
		return !looksRight
	}
	return r
}

// writeSideRecord writes a side record by a temporary file, and makes missing directories.
func (v *volume) writeSideRecord(p treePath, key tusd.SideRecordKey, write func(durable.Replacer) error) error {
	r := v.sideReplacer(key)
	err := v.inParents(func() error { return write(r) }, v.tempFile(), p)
	if err != nil || !r.Sync {
		return err
	}
	return v.syncOwnDirectory(v.file(parent(p)))
}

// readSideRecord returns errOtherRecord if the file has another record: the record was deleted
// during the call, and its file used again, or a power cut has left the name.
func (v *volume) readSideRecord(p treePath, key tusd.SideRecordKey) ([]byte, error) {
	content, _, err := readSmall(p, maxSideFile)
	if err != nil {
		return nil, err
	}
	if value, ok := decodeSideFile(key, content); ok {
		return value, nil
	}
	return nil, errOtherRecord
}

var errOtherRecord = fmt.Errorf("%w: the file has not the record of its name", os.ErrNotExist)

// syncSideFile makes a side record durable that another process may have stored just now.
func (v *volume) syncSideFile(p treePath) error {
	if v.level == None {
		return nil
	}
	f, err := p.tree.Open(p.name)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close(), p.tree.SyncParent(p.name))
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
