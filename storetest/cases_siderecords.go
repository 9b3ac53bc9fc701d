package storetest

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/tus/tusd"
)

var sideCases = []testCase{
	{"side/create", "SideRecords.CreateSideRecord: key is free / created false", SideRecords, sideCreate},
	{"side/create-race", "SideRecords: atomic", SideRecords, sideCreateRace},
	{"side/put", "SideRecords.PutSideRecord: replacing", SideRecords, sidePut},
	{"side/put-race", "SideRecords: wins", SideRecords, sidePutRace},
	{"side/get", "SideRecords.GetSideRecord: ErrNotFound", SideRecords, sideGet},
	{"side/list", "SideRecords.ListSideRecords: sorted", SideRecords, sideList},
	{"side/delete", "SideRecords.DeleteSideRecord: removes key / absent key", SideRecords, sideDelete},
	{"side/limits", "SideRecords: 64 KiB", SideRecords, sideLimits},
	{"side/copies", "SideRecords: Slices", SideRecords, sideCopies},
	{"side/beside-uploads", "SideRecords: small named records", SideRecords, sideBesideUploads},
	{"side/cancelled", "SideRecords: atomic", SideRecords, sideCancelled},
}

func sideKey(name string) tusd.SideRecordKey { return tusd.SideRecordKey{Kind: "kind", Name: name} }

func (e *env) putSideRecord(name, value string) {
	e.Helper()
	e.must(e.composer.SideRecords.PutSideRecord(e.Context(), sideKey(name), []byte(value)))
}

func (e *env) wantSideRecord(name, want string) {
	e.Helper()
	got, err := e.composer.SideRecords.GetSideRecord(e.Context(), sideKey(name))
	if err != nil || string(got) != want {
		e.Errorf("side record %s has %d bytes, error %v; want %d", name, len(got), err, len(want))
	}
}

func (e *env) wantNoSideRecord(name string) {
	e.Helper()
	_, err := e.composer.SideRecords.GetSideRecord(e.Context(), sideKey(name))
	e.wantError("side record "+name, err, tusd.ErrNotFound)
}

func sideCreate(e *env) {
	current, created, err := e.composer.SideRecords.CreateSideRecord(e.Context(), sideKey("a"), []byte("first"))
	if err != nil || !created || string(current) != "first" {
		e.Errorf("a free key: %q, created %t, error %v", current, created, err)
	}
	current, created, err = e.composer.SideRecords.CreateSideRecord(e.Context(), sideKey("a"), []byte("second"))
	if err != nil || created || string(current) != "first" {
		e.Errorf("a key that is taken: %q, created %t, error %v", current, created, err)
	}
	e.wantSideRecord("a", "first")
	e.reopen()
	e.wantSideRecord("a", "first")
}

// race runs f in several goroutines at once.
func race(n int, f func(i int)) {
	var wg sync.WaitGroup
	for i := range n {
		wg.Go(func() { f(i) })
	}
	wg.Wait()
}

func sideCreateRace(e *env) {
	winners := make(chan string, 20)
	seen := make(chan string, 20)
	race(20, func(i int) {
		mine := fmt.Sprintf("value %d", i)
		current, created, err := e.composer.SideRecords.CreateSideRecord(e.Context(), sideKey("a"), []byte(mine))
		if err != nil {
			e.Errorf("create: %v", err)
		}
		if created {
			winners <- mine
		}
		seen <- string(current)
	})
	close(winners)
	close(seen)
	if len(winners) != 1 {
		e.Fatalf("%d callers created the same side record", len(winners))
	}
	winner := <-winners
	for value := range seen {
		if value != winner {
			e.Errorf("a caller got %q, created was %q", value, winner)
		}
	}
	e.wantSideRecord("a", winner)
}

func sidePut(e *env) {
	e.putSideRecord("a", "first, and long enough to be cut")
	e.putSideRecord("a", "second")
	e.wantSideRecord("a", "second")
	e.putSideRecord("empty", "")
	e.wantSideRecord("empty", "")
	e.reopen()
	e.wantSideRecord("a", "second")
	e.wantSideRecord("empty", "")
}

func sidePutRace(e *env) {
	race(10, func(i int) {
		value := strings.Repeat(fmt.Sprint(i), 5000)
		if err := e.composer.SideRecords.PutSideRecord(e.Context(), sideKey("a"), []byte(value)); err != nil {
			e.Errorf("put: %v", err)
		}
		got, err := e.composer.SideRecords.GetSideRecord(e.Context(), sideKey("a"))
		if err != nil || len(got) != 5000 || len(bytes.Trim(got, string(got[:1]))) != 0 {
			e.Errorf("a reader saw %d bytes of several values, error %v", len(got), err)
		}
	})
	e.putSideRecord("a", "last")
	e.wantSideRecord("a", "last")
}

func sideGet(e *env) {
	e.wantNoSideRecord("a")
	e.putSideRecord("ab", "x")
	e.wantNoSideRecord("a")
	_, err := e.composer.SideRecords.GetSideRecord(e.Context(), tusd.SideRecordKey{Kind: "other", Name: "ab"})
	e.wantError("the same name of another kind", err, tusd.ErrNotFound)
}

