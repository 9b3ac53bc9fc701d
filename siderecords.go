package tusd

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"sync"

	"github.com/tus/tusd/internal/bytecache"
)

// SideRecordKey names a side record. Kind and Name consist of 1 to 100 characters
// out of a-z, 0-9 and '-'.
type SideRecordKey struct {
	Kind, Name string
}

// SideRecords keeps small named records beside the uploads, such as the uploads that
// are being finished, or the final of a repeated POST. A value is at most 64 KiB and as
// durable as an upload's record. Every call is atomic and needs no lease; the last of
// two replacing calls wins. Slices passed in and out belong to the caller.
type SideRecords interface {
	// CreateSideRecord stores value if key is free. If not, it returns the existing value,
	// created false and no error.
	CreateSideRecord(ctx context.Context, key SideRecordKey, value []byte) (current []byte, created bool, err error)
	// PutSideRecord stores value under key, replacing what was there.
	PutSideRecord(ctx context.Context, key SideRecordKey, value []byte) error
	// GetSideRecord returns the value of key, or ErrNotFound.
	GetSideRecord(ctx context.Context, key SideRecordKey) ([]byte, error)
	// ListSideRecords returns up to limit names of a kind, sorted, that are greater
	// than cursor; next is "" after the last page.
	ListSideRecords(ctx context.Context, kind, cursor string, limit int) (names []string, next string, err error)
	// DeleteSideRecord removes key. An absent key is no error. The removal need not be durable: a
	// crash may bring the record back, as if the server had crashed before.
	DeleteSideRecord(ctx context.Context, key SideRecordKey) error
}

// eachSideRecord calls f for each side record of a kind whose name is greater than cursor.
func (e *engine) eachSideRecord(ctx context.Context, kind, cursor string, f func(SideRecordKey, []byte) error) error {
	return e.eachSideRecordExcept(ctx, kind, cursor, func(SideRecordKey) bool { return false }, f)
}

// eachSideRecordExcept does not read the records that except names.
func (e *engine) eachSideRecordExcept(ctx context.Context, kind, cursor string, except func(SideRecordKey) bool, f func(SideRecordKey, []byte) error) error {
	const page = 1000 // stores may read all names for each page
	for {
		names, next, err := e.store.SideRecords.ListSideRecords(ctx, kind, cursor, page)
		if err != nil {
			return err
		}
		for _, name := range names {
			key := SideRecordKey{Kind: kind, Name: name}
			if except(key) {
				continue
			}
			value, err := e.store.SideRecords.GetSideRecord(ctx, key)
			if errors.Is(err, ErrNotFound) {
				continue
			}
			if err == nil {
				err = f(key, value)
			}
			if err != nil {
				return err
			}
		}
		if cursor = next; next == "" {
			return nil
		}
	}
}

// deleteSideRecord removes a side record that is not needed any more.
func (e *engine) deleteSideRecord(ctx context.Context, key SideRecordKey) error {
	return e.store.SideRecords.DeleteSideRecord(ctx, key)
}

func hashName(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// memorySideRecords is for stores without SideRecords. A restart loses its records:
// uploads that were being finished wait for their next request, and a repeated POST
// creates a second final. An eviction has the same effect.
type memorySideRecords struct {
	mu     sync.Mutex
	values *bytecache.Cache[SideRecordKey, []byte]
}

var _ SideRecords = (*memorySideRecords)(nil)

// maxSideBytes limits the memory for side records, to about 10 000.
const maxSideBytes = 4 << 20

func newMemorySideRecords() *memorySideRecords {
	return &memorySideRecords{values: bytecache.New(maxSideBytes, func(key SideRecordKey, value []byte) int {
		return len(key.Kind) + len(key.Name) + cap(value)
	}, nil)}
}

func (m *memorySideRecords) CreateSideRecord(_ context.Context, key SideRecordKey, value []byte) (current []byte, created bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if old, ok := m.values.Get(key); ok {
		return slices.Clone(old), false, nil
	}
	m.values.Put(key, slices.Clone(value))
	return value, true, nil
}

func (m *memorySideRecords) PutSideRecord(_ context.Context, key SideRecordKey, value []byte) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values.Put(key, slices.Clone(value))
	return nil
}

func (m *memorySideRecords) GetSideRecord(_ context.Context, key SideRecordKey) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	value, ok := m.values.Get(key)
	if !ok {
		return nil, ErrNotFound
	}
	return slices.Clone(value), nil
}

func (m *memorySideRecords) ListSideRecords(_ context.Context, kind, cursor string, limit int) (names []string, next string, err error) {
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

func (m *memorySideRecords) DeleteSideRecord(_ context.Context, key SideRecordKey) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.values.Delete(key)
	return nil
}
