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

// How many bytes of lines may wait for the sink; as many again may be on their
// way to it. Lines about clients have a larger queue, of which each client gets
// a share.
const (
	logQueueSize       = 1 << 20
	clientLogQueueSize = 4 << 20
)

// logWriteInterval is the shortest time between two writes to the sink. A busy
// server writes many lines with one system call; a line after a pause is
// written at once.
const logWriteInterval = 5 * time.Millisecond

// lossInterval is the shortest time between two lines about losses.
const lossInterval = time.Second

// logClass is a class of lines, with a queue size of its own.
type logClass uint8

const (
	clientLines logClass = iota // lines about what a client did
	ownLines                    // warnings, errors, and lines that are about no client
	logClasses
)

// size returns how many bytes of lines of the class may wait.
func (r logClass) size() int {
	if r == clientLines {
		return clientLogQueueSize
	}
	return logQueueSize
}

// freePerShare makes a client's share a quarter of the free bytes.
const freePerShare = 4

// logSource is what a line is charged to.
type logSource struct {
	class  logClass
	shared bool         // the line has a client, which has a share
	client netip.Prefix // zero: a Unix socket
}

// logUse is what a source uses of the queue.
type logUse struct {
	bytes int
	lost  bool // a line was lost, and so are the next ones until the writer takes the queue
}

// logLosses counts lines that were lost and not reported yet.
type logLosses struct {
	lines     uint64
	overShare uint64 // of these: a client had more in the queue than its share
}

func (l *logLosses) add(other logLosses) {
	l.lines += other.lines
	l.overShare += other.overShare
}

// logQueue queues log lines and writes them to a sink in the background, all that are
// queued at a time, so that a slow or blocked sink never blocks a
// request. Lines that do not fit are lost; they are counted, and a later line
// reports them. Each put is one line. Safe for concurrent use.
//
// A client may use a quarter of the bytes that are free: a fifth of the queue if it is alone.
// So there is always space for a line of another client.
type logQueue struct {
	sink        io.Writer
	writeLosses func(logLosses) error // writes to sink that lines were lost

	mu      sync.Mutex
	changed sync.Cond // the writer has work
	pending []byte
	used    [logClasses]int       // bytes of pending
	full    [logClasses]bool      // a line did not fit
	uses    map[logSource]*logUse // by source
	missing logLosses             // lines lost beside pending
	overdue bool                  // the writer must report losses
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

// put queues a line. It never waits for the sink. After a line of a source was
// lost, all its lines are lost until the writer takes the queue: the written
// lines of a source have no gaps.
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
		use = new(logUse) // kept only if the line fits: there may be very many sources
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

// fits reports whether n bytes of a source fit. The caller holds mu.
func (q *logQueue) fits(n int, from logSource, use *logUse) bool {
	free := from.class.size() - q.used[from.class]
	if n > free {
		q.full[from.class] = true
	}
	over := from.shared && use.bytes+n > free/freePerShare
	return !q.full[from.class] && !use.lost && !over
}

// lose counts a lost line. The caller holds mu.
func (q *logQueue) lose(from logSource, use *logUse) {
	use.lost = true
	q.missing.lines++
	q.dropped.Add(1)
	if from.shared {
		q.missing.overShare++
		q.overShare.Add(1)
	}
}

// idle reports whether the writer has no work. The caller holds mu.
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

// remind makes the writer report losses although no line comes.
func (q *logQueue) remind() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.overdue = true
	q.changed.Signal()
}

// Larger buffers, after a flood of lines, are not used again.
const (
	keptBatch = 64 << 10 // bytes
	keptUses  = 256
)

// take waits for lines and takes them all, and leaves spare in their place.
// last means that no more will come.
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

// write writes batch and returns how many of its lines the sink refused.
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

// close writes the queued lines, within limit. Later lines are lost. It does
// not wait for a sink that is blocked.
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