func sideList(e *env) {
	names := []string{"b", "a", "a-1", "a1", "0", "zz", strings.Repeat("n", 100)}
	for _, name := range names {
		e.putSideRecord(name, "x")
	}
	e.must(e.composer.SideRecords.PutSideRecord(e.Context(), tusd.SideRecordKey{Kind: "kind-2", Name: "other"}, nil))
	slices.Sort(names)
	for limit := 1; limit <= len(names)+1; limit++ {
		if got := e.listSideRecords(limit); !slices.Equal(got, names) {
			e.Errorf("pages of %d: %q, want %q", limit, got, names)
		}
	}
	got, _, err := e.composer.SideRecords.ListSideRecords(e.Context(), "kind", "a0", 2)
	e.must(err)
	if !slices.Equal(got, []string{"a1", "b"}) {
		e.Errorf("behind a cursor that is not a name: %q", got)
	}
	got, next, err := e.composer.SideRecords.ListSideRecords(e.Context(), "none", "", 10)
	if len(got) != 0 || next != "" || err != nil {
		e.Errorf("a kind without records: %q, %q, %v", got, next, err)
	}
}

func (e *env) listSideRecords(limit int) (all []string) {
	e.Helper()
	cursor := ""
	for range 100 {
		names, next, err := e.composer.SideRecords.ListSideRecords(e.Context(), "kind", cursor, limit)
		e.must(err)
		if len(names) > limit {
			e.Errorf("a page has %d names, the limit is %d", len(names), limit)
		}
		all = append(all, names...)
		if next == "" {
			return all
		}
		cursor = next
	}
	e.Fatal("the listing does not end")
	return nil
}

func sideDelete(e *env) {
	e.must(e.composer.SideRecords.DeleteSideRecord(e.Context(), sideKey("a")))
	e.putSideRecord("a", "x")
	e.must(e.composer.SideRecords.DeleteSideRecord(e.Context(), sideKey("a")))
	e.wantNoSideRecord("a")
	e.reopen()
	e.wantNoSideRecord("a")
	_, created, err := e.composer.SideRecords.CreateSideRecord(e.Context(), sideKey("a"), []byte("again"))
	if !created || err != nil {
		e.Errorf("create after delete: %t, %v", created, err)
	}
}

func sideLimits(e *env) {
	var all [256]byte
	for i := range all {
		all[i] = byte(i)
	}
	largest := strings.Repeat(string(all[:]), 256)
	name := strings.Repeat("a", 100)
	e.putSideRecord(name, largest)
	e.wantSideRecord(name, largest)
	long := tusd.SideRecordKey{Kind: strings.Repeat("k", 100), Name: name}
	e.must(e.composer.SideRecords.PutSideRecord(e.Context(), long, []byte("x")))
	e.reopen()
	e.wantSideRecord(name, largest)
	got, err := e.composer.SideRecords.GetSideRecord(e.Context(), long)
	if string(got) != "x" || err != nil {
		e.Errorf("the longest key: %q, %v", got, err)
	}
}

func sideCopies(e *env) {
	value := []byte("value")
	current, _, err := e.composer.SideRecords.CreateSideRecord(e.Context(), sideKey("a"), value)
	e.must(err)
	clear(value)
	e.wantSideRecord("a", "value")
	clear(current)
	e.wantSideRecord("a", "value")
	got, err := e.composer.SideRecords.GetSideRecord(e.Context(), sideKey("a"))
	e.must(err)
	clear(got)
	e.wantSideRecord("a", "value")
	value = []byte("other")
	e.must(e.composer.SideRecords.PutSideRecord(e.Context(), sideKey("a"), value))
	clear(value)
	e.wantSideRecord("a", "other")
}

// sideBesideUploads tests side records and uploads with the same names.
func sideBesideUploads(e *env) {
	e.createComplete("kind", 10)
	e.createComplete("kind-a", 10)
	e.putSideRecord("kind", "side")
	e.putSideRecord("a", "side")
	e.wantStored("kind", 10)
	e.wantStored("kind-a", 10)
	if e.composer.Lister != nil {
		e.wantListed(e.list(tusd.ListFilter{}, 10, noChange), "kind", "kind-a")
	}
	if e.composer.Terminater != nil {
		e.terminate("kind")
	}
	e.reopen()
	e.wantSideRecord("kind", "side")
	e.wantSideRecord("a", "side")
	e.wantGone("a")
}

func sideCancelled(e *env) {
	e.putSideRecord("a", "old")
	old := "old"
	e.sweepCancel(func(ctx context.Context, look int) error {
		value := fmt.Sprintf("look %d", look)
		err := e.composer.SideRecords.PutSideRecord(ctx, sideKey("a"), []byte(value))
		got, readErr := e.composer.SideRecords.GetSideRecord(e.Context(), sideKey("a"))
		e.must(readErr)
		if string(got) != value && (string(got) != old || err == nil) {
			e.Errorf("after error %v the value is %q, want %q or %q", err, got, value, old)
		}
		old = string(got)
		return err
	})
}
