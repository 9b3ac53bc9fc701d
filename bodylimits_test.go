package tusd

import (
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	p := pace{rate: 100, window: 10 * time.Second}
	for _, c := range []struct {
		n    int
		took time.Duration
		slow bool
	}{
		{1, 9 * time.Second, false}, // not yet known
		{998, time.Second, true},    // 999 bytes in 10 s
		{5000, 5 * time.Second, false},
		{0, 5 * time.Second, false},   // 5000 in 10 s
		{999, 10 * time.Second, true}, // earlier bytes no longer count
		{2000, 20 * time.Second, false},
	} {
		if slow := p.tooSlow(c.n, c.took); slow != c.slow {
			t.Errorf("%d bytes in %v: too slow is %v", c.n, c.took, slow)
		}
	}
	if (&pace{window: time.Second}).tooSlow(0, time.Hour) {
		t.Error("without a rate a body is too slow")
	}
}
