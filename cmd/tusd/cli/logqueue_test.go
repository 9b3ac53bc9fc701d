package cli

import (
	"bytes"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd/internal/logtest"
)

// startBlocked returns a log whose sink is blocked. release unblocks it, closes the
// queue and returns all that was written.
func startBlocked(t *testing.T) (log *slog.Logger, queue *logQueue, release func() string) {
	t.Helper()
	sink := newBlockedSink()
	log, queue = startLog(sink, "text", false)
	log.Info("first")
	sink.await(t)
	return log, queue, func() string {
		close(sink.opened)
		mustClose(t, queue)
		return sink.content.String()
	}
}

const kilobyte = 1 << 10

var filler = strings.Repeat("x", kilobyte)

// The lines of a client that causes very many do not displace lines of other clients,
// warnings, or lines about no client.
func TestLogFloodKeepsOtherLines(t *testing.T) {
	for name, c := range map[string]struct{ flood, other func(i int) any }{
		"IPv4":            {func(int) any { return "203.0.113.7" }, func(int) any { return "203.0.113.8" }},
		"one /64":         {func(i int) any { return fmt.Sprintf("2001:db8::%x", i) }, func(int) any { return "2001:db8:0:1::1" }},
		"a prefix":        {func(int) any { return netip.MustParsePrefix("203.0.113.7/32") }, func(int) any { return "203.0.113.8" }},
		"beside a socket": {func(int) any { return "203.0.113.7" }, func(int) any { return "unix" }},
		"by a socket":     {func(int) any { return "unix" }, func(int) any { return "203.0.113.7" }},
		"ten addresses":   {func(i int) any { return fmt.Sprintf("203.0.113.%d", i%10) }, func(int) any { return "203.0.113.77" }},
	} {
		t.Run(name, func(t *testing.T) {
			log, queue, release := startBlocked(t)
			const lines = 2 * clientLogQueueSize / kilobyte
			for i := range lines {
				log.Info("flood", "i", i, "client", c.flood(i), "filler", filler)
				if i%1000 == 0 {
					log.Info("other", "client", c.other(i))
					log.Info("own")
					log.Warn("warning", "client", c.other(i))
				}
			}
			lost := queue.dropped.Load()
			if lost == 0 || lost != queue.overShare.Load() {
				t.Fatalf("%d lines are lost, %d of them over a share: want the flood to lose lines, and nothing else", lost, queue.overShare.Load())
			}
			if n := cap(queue.pending); n > 2*clientLogQueueSize {
				t.Errorf("%d bytes are queued", n)
			}
			written := release()
			for _, msg := range []string{"other", "own", "warning"} {
				if n := strings.Count(written, "msg="+msg); n != (lines+999)/1000 {
					t.Errorf("%d lines %q, want %d", n, msg, (lines+999)/1000)
				}
			}
			if n := strings.Count(written, "msg=flood"); n != lines-int(lost) {
				t.Errorf("%d lines of the flood, want all but the %d lost ones", n, lost)
			}
			if notice := fmt.Sprintf("lost=%d over_share=%d\n", lost, lost); !strings.HasSuffix(written, notice) || !strings.Contains(written, "level=INFO msg=\"log lines are missing") {
				t.Errorf("the end is %q, want a line of INFO with %s", written[max(0, len(written)-200):], notice)
			}
		})
	}
}

// Very many warnings about one client do not displace an error of the server.
func TestLogFloodOfWarnings(t *testing.T) {
	log, queue, release := startBlocked(t)
	for range 2 * logQueueSize / kilobyte {
		log.Warn("flood", "client", "203.0.113.7", "filler", filler)
	}
	log.Error("own fault")
	if queue.overShare.Load() == 0 {
		t.Error("nothing is lost")
	}
	if !strings.Contains(release(), "own fault") {
		t.Error("warnings about one client displace an error")
	}
}

// The memory for very many clients is bounded while the sink is blocked.
func TestLogFloodOfClients(t *testing.T) {
	log, queue, release := startBlocked(t)
	for i := range 100_000 {
		log.Info("flood", "client", netip.AddrFrom4([4]byte{203, byte(i >> 16), byte(i >> 8), byte(i)}).String(), "filler", filler[:100])
	}
	// A line has at least 100 bytes.
	if n, most := len(queue.uses), (clientLogQueueSize+logQueueSize)/100; n > most {
		t.Errorf("%d clients are tracked, want at most %d", n, most)
	}
	if n := len(queue.pending); n > clientLogQueueSize+logQueueSize {
		t.Errorf("%d bytes are queued", n)
	}
	release()
	if n := len(queue.uses); n > keptUses {
		t.Errorf("%d clients are tracked in the end", n)
	}
}

// While lines are lost, a line reports it once per lossInterval, even if no further
// line comes.
func TestLogReportsLossesOncePerInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sink logtest.Buffer
		_, queue := startLog(&sink, "text", false)
		tooLong := bytes.Repeat([]byte("x"), logQueueSize+1)
		for range 10 {
			queue.put(tooLong, logSource{class: ownLines})
			synctest.Wait()
			time.Sleep(2 * logWriteInterval)
		}
		synctest.Wait()
		if n := strings.Count(sink.String(), "lost="); n != 1 {
			t.Errorf("%d lines about losses at once, want 1: %s", n, sink.String())
		}
		time.Sleep(lossInterval)
		synctest.Wait()
		if lines := sink.String(); strings.Count(lines, "lost=") != 2 || !strings.Contains(lines, "lost=9 ") {
			t.Errorf("lines about losses: %s, want a second one, about 9", lines)
		}
		mustClose(t, queue)
	})
}
