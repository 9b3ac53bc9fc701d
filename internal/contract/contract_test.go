package contract

import (
	"os"
	"path/filepath"
	"reflect"
	"testing"
)

const source = `package p

// Store keeps things. All methods
// may run at once.
type Store interface {
	// Put stores a thing. An error stores
	// nothing.
	Put() error
}

// Mode is a mode.
type Mode int

const (
	Fast Mode = iota // does not wait
)

type settings struct {
	size int // in bytes
}

// Set sets the size.
func (s *settings) Set() {}
`

func read(t *testing.T) *Contract {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "p.go"), []byte(source), 0o666); err != nil {
		t.Fatal(err)
	}
	c, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func TestFind(t *testing.T) {
	c := read(t)
	for key, want := range map[string][]Sentence{
		"Store: methods may":      {{"Store", "All methods may run at once."}},
		"Store.Put: error / Put ": {{"Store.Put", "An error stores nothing."}, {"Store.Put", "Put stores a thing."}},
		"Fast: not wait":          {{"Fast", "does not wait"}},
		"settings.size: bytes":    {{"settings.size", "in bytes"}},
		"settings.Set: sets":      {{"settings.Set", "Set sets the size."}},
		"Store.Put: stores":       nil, // two sentences
		"Store.Put: keeps":        nil, // none of Put
		"Store.Put":               nil,
		"Store.Get: stores":       nil,
	} {
		found, err := c.Find(key)
		if !reflect.DeepEqual(found, want) || (err == nil) != (want != nil) {
			t.Errorf("%s: %q, %v; want %q", key, found, err, want)
		}
	}
}

func TestUncovered(t *testing.T) {
	c := read(t)
	left, invalid := c.Uncovered("p.go", []string{"Store: All", "Store.Put: stores a", "Store.Put: elsewhere"})
	want := []Sentence{{"Store", "Store keeps things."}, {"Store.Put", "An error stores nothing."}}
	if !reflect.DeepEqual(left, want) || len(invalid) != 1 {
		t.Errorf("left %q, errors %v; want %q and one error", left, invalid, want)
	}
}
