package cli

import (
	"bytes"
	"errors"
	"io"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

// logQueueSize bounds the lines that wait for their sink, in bytes: some
// thousand. As many again may be on their way to it. Lines about clients have
// more, of which each client gets a share.
const (
	logQueueSize       = 1 << 20
	clientLogQueueSize = 4 << 20
)

// logWriteInterval is the least time between two writes to the sink. A line that comes
// after a while is written at once; a busy server writes many with one system
// call.
const logWriteInterval = 5 * time.Millisecond

// lossInterval is the least time between two lines about lost ones.
const lossInterval = time.Second

// logClass is a part of the queue that others cannot fill.
type logClass uint8

const (
	clientLines logClass = iota // lines about what a client did
	ownLines                    // warnings, errors, and lines that are about no client
	logClasses
)

// size returns how many bytes fit into the room.
func (r logClass) size() int {
	if r == clientLines {
		return clientLogQueueSize
	}
	return logQueueSize
}

// freePerShare makes a share a quarter of what is free.
const freePerShare = 4

// logSource is what a line is charged to.
type logSource struct {
	class  logClass
	shared bool         // it has a client, and so a share only
	client netip.Prefix // zero: a Unix socket
}

// logUse is what a source has in the queue.
type logUse struct {
	bytes int
	lost  bool // so are those that follow, until the writer comes
}

// logLosses are lines that were lost and not told yet.
type logLosses struct {
	lines     uint64
	overShare uint64 // of these: a client had more in the queue than its share
}

func (l *logLosses) add(other logLosses) {
	l.lines += other.lines
	l.overShare += other.overShare
}

// logQueue takes log lines and writes them to a sink in the background, as
// many at a time as there are, so that a sink which is slow or stands still
// never holds who logs. Lines that find no room are lost; that is counted, and
// told in the log behind them. Each put is one line. Safe for concurrent use.
//
// A client may have a quarter in its room of what it leaves free: alone a fifth
// of the room. So there is room for a line of another client, however many lines
// the first ones cause.
type logQueue struct {
	sink        io.Writer
	writeLosses func(logLosses) error // writes to sink that lines were lost

	mu      sync.Mutex
	changed sync.Cond // there is something to do for the writer
	pending []byte
	used    [logClasses]int       // bytes of pending
	full    [logClasses]bool      // a line found no room at all
	uses    map[logSource]*logUse // those of each source
	missing logLosses             // lines lost beside pending
	overdue bool                  // the writer has to tell of losses
	closed  bool

	dropped   atomic.Uint64 // all lines that were ever lost
	overShare atomic.Uint64 // of these, those over the share of a client
	done      chan struct{} // closed when the writer has ended
}

// newLogQueue starts a queue, which runs until close.
func newLogQueue(sink io.Writer, tell func(logLosses) error) *logQueue {
	q := &logQueue{sink: sink, writeLosses: tell, uses: make(map[logSource]*logUse), done: make(chan struct{})}
	q.changed.L = &q.mu
	go q.run()
	return q
}

// put queues a line. It never waits for the sink. After one line of a source was
// lost all of its are, until the writer comes: what is written of a source has
// no hole in it.
func (q *logQueue) put(line []byte, from logSource) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closed {
		q.dropped.Add(1)
		return
	}
	if q.idle() {
		q.changed.Signal()
	}
	use := q.uses[from]
	if use == nil {
		use = new(logUse) // remembered only if it gets room: there may be very many
	}
	if !q.fits(len(line), from, use) {
		q.lose(from, use)
		return
	}
	q.uses[from] = use
	q.pending = append(q.pending, line...)
	q.used[from.class] += len(line)
	use.bytes += len(line)
}

// fits reports whether n bytes of a source have room. The caller holds mu.
func (q *logQueue) fits(n int, from logSource, use *logUse) bool {
	free := from.class.size() - q.used[from.class]
	if n > free {
		q.full[from.class] = true
	}
	over := from.shared && use.bytes+n > free/freePerShare
	return !q.full[from.class] && !use.lost && !over
}

// lose counts a line. The caller holds mu.
func (q *logQueue) lose(from logSource, use *logUse) {
	use.lost = true
	q.missing.lines++
	q.dropped.Add(1)
	if from.shared {
		q.missing.overShare++
		q.overShare.Add(1)
	}
}

// idle reports whether the writer has nothing to do. The caller holds mu.
func (q *logQueue) idle() bool { return len(q.pending) == 0 && q.missing.lines == 0 && !q.overdue }

// run is the writer.
func (q *logQueue) run() {
	defer close(q.done)
	reminder := time.AfterFunc(lossInterval, q.remind)
	defer reminder.Stop()
	var batch []byte
	var untold logLosses
	var told time.Time
	for last := false; !last; {
		var missing logLosses
		batch, missing, last = q.take(batch)
		untold.add(missing)
		untold.lines += q.write(batch)
		if untold.lines > 0 && (last || time.Since(told) >= lossInterval) && q.writeLosses(untold) == nil {
			untold, told = logLosses{}, time.Now()
		}
		if untold.lines > 0 {
			reminder.Reset(lossInterval)
		}
		if !last {
			time.Sleep(logWriteInterval)
		}
	}
}

// remind has the writer tell of losses although no line comes.
func (q *logQueue) remind() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.overdue = true
	q.changed.Signal()
}

// What may be used again: after a storm of lines the memory is given back.
const (
	keptBatch = 64 << 10 // bytes
	keptUses  = 256
)

// take waits for lines and takes them all, leaving spare in their place. last
// reports that no more will come.
func (q *logQueue) take(spare []byte) (batch []byte, missing logLosses, last bool) {
	if cap(spare) > keptBatch {
		spare = nil
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.idle() && !q.closed {
		q.changed.Wait()
	}
	batch, missing = q.pending, q.missing
	q.pending, q.missing, q.overdue = spare[:0], logLosses{}, false
	q.used, q.full = [logClasses]int{}, [logClasses]bool{}
	if len(q.uses) > keptUses {
		q.uses = make(map[logSource]*logUse)
	}
	for _, use := range q.uses {
		*use = logUse{}
	}
	return batch, missing, q.closed
}

// write passes batch on and returns how many of its lines the sink refused.
func (q *logQueue) write(batch []byte) (refused uint64) {
	if len(batch) == 0 {
		return 0
	}
	n, err := q.sink.Write(batch)
	if err == nil {
		return 0
	}
	refused = uint64(bytes.Count(batch[n:], []byte("\n")))
	q.dropped.Add(refused)
	return refused
}

// close writes what is queued, for limit at most. Lines that come later are
// lost. A sink that stands still keeps the writer, which is not waited for.
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
