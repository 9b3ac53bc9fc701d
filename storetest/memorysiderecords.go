package storetest

import (
	"bytes"
	"context"
	"fmt"

	"github.com/tus/tusd"
)

// CreateSide implements tusd.SideRecords.
func (m *Memory) CreateSide(ctx context.Context, key tusd.SideKey, value []byte) (current []byte, created bool, err error) {
	if err := checkSide(ctx, key, value); err != nil {
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

// PutSide implements tusd.SideRecords.
func (m *Memory) PutSide(ctx context.Context, key tusd.SideKey, value []byte) error {
	if err := checkSide(ctx, key, value); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sideRecords[key] = append([]byte{}, value...)
	return nil
}

// GetSide implements tusd.SideRecords.
func (m *Memory) GetSide(ctx context.Context, key tusd.SideKey) ([]byte, error) {
	if err := checkSide(ctx, key, nil); err != nil {
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

// ListSides implements tusd.SideRecords.
func (m *Memory) ListSides(ctx context.Context, kind, cursor string, limit int) ([]string, string, error) {
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

// DeleteSide implements tusd.SideRecords.
func (m *Memory) DeleteSide(ctx context.Context, key tusd.SideKey) error {
	if err := checkSide(ctx, key, nil); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.sideRecords, key)
	return nil
}

// checkSide checks the limits of side records.
func checkSide(ctx context.Context, key tusd.SideKey, value []byte) error {
	if err := tusd.ValidateSideRecord(key, value); err != nil {
		return fmt.Errorf("storetest: %w", err)
	}
	return context.Cause(ctx)
}
