package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/loglimit"
	"github.com/tus/tusd/storetest"
)

// blockedSink is a sink of a log that blocks until it is opened. It records the
// content and counts the writes.
type blockedSink struct {
	entered chan struct{} // has a value after a call
	opened  chan struct{}

	mu      sync.Mutex
	content bytes.Buffer
	writes  int
}

func newBlockedSink() *blockedSink {
	return &blockedSink{entered: make(chan struct{}, 1), opened: make(chan struct{})}
}

func (b *blockedSink) Write(p []byte) (int, error) {
	select {
	case b.entered <- struct{}{}:
	default:
	}
	<-b.opened
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writes++
	return b.content.Write(p)
}

// await waits until a write is blocked.
func (b *blockedSink) await(t *testing.T) {
	t.Helper()
	select {
	case <-b.entered:
	case <-time.After(testTimeout):
		t.Fatal("nothing is written")
	}
}

// mustClose closes the queue, and fails unless all lines are written.
func mustClose(t *testing.T, queue *logQueue) {
	t.Helper()
	if err := queue.close(testTimeout); err != nil {
		t.Fatal(err)
	}
}

func TestLogLinesKeepTheirOrder(t *testing.T) {
	for _, format := range []string{"text", "json"} {
		t.Run(format, func(t *testing.T) {
			var sink bytes.Buffer
			log, queue := startLog(&sink, format, false)
			const lines = 5000 // fewer than fit into the queue
			for i := range lines {
				log.Info("line", "i", i)
			}
			log.Debug("not wanted")
			mustClose(t, queue)
			got := strings.Split(strings.TrimSpace(sink.String()), "\n")
			if len(got) != lines {
				t.Fatalf("%d lines, want %d", len(got), lines)
			}
			for i, line := range got {
				if want := map[string]string{"text": fmt.Sprintf("msg=line i=%d", i), "json": fmt.Sprintf(`"msg":"line","i":%d}`, i)}[format]; !strings.HasSuffix(line, want) {
					t.Fatalf("line %d is %s", i, line)
				}
			}
		})
	}
}

func TestLogLevels(t *testing.T) {
	for _, c := range []struct {
		verbose bool
		want    int
	}{{false, 1}, {true, 2}} {
		var sink bytes.Buffer
		log, queue := startLog(&sink, "text", c.verbose)
		log.Debug("x")
		log.Info("x")
		mustClose(t, queue)
		if got := strings.Count(sink.String(), "\n"); got != c.want {
			t.Errorf("verbose %v: %d lines, want %d", c.verbose, got, c.want)
		}
	}
}

// Lines that come during a write are written together in the next one.
func TestLogLinesAreWrittenTogether(t *testing.T) {
	sink := newBlockedSink()
	log, queue := startLog(sink, "text", false)
	log.Info("first")
	sink.await(t)
	for range 100 {
		log.Info("more")
	}
	close(sink.opened)
	mustClose(t, queue)
	if lines := strings.Count(sink.content.String(), "\n"); sink.writes != 2 || lines != 101 {
		t.Errorf("%d lines in %d writes, want 101 in 2", lines, sink.writes)
	}
}

// A line is written at once, and lines soon after it are written together.
func TestLogLinesAreWrittenPromptly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		sink := &writeCounter{Writer: io.Discard}
		log, queue := startLog(sink, "text", false)
		log.Info("first")
		synctest.Wait()
		if sink.writes != 1 {
			t.Errorf("%d writes after the first line, want it to be written at once", sink.writes)
		}
		for range 10 {
			log.Info("soon after")
			synctest.Wait()
		}
		time.Sleep(logWriteInterval)
		synctest.Wait()
		if sink.writes != 2 {
			t.Errorf("%d writes, want the lines after the first one to share the second write", sink.writes)
		}
		mustClose(t, queue)
	})
}

// A blocked sink blocks no caller, and the queue is bounded. When the sink continues, a
// line tells how many lines are missing, at their place.
func TestBlockedLogSink(t *testing.T) {
	sink := newBlockedSink()
	log, queue := startLog(sink, "json", false)
	log.Info("first")
	sink.await(t)
	const lines = 3000 // of 1 KiB: three times the queue
	for i := range lines {
		log.Info("more", "i", i, "filler", strings.Repeat("x", 1<<10))
	}
	if n := cap(queue.pending); n > 2*logQueueSize {
		t.Errorf("%d bytes are queued, want about %d at most", n, logQueueSize)
	}
	log.Info("short") // would fit, but must not come before lost lines
	lost := queue.dropped.Load()
	if lost < 2 {
		t.Fatal("nothing is lost: the queue has no bound")
	}
	close(sink.opened)
	mustClose(t, queue)
	got := strings.Split(strings.TrimSpace(sink.content.String()), "\n")
	if want := 1 + lines + 1 - int(lost) + 1; len(got) != want {
		t.Fatalf("%d lines were written, want %d: all but the %d lost ones, and one about them", len(got), want, lost)
	}
	var notice struct {
		Level string
		Lost  uint64
	}
	if err := json.Unmarshal([]byte(got[len(got)-1]), &notice); err != nil || notice.Lost != lost || notice.Level != "WARN" {
		t.Errorf("the last line is %s (%v), want a warning that %d are lost", got[len(got)-1], err, lost)
	}
	if !strings.Contains(got[len(got)-2], fmt.Sprintf(`"i":%d,`, lines-int(lost))) {
		t.Errorf("lines are missing before the one that tells it: %.60s", got[len(got)-2])
	}
}

