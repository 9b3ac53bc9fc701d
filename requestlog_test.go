package tusd

import (
	"strconv"
	"testing"
	"time"
)

func TestRepeatedFaults(t *testing.T) {
	var a repeatedFaults
	start := time.Now()
	for _, c := range []struct {
		fault string
		after time.Duration
		want  bool
	}{
		{"a", 0, true}, {"a", 0, false}, {"b", 0, true},
		{"a", faultInterval - 1, false}, {"a", faultInterval, true}, {"a", faultInterval + 1, false},
	} {
		if got := a.mayLog(c.fault, start.Add(c.after)); got != c.want {
			t.Errorf("%s after %v: %t", c.fault, c.after, got)
		}
	}
	logged := 0
	for i := range 10 * maxFaults {
		if a.mayLog(strconv.Itoa(i), start.Add(2*faultInterval)) {
			logged++
		}
	}
	if len(a.logged) > maxFaults || logged == 0 || logged > maxFaults {
		t.Errorf("%d faults are logged and %d in memory, want at most %d", logged, len(a.logged), maxFaults)
	}
	if !a.mayLog("later", start.Add(4*faultInterval)) {
		t.Error("old faults prevent a new one from being logged")
	}
}
