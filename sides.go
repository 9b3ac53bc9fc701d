package tusd

import (
	"context"
	"slices"
	"sync"

	"github.com/tus/tusd/internal/bytecache"
)

// memorySideRecords stands in for a store without SideRecords. A restart forgets
// them: what was being finished then waits for the next request on the
// upload, and a repeated POST makes a second final. So does an eviction.
type memorySideRecords struct {
	mu     sync.Mutex
	values *bytecache.Cache[SideKey, []byte]
}

var _ SideRecords = (*memorySideRecords)(nil)

// sideBytes bounds the memory for side records: some 10 000.
const sideBytes = 4 << 20

func newMemorySideRecords() *memorySideRecords {
	return &memorySideRecords{values: bytecache.New(sideBytes, func(key SideKey, value []byte) int {
		return len(key.Kind) + len(key.Name) + cap(value)
	}, nil)}
}

func (m *memorySideRecords) CreateSide(_ context.Context, key SideKey, value []byte) (current []byte, created bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.values.Get(key); ok {
		return slices.Clone(old), false, nil
	}
	m.values.Put(key, slices.Clone(value))
	return value, true, nil
}

func (m *memorySideRecords) PutSide(_ context.Context, key SideKey, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values.Put(key, slices.Clone(value))
	return nil
}

func (m *memorySideRecords) GetSide(_ context.Context, key SideKey) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.values.Get(key)
	if !ok {
		return nil, ErrNotFound
	}
	return slices.Clone(value), nil
}

func (m *memorySideRecords) ListSides(_ context.Context, kind, cursor string, limit int) (names []string, next string, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key := range m.values.All() {
		if key.Kind == kind && key.Name > cursor {
			names = append(names, key.Name)
		}
	}
	slices.Sort(names)
	if len(names) > limit {
		return names[:limit], names[limit-1], nil
	}
	return names, "", nil
}

func (m *memorySideRecords) DeleteSide(_ context.Context, key SideKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values.Delete(key)
	return nil
}