// close ends after its timeout although the log is not read.
func TestLogCloseIsBounded(t *testing.T) {
	sink := newBlockedSink()
	log, queue := startLog(sink, "text", false)
	log.Info("x")
	sink.await(t)
	if err := queue.close(time.Millisecond); err == nil {
		t.Error("close returns no error, but a line is not written")
	}
	log.Info("late")
	if n := queue.dropped.Load(); n != 1 {
		t.Errorf("%d lines lost, want the one after the end", n)
	}
	close(sink.opened)
	mustClose(t, queue)
}

// Requests are answered while the log is not read.
func TestRequestsDoNotWaitForTheLog(t *testing.T) {
	sink := newBlockedSink()
	log, queue := startLog(sink, "text", true)
	composer := tusd.NewStoreComposer()
	composer.UseCore(storetest.NewMemory())
	handler, err := tusd.NewHandler(tusd.Config{StoreComposer: composer, Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	defer server.Close()
	longest := server.URL + "/" + strings.Repeat("x", 4<<10)
	for requests := 0; queue.dropped.Load() == 0; requests++ {
		answer, err := server.Client().Head(longest)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if requests > clientLogQueueSize/loglimit.Text {
			t.Fatalf("%d requests were logged, and no line is lost: the log is not full", requests)
		}
	}
	close(sink.opened)
	mustClose(t, queue)
}

// failingSink is a sink whose first writes fail.
type failingSink struct {
	failures int
	content  bytes.Buffer
}

func (f *failingSink) Write(p []byte) (int, error) {
	if f.failures > 0 {
		f.failures--
		return 0, errors.New("disk full")
	}
	return f.content.Write(p)
}

func TestLogSinkFails(t *testing.T) {
	sink := &failingSink{failures: 2} // of the line, and of the line about its loss
	log, queue := startLog(sink, "text", false)
	log.Info("first")
	for deadline := time.Now().Add(testTimeout); queue.dropped.Load() == 0; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the lost line is not counted")
		}
	}
	log.Info("second")
	mustClose(t, queue)
	written := sink.content.String()
	if strings.Contains(written, "first") || !strings.Contains(written, "second") || !strings.Contains(written, "lost=1") {
		t.Errorf("written: %s", written)
	}
}

// A line that is longer than the queue is lost, and delays no other line.
func TestLogLineTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var sink bytes.Buffer
		_, queue := startLog(&sink, "text", false)
		queue.put([]byte(strings.Repeat("x", logQueueSize)+"\n"), logSource{class: ownLines})
		synctest.Wait()
		if written := sink.String(); strings.Count(written, "\n") != 1 || !strings.Contains(written, "lost=1") {
			t.Errorf("written: %.200s", written)
		}
		mustClose(t, queue)
	})
}

// Every line is written or counted as lost, also with parallel writers and failing writes.
func TestLostLogLinesAreCounted(t *testing.T) {
	sink := &flakySink{}
	log, queue := startLog(sink, "text", false)
	var writers sync.WaitGroup
	const each, size = 2000, 2 << 10
	for range 4 {
		writers.Go(func() {
			for range each {
				log.Info(strings.Repeat("x", rand.IntN(size)))
			}
		})
	}
	writers.Wait()
	mustClose(t, queue)
	if got, want := sink.lines+int(queue.dropped.Load()), 4*each; got != want {
		t.Errorf("%d lines written and %d lost, want %d together", sink.lines, queue.dropped.Load(), want)
	}
}

// flakySink counts lines. Some of its writes fail.
type flakySink struct{ lines int }

func (m *flakySink) Write(p []byte) (int, error) {
	if bytes.Contains(p, []byte("lost=")) {
		return len(p), nil
	}
	if rand.IntN(4) == 0 {
		return 0, errors.New("not now")
	}
	m.lines += bytes.Count(p, []byte("\n"))
	return len(p), nil
}

