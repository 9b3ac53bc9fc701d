package cli

import (
	"bytes"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"
)

// logQueueSize bounds the lines that wait for their sink, in bytes: some
// thousand. As many again may be on their way to it.
const logQueueSize = 1 << 20

// logPause is the least time between two writes to the sink. A line that comes
// after a while is written at once; a busy server writes many with one system
// call.
const logPause = 5 * time.Millisecond

// logQueue takes log lines and writes them to a sink in the background, as
// many at a time as there are, so that a sink which is slow or stands still
// never holds who logs. Lines that find no room are lost; that is counted, and
// told in the log where they are missing. Each Write is one line. Safe for
// concurrent use.
type logQueue struct {
	sink io.Writer
	tell func(lost uint64) error // writes to sink that lines were lost

	mu      sync.Mutex
	changed sync.Cond // there is something to do for the writer
	pending []byte
	missing uint64 // lines lost behind pending
	closed  bool

	dropped atomic.Uint64 // all lines that were ever lost
	done    chan struct{} // closed when the writer has ended
}

// newLogQueue starts a queue, which runs until close.
func newLogQueue(sink io.Writer, tell func(lost uint64) error) *logQueue {
	q := &logQueue{sink: sink, tell: tell, done: make(chan struct{})}
	q.changed.L = &q.mu
	go q.run()
	return q
}

// Write queues a line. It never waits for the sink and never fails. After one
// line was lost all are, until the writer comes: so it can tell where.
func (q *logQueue) Write(line []byte) (int, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		q.dropped.Add(1)
		return len(line), nil
	}
	if q.idle() {
		q.changed.Signal()
	}
	if q.missing > 0 || len(q.pending)+len(line) > logQueueSize {
		q.missing++
		q.dropped.Add(1)
	} else {
		q.pending = append(q.pending, line...)
	}
	return len(line), nil
}

// idle tells that the writer has nothing to do. The caller holds mu.
func (q *logQueue) idle() bool { return len(q.pending) == 0 && q.missing == 0 }

// run is the writer.
func (q *logQueue) run() {
	defer close(q.done)
	var batch []byte
	var lost uint64 // and not told yet
	for {
		var missing uint64
		batch, missing = q.take(batch)
		if len(batch) == 0 && missing == 0 {
			return
		}
		lost += q.write(batch) + missing
		if lost > 0 && q.tell(lost) == nil {
			lost = 0
		}
		time.Sleep(logPause)
	}
}

// keptBatch is how large a buffer may be to be used again: after a storm of
// lines the memory is given back.
const keptBatch = 64 << 10

// take waits for lines and takes them all, leaving spare in their place. It
// returns nothing only when the queue is closed and empty.
func (q *logQueue) take(spare []byte) (batch []byte, missing uint64) {
	if cap(spare) > keptBatch {
		spare = nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.idle() && !q.closed {
		q.changed.Wait()
	}
	batch, missing = q.pending, q.missing
	q.pending, q.missing = spare[:0], 0
	return batch, missing
}

// write passes batch on and returns how many of its lines the sink refused.
func (q *logQueue) write(batch []byte) (refused uint64) {
	n, err := q.sink.Write(batch)
	if err == nil {
		return 0
	}
	refused = uint64(bytes.Count(batch[n:], []byte("\n")))
	q.dropped.Add(refused)
	return refused
}

// close writes what is queued, for limit at most. Lines that come later are
// lost. A sink that stands still keeps the writer, which nobody waits for.
func (q *logQueue) close(limit time.Duration) error {
	q.mu.Lock()
	q.closed = true
	q.changed.Signal()
	q.mu.Unlock()
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-q.done:
		return nil
	case <-late.C:
		return errors.New("the last log lines could not be written in time")
	}
}
