package tusd

import (
	"testing"
	"time"
)

// Attempts that fail are made less and less often, and soon again after a success.
func TestDigestFailuresAreTriedLessOften(t *testing.T) {
	var f digestFailures
	now := time.Now()
	if !f.due("a", now) {
		t.Error("no first attempt")
	}
	wait := minDigestWait
	for i := range 20 {
		if first := f.add("a", now); first != (i == 0) {
			t.Errorf("failure %d is the first: %t", i, first)
		}
		if f.due("a", now.Add(wait-1)) || !f.due("a", now.Add(wait)) || !f.due("b", now) {
			t.Errorf("after failure %d the next attempt is not due after %v", i, wait)
		}
		now = now.Add(wait)
		wait = min(2*wait, maxDigestWait)
	}
	if f.remove("a"); !f.due("a", now) || !f.add("a", now) {
		t.Error("failures before a success still count")
	}
}