// The queue adds no allocation to those of the handlers of slog.
func TestLogAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, format := range []string{"text", "json"} {
		plain := slog.New(newLogHandler(io.Discard, format, slog.LevelInfo))
		queued, queue := startLog(io.Discard, format, false)
		want, got := allocations(plain), allocations(queued)
		mustClose(t, queue)
		if got > want {
			t.Errorf("%s: %v allocations for a line, want the %v without a queue", format, got, want)
		}
	}
}

func allocations(log *slog.Logger) float64 {
	return testing.AllocsPerRun(1000, func() {
		log.LogAttrs(context.Background(), slog.LevelInfo, "request", slog.String("method", "PATCH"), slog.Int("status", 204), slog.Duration("dur", time.Second))
	})
}

// BenchmarkLog compares direct writes with queued lines, and reports how many queued
// lines share a write.
func BenchmarkLog(b *testing.B) {
	b.Run("direct", func(b *testing.B) {
		logInParallel(b, slog.New(newLogHandler(logFile(b), "text", slog.LevelInfo)))
	})
	b.Run("queued", func(b *testing.B) {
		sink := &writeCounter{Writer: logFile(b)}
		log, queue := startLog(sink, "text", false)
		logInParallel(b, log)
		if err := queue.close(testTimeout); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(float64(b.N)/float64(sink.writes), "lines/write")
		b.ReportMetric(float64(queue.dropped.Load())/float64(b.N), "lost/op")
	})
}

func logFile(b *testing.B) io.Writer {
	b.Helper()
	file, err := os.Create(filepath.Join(b.TempDir(), "log"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { file.Close() })
	return file
}

func logInParallel(b *testing.B, log *slog.Logger) {
	b.ReportAllocs()
	b.SetParallelism(16)
	b.RunParallel(func(next *testing.PB) {
		for next.Next() {
			log.LogAttrs(context.Background(), slog.LevelInfo, "request", slog.String("method", "PATCH"), slog.String("path", "/files/0123456789abcdef"),
				slog.Int("status", 204), slog.Int64("received", 4096), slog.Duration("dur", 389*time.Microsecond), slog.String("request_id", "0123456789abcdef"),
				slog.String("client", "127.0.0.1"))
		}
	})
}

// writeCounter counts the writes to a sink.
type writeCounter struct {
	io.Writer
	writes int
}

func (c *writeCounter) Write(p []byte) (int, error) {
	c.writes++
	return c.Writer.Write(p)
}

// plainPrefix finds the first byte that has to be escaped, at any position.
func TestPlainPrefix(t *testing.T) {
	for length := range 20 {
		line := []byte(strings.Repeat("~", length))
		if n := plainPrefix(line); n != length {
			t.Errorf("%q: %d", line, n)
		}
		for i := range line {
			for _, c := range []byte{0x7f, 0x80, 0xff} {
				line[i] = c
				if n := plainPrefix(line); n != i {
					t.Errorf("%q: %d, want %d", line, n, i)
				}
				line[i] = '~'
			}
			for _, c := range []string{"µ", "é", "日", "😀"} {
				line := string(line[:i]) + c + string(line[i:])
				if n := plainPrefix([]byte(line)); n != len(line) {
					t.Errorf("%q: %d, want %d", line, n, len(line))
				}
			}
			for _, c := range []string{"\u0085", "\u202e", "\U000e0001"} {
				line := string(line[:i]) + c + string(line[i:])
				if n := plainPrefix([]byte(line)); n != i {
					t.Errorf("%q: %d, want %d", line, n, i)
				}
			}
		}
	}
}

// Control characters of terminals are escaped in the log.
func TestLogIsPlainText(t *testing.T) {
	const given = "a\x1b[2J\u009b31m\x7f\u202e\u2028\U000e0001\xff日本é\\u0041\"\n"
	for _, format := range []string{"text", "json"} {
		var sink bytes.Buffer
		log, queue := startLog(&sink, format, false)
		log.Info(given, "path", given)
		mustClose(t, queue)
		line := sink.String()
		for _, bad := range []string{"\x1b", "\u009b", "\u202e", "\u2028", "\U000e0001", "\xff"} {
			if strings.Contains(line, bad) {
				t.Errorf("%s: %q has %q", format, line, bad)
			}
		}
		if strings.Count(line, "\n") != 1 || !strings.Contains(line, "日本é") {
			t.Errorf("%s: %q", format, line)
		}
		if format == jsonFormat {
			var read struct{ Msg, Path string }
			if err := json.Unmarshal([]byte(line), &read); err != nil || read.Path != strings.ToValidUTF8(given, "\ufffd") || read.Msg != read.Path {
				t.Errorf("%s is read as %q (%v)", line, read, err)
			}
		}
	}
}
