package storetest

import (
	"testing"

	"github.com/tus/tusd/internal/contract"
)

// Reasons why a sentence can have no case here.
const (
	definition = "says what a thing is"
	guarantee  = "is a duty of callers, which the suite fulfils"
	noRoom     = "needs a full disk: tests of the store"
	powerCut   = "needs a power cut: tests of the daemon"
)

// uncheckable are sentences of the contract that no suite can check from
// outside.
var uncheckable = map[string]string{
	"DataStore: may rely on":                   guarantee,
	"DataStore: Ids own their bytes":           guarantee,
	"DataStore.NewUpload: ErrInvalidName":      "which places these are is the backend's",
	"DataStore: have meaning":                  definition,
	"DataStore: keeping the cause":             definition,
	"DataStore: Every other error":             guarantee,
	"DataStore.Open: creates what is missing":  "what may be missing is the backend's",
	"DataStore.Open: calls it once":            guarantee,
	"DataStore.Open: ctx bounds":               "what is probed is the backend's",
	"DataStore.NewUpload: ValidateID":          guarantee,
	"DataStore.NewUpload: ErrNoSpace":          noRoom,
	"Concater.Concat: ErrNoSpace":              noRoom,
	"Concater.Concat: Blocks":                  noRoom,
	"LengthDeferrer.DeclareLength: ErrNoSpace": noRoom,
	"DataStore.GetUpload: loads an upload":     definition,
	"Upload: bound to the lease":               definition,
	"Upload.GetInfo: Offset may be shown":      powerCut,
	"Upload.WriteChunk: durability level":      powerCut,
	"Upload.WriteChunk: ErrNoSpace":            noRoom,
	"Terminater: removes uploads":              definition,
	"Terminater.Terminate: holds lease":        guarantee,
	"Concater: Concatenation":                  definition,
	"Concater.Concat: Size is the sum":         guarantee,
	"ContentServer: serves downloads":          definition,
	"Lister: enumerates uploads":               definition,
	"Rewinder: (tus 1.0, Checksum)":            definition,
	"Rewinder.ReadsIncomplete: If so":          guarantee,
	"Rewinder.ReadsIncomplete: If not":         guarantee,
	"Rewinder.Rewind: As durable as":           powerCut,
	"Rewinder.Rewind: they may stay":           powerCut,
	"AtomicWriter.WriteAtomic: verified":       guarantee,
	"AtomicWriter.WriteAtomic: machine dies":   powerCut,
}

// Each sentence of the contract has a case, or a reason why it can have none. The
// sentences stand in the doc comments only: cases name them by keys.
func TestEverySentenceHasACase(t *testing.T) {
	var keys []string
	seen := make(map[string]bool)
	for _, c := range suite() {
		keys = append(keys, c.rule)
		if seen[c.name] {
			t.Errorf("two cases are called %s", c.name)
		}
		seen[c.name] = true
	}
	for key := range uncheckable {
		keys = append(keys, key)
	}
	uncovered, invalid := readContract(t).Uncovered("datastore.go", keys)
	for _, s := range uncovered {
		t.Errorf("no case checks this sentence of %s: %s", s.Symbol, s.Text)
	}
	for _, err := range invalid {
		t.Error(err)
	}
}

func readContract(t *testing.T) *contract.Contract {
	t.Helper()
	rules, err := contract.Read("..")
	if err != nil {
		t.Fatal(err)
	}
	return rules
}
