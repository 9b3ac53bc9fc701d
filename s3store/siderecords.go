package s3store

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/tus/tusd"
)

// sideRecord checks a call on a side record and returns its key in the bucket.
func (s *Store) sideRecord(key tusd.SideRecordKey, value []byte) (*bucket, string, error) {
	b, err := s.bucket()
	if err != nil {
		return nil, "", err
	}
	if err := tusd.ValidateSideRecord(key, value); err != nil {
		return nil, "", fmt.Errorf("s3store: %w", err)
	}
	return b, b.sideRecordKey(key), nil
}

// CreateSideRecord implements tusd.SideRecords. If the service supports no
// conditions, only the callers of one process exclude each other.
func (s *Store) CreateSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) (current []byte, created bool, err error) {
	b, name, err := s.sideRecord(key, value)
	if err != nil {
		return nil, false, err
	}
	if !b.conditions.create {
		b.sideCreation.Lock()
		defer b.sideCreation.Unlock()
		current, err = b.readSideRecord(ctx, name)
		if !isMissing(err) {
			return current, false, wrapError("create side record", name, err)
		}
	}
	for {
		_, err = b.put(ctx, PutObject{Key: name, Body: bytes.NewReader(value), Size: int64(len(value)), IfNoneMatch: true})
		if err == nil {
			return slices.Clone(value), true, nil
		}
		if !isRefusedCondition(err) {
			return nil, false, wrapError("create side record", name, err)
		}
		current, err = b.readSideRecord(ctx, name)
		if !isMissing(err) {
			return current, false, wrapError("create side record", name, err)
		}
	}
}

func (b *bucket) readSideRecord(ctx context.Context, key string) ([]byte, error) {
	o, err := b.readSmall(ctx, key, tusd.MaxSideRecord)
	return o.content, err
}

// PutSideRecord implements tusd.SideRecords.
func (s *Store) PutSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) error {
	b, name, err := s.sideRecord(key, value)
	if err != nil {
		return err
	}
	_, err = b.putUnconditional(ctx, PutObject{Key: name, Body: bytes.NewReader(value), Size: int64(len(value))})
	return wrapError("store side record", name, err)
}

// GetSideRecord implements tusd.SideRecords.
func (s *Store) GetSideRecord(ctx context.Context, key tusd.SideRecordKey) ([]byte, error) {
	b, name, err := s.sideRecord(key, nil)
	if err != nil {
		return nil, err
	}
	value, err := b.readSideRecord(ctx, name)
	if isMissing(err) {
		return nil, tusd.ErrNotFound.With(err)
	}
	return value, wrapError("read side record", name, err)
}

// ListSideRecords implements tusd.SideRecords.
func (s *Store) ListSideRecords(ctx context.Context, kind, cursor string, limit int) (names []string, next string, err error) {
	b, prefix, err := s.sideRecord(tusd.SideRecordKey{Kind: kind, Name: "x"}, nil)
	if err != nil {
		return nil, "", err
	}
	prefix = strings.TrimSuffix(prefix, "x")
	in := ListObjects{Prefix: prefix, Max: min(limit, listPage)}
	if cursor != "" {
		in.After = prefix + cursor
	}
	page, err := b.list(ctx, in)
	if err != nil {
		return nil, "", wrapError("list side records", kind, err)
	}
	for _, o := range page.Objects {
		names = append(names, strings.TrimPrefix(o.Key, prefix))
	}
	if page.More {
		next = names[len(names)-1]
	}
	return names, next, nil
}

// DeleteSideRecord implements tusd.SideRecords.
func (s *Store) DeleteSideRecord(ctx context.Context, key tusd.SideRecordKey) error {
	b, name, err := s.sideRecord(key, nil)
	if err != nil {
		return err
	}
	return wrapError("delete side record", name, b.remove(ctx, name))
}
