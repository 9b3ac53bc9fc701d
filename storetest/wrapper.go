package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"testing"

	"github.com/tus/tusd"
)

// Wrapper tests a store that wraps another one: for every set of abilities of the wrapped store
// it has exactly these, and each of them reaches the wrapped store, with the uploads of the
// wrapped store. An ability that is new in package tusd makes a wrapper fail that forgets it.
//
// wrap returns the composer of a new wrapper of inner, and does not open it. Wrapper opens only
// wrappers of stores with all abilities. wrap may register clean-up with tb.Cleanup. Run tests
// the rest of the contract: a wrapper passes it with the claims of the wrapped store.
func Wrapper(tb testing.TB, wrap func(tb testing.TB, inner *tusd.StoreComposer) *tusd.StoreComposer) {
	tb.Helper()
	for missing := range 1 << len(abilities()) {
		inner, want := composeMemory(NewMemory()), []string(nil)
		for i, name := range abilities() {
			if missing&(1<<i) != 0 {
				fieldOf(inner, name).SetZero()
			} else {
				want = append(want, name)
			}
		}
		if got := abilitiesOf(wrap(tb, inner)); !slices.Equal(got, want) {
			tb.Fatalf("a store with the abilities %q is wrapped in one with %q", want, got)
		}
	}
	for _, name := range abilities() {
		if err := tryWrapped(tb, name, wrap); err != nil {
			tb.Errorf("the ability %s of a wrapper: %v", name, err)
		}
	}
}

// abilities returns the names of the abilities: the fields of a composer, except the store
// itself and the locker.
func abilities() (names []string) {
	for _, field := range reflect.VisibleFields(reflect.TypeFor[tusd.StoreComposer]()) {
		if field.Name != "Core" && field.Name != "Locker" {
			names = append(names, field.Name)
		}
	}
	return names
}

func fieldOf(c *tusd.StoreComposer, name string) reflect.Value {
	return reflect.ValueOf(c).Elem().FieldByName(name)
}

// abilitiesOf returns the abilities that a composer has.
func abilitiesOf(c *tusd.StoreComposer) (names []string) {
	for _, name := range abilities() {
		if !fieldOf(c, name).IsZero() {
			names = append(names, name)
		}
	}
	return names
}

func composeMemory(m *Memory) *tusd.StoreComposer {
	c := tusd.NewStoreComposer()
	m.UseIn(c)
	return c
}

// tryWrapped uses one ability of a wrapper, whose wrapped store counts the calls of it.
func tryWrapped(tb testing.TB, name string, wrap func(testing.TB, *tusd.StoreComposer) *tusd.StoreComposer) error {
	tb.Helper()
	try := wrappedAbilities[name]
	if try == nil {
		return errors.New("storetest.Wrapper does not know it: add it to wrappedAbilities")
	}
	memory, calls := NewMemory(), new(Faults)
	inner := composeMemory(memory)
	fieldOf(inner, name).Set(fieldOf(calls.Wrap(inner), name))
	e := newEnv(tb, Harness{New: func(tb testing.TB) *tusd.StoreComposer { return wrap(tb, inner) }}.withDefaults())
	defer e.release()
	before := calls.Operations()
	if err := try(e, memory); err != nil {
		return err
	}
	if calls.Operations() == before && name != "Rewinder" {
		return errors.New("the wrapped store is not called")
	}
	return nil
}

