package tusd

import (
	"fmt"
	"testing"
	"time"
)

// The delay after failed attempts grows, and a success resets it.
func TestDigestFailuresAreTriedLessOften(t *testing.T) {
	var f digestFailures
	now := time.Now()
	if !f.due("a", now) {
		t.Error("no first attempt")
	}
	wait := minDigestDelay
	for i := range 20 {
		if first := f.add("a", now); first != (i == 0) {
			t.Errorf("failure %d is the first: %t", i, first)
		}
		if f.due("a", now.Add(wait-1)) || !f.due("a", now.Add(wait)) || !f.due("b", now) {
			t.Errorf("after failure %d the next attempt is not due after %v", i, wait)
		}
		now = now.Add(wait)
		wait = min(2*wait, maxDigestDelay)
	}
	if f.remove("a"); !f.due("a", now) || !f.add("a", now) {
		t.Error("failures before a success still count")
	}
}

// The number of uploads that wait for the catch-up of their digests is bounded.
func TestCatchUpsAreBounded(t *testing.T) {
	e := newEngine(Config{})
	for i := range maxWaitingCatchUps {
		e.digesting.TryLock(fmt.Sprint(i))
	}
	e.catchUp("one-more")
	if e.digesting.Locked("one-more") {
		t.Error("one more upload waits")
	}
}
