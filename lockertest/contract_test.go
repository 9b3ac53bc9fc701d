package lockertest

import (
	"slices"
	"testing"

	"github.com/tus/tusd/internal/contract"
)

// uncheckable are sentences of the contract that the suite cannot check, with the reason.
var uncheckable = map[string]string{
	"PreemptNotifier: calls a function / optional / each request": "says what the handler does: tested with it",
	"PreemptNotifier.AfterPreempt: After Unlock":                  "allows, and requires nothing of a locker",
	"Locker.Lock: Nothing is locked":                              "needs an unreachable lock service: tested with the locker",
	"Lease.Unlock: wait for the lease's end":                      "needs an unreachable lock service: tested with the locker",
}

// Each sentence of the contract has a case, or a reason why it has none. The sentences are
// in the doc comments only; cases name them by keys.
func TestEverySentenceHasACase(t *testing.T) {
	rules, err := contract.Read("..")
	if err != nil {
		t.Fatal(err)
	}
	var keys []string
	seen := make(map[string]bool)
	for _, c := range allCases() {
		keys = append(keys, c.rule)
		if seen[c.name] {
			t.Errorf("two cases are called %s", c.name)
		}
		seen[c.name] = true
	}
	for key := range uncheckable {
		keys = append(keys, key)
	}
	uncovered, invalid := rules.Uncovered("locker.go", keys)
	for _, s := range uncovered {
		t.Errorf("no case checks this sentence of %s: %s", s.Symbol, s.Text)
	}
	for _, err := range invalid {
		t.Error(err)
	}
}

// allCases lists the cases of all harnesses.
func allCases() []testCase {
	return slices.Concat(suite(Harness{}), lossCases, partitionCases, processCases, leaseProcessCases)
}
