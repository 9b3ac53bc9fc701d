package storetest

import (
	"testing"

	"github.com/tus/tusd/internal/contract"
)

// Reasons why a sentence has no case here.
const (
	definition      = "is a definition"
	callerGuarantee = "is a duty of callers, which the suite fulfils"
	needsFullDisk   = "needs a full disk: tested with the store"
	needsPowerCut   = "needs a power cut: tested with the daemon"
)

// uncheckable are sentences of the contract that the suite cannot check, with the reason.
var uncheckable = map[string]string{
	"DataStore: may rely on":                    callerGuarantee,
	"DataStore: never a slice of a request":     callerGuarantee,
	"DataStore.NewUpload: ErrInvalidName":       "which places these are is the backend's",
	"DataStore: have meaning":                   definition,
	"DataStore: keeping the cause":              definition,
	"DataStore: Every other error":              callerGuarantee,
	"DataStore.Open: creates what is missing":   "what may be missing is the backend's",
	"DataStore.Open: calls it once":             callerGuarantee,
	"DataStore.Open: ctx bounds":                "what is probed is the backend's",
	"DataStore.NewUpload: ValidateID":           callerGuarantee,
	"DataStore.NewUpload: ErrNoSpace":           needsFullDisk,
	"Concater.Concat: ErrNoSpace":               needsFullDisk,
	"Concater.Concat: Blocks":                   needsFullDisk,
	"LengthDeferrer.DeclareLength: ErrNoSpace":  needsFullDisk,
	"DataStore.GetUpload: loads an upload":      definition,
	"Upload: bound to the lease":                definition,
	"Upload.GetInfo: never waits":               "which syncs there are is the backend's: tested with the store",
	"Upload.MakeDurable: as durable as":         needsPowerCut,
	"Upload.WriteChunk: durability level":       needsPowerCut,
	"Upload.WriteChunk: ErrNoSpace":             needsFullDisk,
	"Upload.FinishUpload: If the server dies":   "only stores that complete an upload in a step of its own have such a state",
	"Terminater: removes uploads":               definition,
	"Terminater.Terminate: holds lease":         callerGuarantee,
	"Concater: Concatenation":                   definition,
	"Concater.Concat: Size is the sum":          callerGuarantee,
	"ContentServer: serves downloads":           definition,
	"Lister: enumerates uploads":                definition,
	"Upload.WriteChunk: keeps its upload young": "needs an hour: tested with the store",
	"Lister.List: as of the listing":            callerGuarantee,
	"Lister.List: reads no record":              "what a listing reads is the backend's: tested with the store",
	"Lister.List: memory is bounded":            "needs a store with many uploads: tested with the store",
	"Lister.List: do not replace":               "which caches there are is the backend's: tested with the store",
	"Tidier: belongs to no upload":              definition,
	"Verifier: checks uploads":                  definition,
	"Rewinder: (tus 1.0, Checksum)":             definition,
	"Rewinder.ReadsIncomplete: If so":           callerGuarantee,
	"Rewinder.ReadsIncomplete: If not":          callerGuarantee,
	"Rewinder.Rewind: As durable as":            needsPowerCut,
	"Rewinder.Rewind: they may stay":            needsPowerCut,
	"AtomicWriter.WriteAtomic: verified":        callerGuarantee,
	"AtomicWriter.WriteAtomic: machine dies":    needsPowerCut,
}

// Each sentence of the contract has a case, or a reason why it has none. The sentences are
// in the doc comments only; cases name them by keys.
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
