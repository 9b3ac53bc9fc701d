package cli

import (
	"fmt"
	"io"
	"os"
	"sync"
	"time"
)

// progress shows how far a long command is, in one line of a terminal that it replaces. It
// shows nothing elsewhere. Safe for concurrent use.
type progress struct {
	terminal io.Writer // nil: stderr is none

	mu    sync.Mutex
	shown bool
	last  time.Time
}

// progressInterval is the time between two changes of the line.
const progressInterval = 200 * time.Millisecond

func newProgress(stderr io.Writer) *progress {
	p := new(progress)
	if isTerminal(stderr) {
		p.terminal = stderr
	}
	return p
}

// isTerminal reports whether a person may read what is written to w.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// show replaces the line, at most every progressInterval.
func (p *progress) show(format string, args ...any) {
	if p.terminal == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := time.Now(); now.Sub(p.last) >= progressInterval {
		p.last, p.shown = now, true
		fmt.Fprintf(p.terminal, "\r\x1b[K"+format, args...)
	}
}

// clear removes the line, before other output.
func (p *progress) clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.shown {
		p.shown = false
		io.WriteString(p.terminal, "\r\x1b[K")
	}
}

// around returns a writer that removes the line before it writes to w.
func (p *progress) around(w io.Writer) io.Writer { return clearingWriter{p, w} }

type clearingWriter struct {
	progress *progress
	w        io.Writer
}

func (c clearingWriter) Write(b []byte) (int, error) {
	c.progress.clear()
	return c.w.Write(b)
}
