package cli

import (
	"math"
	"strings"
	"testing"
	"time"
)

func TestDurations(t *testing.T) {
	const day = 24 * time.Hour
	for text, want := range map[string]time.Duration{
		"0": 0, "60s": time.Minute, "2m": 2 * time.Minute, "1h30m": 90 * time.Minute, "500ms": 500 * time.Millisecond, "1.5h": 90 * time.Minute,
		"-1s": -time.Second, "1us": time.Microsecond, "3µs": 3 * time.Microsecond, // as package flag reads them
		"1d": day, "1.5d": 36 * time.Hour, "1w": 7 * day, "1d12h": 36 * time.Hour, "1d 12h 30m": 36*time.Hour + 30*time.Minute,
		"2 m": 2 * time.Minute, " 30s ": 30 * time.Second, "-1d": -day, "0d": 0, "106751d": 106751 * day,
	} {
		if got, err := parseDuration(text); err != nil || got != want {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for text, want := range map[string]string{
		"60": "a duration with a unit", "1.5": "a duration with a unit", "-60": "a duration with a unit", "1_000": "a duration with a unit",
		"": "a duration like", "d": "a duration like", "2M": "a duration like", "1x": "a duration like", "1day": "a duration like", "1h 5": "a duration like",
		"1..5d": "a duration like", ".d": "a duration like", "1e3s": "a duration like", "1d-1h": "a duration like", "forever": "a duration like",
		"106752d": "too long", "9999999999999h": "too long", "99999999999999999999d": "too long", "106751d 106751d": "too long",
	} {
		if got, err := parseDuration(text); err == nil || !strings.Contains(err.Error(), want) || got != 0 {
			t.Errorf("%q: %v, %v; want %q", text, got, err, want)
		}
	}
}

// Flags that are numbers of seconds or nanoseconds in tusd v2 accept numbers, too.
func TestNumbersAsDurations(t *testing.T) {
	for text, want := range map[string]string{"0": "0", "60": "60", "-1": "-1", "2m": "120", "1d": "86400", "1.5h": "5400"} {
		if cfg, err := parse("-cors-max-age", text); err != nil || cfg.cors.maxAge != want {
			t.Errorf("-cors-max-age %s: %q, %v; want %q", text, cfg.cors.maxAge, err, want)
		}
	}
	for text, want := range map[string]int{"0": 0, "10000": 10000, "10us": 10000, "1ms": 1e6} {
		if cfg, err := parse("-pprof-block-profile-rate", text); err != nil || cfg.monitoring.blockProfileRate != want {
			t.Errorf("-pprof-block-profile-rate %s: %d, %v; want %d", text, cfg.monitoring.blockProfileRate, err, want)
		}
	}
	if cfg, err := parse("-pprof-block-profile-rate", "1d"); err != nil || cfg.monitoring.blockProfileRate != int(min(int64(24*time.Hour), math.MaxInt)) {
		t.Errorf("1d: %d, %v", cfg.monitoring.blockProfileRate, err)
	}
	for _, text := range []string{"-1", "-1s", "x"} {
		if _, err := parse("-pprof-block-profile-rate", text); err == nil || !strings.Contains(err.Error(), "nanoseconds") {
			t.Errorf("-pprof-block-profile-rate %s: %v", text, err)
		}
	}
}
