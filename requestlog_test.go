package tusd

import (
	"strconv"
	"testing"
	"time"
)

func TestAlarms(t *testing.T) {
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
	told := 0
	for i := range 10 * maxFaults {
		if a.mayLog(strconv.Itoa(i), start.Add(2*faultInterval)) {
			told++
		}
	}
	if len(a.logged) > maxFaults || told == 0 || told > maxFaults {
		t.Errorf("%d are told and %d remembered, want at most %d", told, len(a.logged), maxFaults)
	}
	if !a.mayLog("later", start.Add(4*faultInterval)) {
		t.Error("old ones keep new ones from being told")
	}
}
