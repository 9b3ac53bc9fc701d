package tusd

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestBufferingDetector(t *testing.T) {
	const large = 8 << 20
	for _, c := range []struct {
		what    string
		n       int64
		delay   time.Duration // between two requests
		waited  time.Duration // for the content
		buffers bool
	}{
		{"after a delay, at once", large, 2 * time.Second, 20 * time.Millisecond, true},
		{"streamed", large, 20 * time.Millisecond, 2 * time.Second, false},
		{"without a delay, at once", large, 20 * time.Millisecond, time.Millisecond, false},
		{"after a delay, streamed", large, 2 * time.Second, time.Second, false},
		{"small", 1000, 2 * time.Second, 0, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			var w bufferingDetector
			detected := 0
			for range 10 {
				came := time.Now()
				time.Sleep(c.waited)
				if w.observe("id", came, c.n, c.waited) {
					detected++
				}
				time.Sleep(c.delay)
			}
			if want := map[bool]int{true: 1}[c.buffers]; detected != want {
				t.Errorf("%s: detected %d times, want %d", c.what, detected, want)
			}
		})
	}
}

func TestBufferingDetectorIsBounded(t *testing.T) {
	var w bufferingDetector
	for i := range 2 * maxWatchedUploads {
		w.observe(string(rune(i)), time.Now(), 0, 0)
	}
	if len(w.answered) > maxWatchedUploads {
		t.Errorf("%d uploads are in memory", len(w.answered))
	}
}
