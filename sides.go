package tusd

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
)

// memorySides stands in for a store without SideRecords. A restart forgets
// them: what was being finished then waits for the next request on the
// upload, and a repeated POST makes a second final.
type memorySides struct {
	mu     sync.Mutex
	values map[SideKey][]byte
}

var _ SideRecords = (*memorySides)(nil)

func newMemorySides() *memorySides {
	return &memorySides{values: make(map[SideKey][]byte)}
}

func (m *memorySides) CreateSide(_ context.Context, key SideKey, value []byte) (current []byte, created bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.values[key]; ok {
		return slices.Clone(old), false, nil
	}
	m.values[key] = slices.Clone(value)
	return value, true, nil
}

func (m *memorySides) PutSide(_ context.Context, key SideKey, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values[key] = slices.Clone(value)
	return nil
}

func (m *memorySides) GetSide(_ context.Context, key SideKey) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.values[key]
	if !ok {
		return nil, ErrNotFound
	}
	return slices.Clone(value), nil
}

func (m *memorySides) ListSides(_ context.Context, kind, cursor string, limit int) (names []string, next string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	keys := slices.SortedFunc(maps.Keys(m.values), func(a, b SideKey) int { return strings.Compare(a.Name, b.Name) })
	for _, key := range keys {
		if key.Kind != kind || key.Name <= cursor {
			continue
		}
		if len(names) == limit {
			return names, names[limit-1], nil
		}
		names = append(names, key.Name)
	}
	return names, "", nil
}

func (m *memorySides) DeleteSide(_ context.Context, key SideKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.values, key)
	return nil
}
