package lockertest

import (
	"slices"
	"testing"

	"github.com/tus/tusd/internal/contract"
)

func readContract(t *testing.T, path string) *contract.File {
	f, err := contract.Read(path)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// TestCasesQuoteTheContract keeps what a failing case prints in step with the
// contract.
func TestCasesQuoteTheContract(t *testing.T) {
	locker := readContract(t, "../locker.go")
	seen := make(map[string]bool)
	for _, c := range allCases() {
		if !locker.Says(c.promise) {
			t.Errorf("case %s checks a sentence that the contract does not have: %s", c.name, c.promise)
		}
		if seen[c.name] {
			t.Errorf("two cases are called %s", c.name)
		}
		seen[c.name] = true
	}
}

// uncheckable are sentences of the contract that no suite can check from
// outside, with the reason.
var uncheckable = map[string]string{
	"Trouble that passes; nothing is locked.":                          "needs a lock service out of reach: tests of the locker",
	"An error means that others may have to wait for the lease's end.": "needs a lock service out of reach: tests of the locker",
}

// TestEverySentenceHasACase holds the suite to the contract's interfaces: a
// new sentence needs a case, or a reason why it can have none.
func TestEverySentenceHasACase(t *testing.T) {
	all := readContract(t, "../locker.go").Sentences()
	var promises []string
	for _, c := range allCases() {
		promises = append(promises, c.promise)
	}
	for _, s := range contract.Unchecked(all, promises) {
		if uncheckable[s] == "" {
			t.Errorf("no case checks: %s", s)
		}
	}
	for s := range uncheckable {
		if !slices.Contains(all, s) {
			t.Errorf("the contract no longer says: %s", s)
		}
	}
}

// allCases lists the cases of all harnesses.
func allCases() []testCase {
	return slices.Concat(suite(Harness{}), lossCases, processCases)
}
