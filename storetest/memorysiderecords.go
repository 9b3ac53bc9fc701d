package storetest

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tus/tusd"
)

// CreateSideRecord implements tusd.SideRecords.
func (m *Memory) CreateSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) (current []byte, created bool, err error) {
	if err := checkSideRecord(ctx, key, value); err != nil {
		return nil, false, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if there, ok := m.sideRecords[key]; ok {
		return bytes.Clone(there), false, nil
	}
	m.sideRecords[key] = append([]byte{}, value...)
	return append([]byte{}, value...), true, nil
}

// PutSideRecord implements tusd.SideRecords.
func (m *Memory) PutSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) error {
	if err := checkSideRecord(ctx, key, value); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sideRecords[key] = append([]byte{}, value...)
	return nil
}

// GetSideRecord implements tusd.SideRecords.
func (m *Memory) GetSideRecord(ctx context.Context, key tusd.SideRecordKey) ([]byte, error) {
	if err := checkSideRecord(ctx, key, nil); err != nil {
		return nil, err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.sideRecords[key]
	if !ok {
		return nil, tusd.ErrNotFound
	}
	return bytes.Clone(value), nil
}

// ListSideRecords implements tusd.SideRecords.
func (m *Memory) ListSideRecords(ctx context.Context, kind, cursor string, limit int) ([]string, string, error) {
	if err := context.Cause(ctx); err != nil {
		return nil, "", err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	var names []string
	for key := range m.sideRecords {
		if key.Kind == kind {
			names = append(names, key.Name)
		}
	}
	names, next := page(names, cursor, limit)
	return names, next, nil
}

// DeleteSideRecord implements tusd.SideRecords.
func (m *Memory) DeleteSideRecord(ctx context.Context, key tusd.SideRecordKey) error {
	if err := checkSideRecord(ctx, key, nil); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sideRecords, key)
	return nil
}

// checkSideRecord checks the limits of side records.
func checkSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) error {
	if err := tusd.ValidateSideRecord(key, value); err != nil {
		return fmt.Errorf("storetest: %w", err)
	}
	return context.Cause(ctx)
}
