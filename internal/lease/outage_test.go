package lease

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// As long as calls fail now and then, the outage lasts. It ended with the first answer after
// the last failure, which is logged when no call has failed for ten seconds.
func TestOutageWithAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		o := outage{log: slog.New(slog.NewTextHandler(&log, nil)), service: "a test"}
		o.failed(errCut)
		for range 20 {
			time.Sleep(time.Second)
			o.failed(errCut)
			time.Sleep(time.Second)
			o.answered()
		}
		time.Sleep(time.Second)
		o.failed(errCut)
		time.Sleep(time.Second)
		o.answered() // 42 s after the first failure
		time.Sleep(steadyAfter - time.Nanosecond)
		o.answered()
		if lines := strings.Count(log.String(), "\n"); lines != 1 {
			t.Fatalf("%d lines within ten seconds after a failure:\n%s", lines, &log)
		}
		time.Sleep(time.Nanosecond)
		o.answered()
		if lines := strings.Count(log.String(), "\n"); lines != 2 || !strings.Contains(log.String(), "outage=42s") {
			t.Errorf("%d lines, want the second one with outage=42s:\n%s", lines, &log)
		}
	})
}