// wrappedAbilities uses each ability of a wrapper of the memory in a way that succeeds, and
// sees that in the memory.
var wrappedAbilities = map[string]func(e *env, m *Memory) error{
	"Terminater": func(e *env, m *Memory) error {
		e.create("a", 10)
		err := e.composer.Terminater.Terminate(e.Context(), e.lease("a"), "a")
		if _, gone := m.GetUpload(e.Context(), nil, "a"); err == nil && !errors.Is(gone, tusd.ErrNotFound) {
			err = errors.New("the upload is still there")
		}
		return err
	},
	"Concater": func(e *env, m *Memory) error {
		parts := []tusd.Upload{e.createFull("a", 3), e.createFull("b", 4)}
		if err := e.composer.Concater.Concat(e.Context(), e.create("final", 7), parts); err != nil {
			return err
		}
		return wantOffset(m, "final", 7)
	},
	"LengthDeferrer": func(e *env, m *Memory) error {
		err := e.composer.LengthDeferrer.DeclareLength(e.Context(), e.createDeferred("a"), 10)
		if info, _, loadErr := m.load("a"); err == nil && (loadErr != nil || info.Size != 10) {
			err = fmt.Errorf("the length is %d, %v", info.Size, loadErr)
		}
		return err
	},
	"ContentServer": func(e *env, _ *Memory) error {
		w := httptest.NewRecorder()
		err := e.composer.ContentServer.ServeContent(e.Context(), e.createComplete("a", 10), w, httptest.NewRequest(http.MethodGet, "/", nil))
		if err == nil && w.Body.Len() != 10 {
			err = fmt.Errorf("the content has %d bytes", w.Body.Len())
		}
		return err
	},
	"Lister": func(e *env, _ *Memory) error {
		e.create("a", 10)
		found, _, err := e.composer.Lister.List(e.Context(), "", tusd.ListFilter{}, 10)
		if err == nil && (len(found) != 1 || found[0].ID != "a") {
			err = fmt.Errorf("it lists %v", found)
		}
		return err
	},
	"SideRecords": trySideRecords,
	"AtomicWriter": func(e *env, m *Memory) error {
		if _, err := e.composer.AtomicWriter.WriteAtomic(e.Context(), e.create("a", 10), 0, ContentReader("a", 0, 5)); err != nil {
			return err
		}
		return wantOffset(m, "a", 5)
	},
	"Rewinder": func(e *env, m *Memory) error {
		if !e.composer.Rewinder.ReadsIncomplete() {
			return errors.New("ReadsIncomplete is false, that of the wrapped store is true")
		}
		u := e.create("a", 10)
		e.write(u, "a", 0, 5)
		if err := e.composer.Rewinder.Rewind(e.Context(), u, 2); err != nil {
			return err
		}
		return wantOffset(m, "a", 2)
	},
	"Tidier": func(e *env, m *Memory) error {
		e.create("a", 10)
		m.uploads["a"].record = nil
		var found []tusd.Leftover
		err := e.composer.Tidier.Tidy(e.Context(), tusd.Tidying{Pace: func(context.Context) error { return nil }, Report: func(l tusd.Leftover) { found = append(found, l) }})
		if err == nil && len(found) != 1 {
			err = fmt.Errorf("it reports %v", found)
		}
		return err
	},
	"Verifier": func(e *env, m *Memory) error {
		e.create("a", 10)
		m.uploads["a"].record = nil
		faults, err := e.composer.Verifier.Verify(e.Context(), "a")
		if err == nil && len(faults) != 1 {
			err = fmt.Errorf("it finds %q", faults)
		}
		return err
	},
}

// wantOffset checks how many bytes of an upload are stored.
func wantOffset(m *Memory, id string, n int64) error {
	info, _, err := m.load(id)
	if err == nil && info.Offset != n {
		err = fmt.Errorf("%d bytes of %s are stored, want %d", info.Offset, id, n)
	}
	return err
}

// trySideRecords uses each method of SideRecords.
func trySideRecords(e *env, m *Memory) error {
	s, ctx := e.composer.SideRecords, e.Context()
	created, put := tusd.SideRecordKey{Kind: "wrapped", Name: "a"}, tusd.SideRecordKey{Kind: "wrapped", Name: "b"}
	_, ok, err := s.CreateSideRecord(ctx, created, []byte("a"))
	if err == nil && !ok {
		err = errors.New("the side record is not created")
	}
	if err == nil {
		err = s.PutSideRecord(ctx, put, []byte("b"))
	}
	if err != nil {
		return err
	}
	value, err := s.GetSideRecord(ctx, put)
	if err == nil && (!bytes.Equal(value, []byte("b")) || !bytes.Equal(m.sideRecords[put], value)) {
		err = fmt.Errorf("the side record is %q", value)
	}
	if err != nil {
		return err
	}
	names, _, err := s.ListSideRecords(ctx, "wrapped", "", 10)
	if err == nil && !slices.Equal(names, []string{"a", "b"}) {
		err = fmt.Errorf("the side records are %q", names)
	}
	if err == nil {
		err = s.DeleteSideRecord(ctx, created)
	}
	if _, there := m.sideRecords[created]; err == nil && there {
		err = errors.New("the side record is still there")
	}
	return err
}
