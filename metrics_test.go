package tusd

import (
	"io"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd/internal/deadline"
)

func TestHistogram(t *testing.T) {
	var h Histogram
	for _, d := range []time.Duration{0, 500 * time.Microsecond, 501 * time.Microsecond, time.Second, 24 * time.Hour} {
		h.Observe(d)
	}
	s := h.Snapshot()
	if len(s.Counts) != len(s.Bounds)+1 || !slices.IsSorted(s.Bounds) || s.Bounds[0] != 0.0005 {
		t.Fatalf("bounds %v, %d counts", s.Bounds, len(s.Counts))
	}
	second := slices.Index(s.Bounds, 1)
	if s.Counts[0] != 2 || s.Counts[1] != 1 || s.Counts[second] != 1 || s.Counts[len(s.Bounds)] != 1 || s.Count != 5 {
		t.Errorf("counts %v, %d in all", s.Counts, s.Count)
	}
	if want := 24*3600 + 1 + 0.001001; math.Abs(s.Sum-want) > 1e-9 {
		t.Errorf("sum %v, want %v", s.Sum, want)
	}
}

// The store's part of writing is counted without the waiting for the client.
func TestBodyCountsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := body{src: &slowSource{pause: time.Second, n: 5}, length: 5, deadlines: &deadline.Request{}, remaining: 5}
		p := make([]byte, 1)
		for {
			if _, err := b.Read(p); err != nil {
				break
			}
			time.Sleep(3 * time.Second) // the store's time, on a clock that only this test has
		}
		if b.waited != 5*time.Second {
			t.Errorf("waited %v for the client, want 5s", b.waited)
		}
	})
}

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
		{999, 10 * time.Second, true}, // what came before does not count any more
		{2000, 20 * time.Second, false},
	} {
		if slow := p.tooSlow(c.n, c.took); slow != c.slow {
			t.Errorf("%d bytes in %v: too slow is %v", c.n, c.took, slow)
		}
	}
	if (&pace{window: time.Second}).tooSlow(0, time.Hour) {
		t.Error("without a rate something is too slow")
	}
}

// slowSource gives n bytes, one at a time.
type slowSource struct {
	pause time.Duration
	n     int
}

func (s *slowSource) Read(p []byte) (int, error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	time.Sleep(s.pause)
	s.n--
	return 1, nil
}

func TestProxyWatch(t *testing.T) {
	const large = 8 << 20
	for _, c := range []struct {
		what    string
		n       int64
		delay   time.Duration // between two requests
		waited  time.Duration // for the content
		buffers bool
	}{
		{"late and at once", large, 2 * time.Second, 20 * time.Millisecond, true},
		{"as it was sent", large, 20 * time.Millisecond, 2 * time.Second, false},
		{"at once and not late", large, 20 * time.Millisecond, time.Millisecond, false},
		{"late and not at once", large, 2 * time.Second, time.Second, false},
		{"small", 1000, 2 * time.Second, 0, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var w bufferingDetector
			told := 0
			for range 10 {
				came := time.Now()
				time.Sleep(c.waited)
				if w.observe("id", came, c.n, c.waited) {
					told++
				}
				time.Sleep(c.delay)
			}
			if want := map[bool]int{true: 1}[c.buffers]; told != want {
				t.Errorf("%s: told %d times, want %d", c.what, told, want)
			}
		})
	}
}

func TestProxyWatchIsBounded(t *testing.T) {
	var w bufferingDetector
	for i := range 2 * maxWatchedUploads {
		w.observe(string(rune(i)), time.Now(), 0, 0)
	}
	if len(w.answered) > maxWatchedUploads {
		t.Errorf("%d uploads are remembered", len(w.answered))
	}
}
