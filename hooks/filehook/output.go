package filehook

import (
	"io"
	"os"
	"sync"
	"time"
)

const (
	// maxOutput limits what an executable may write to its standard output.
	maxOutput = 1 << 20
	// outputDelay is how long the output of an executable that has ended is awaited: processes
	// that it has started may keep it open.
	outputDelay = time.Second
	// maxDrained is how many outputs are read for such processes at the same time. Further ones
	// are closed, so that their writers fail.
	maxDrained = 64
)

// output collects what an executable writes, up to maxOutput bytes.
type output struct {
	pipe  *os.File
	ended chan struct{} // closed when all is read

	mu    sync.Mutex
	text  []byte
	full  bool
	taken bool // what follows is not needed
}

// newOutput returns the output at the other end of a pipe, which it reads in the background, and
// closes.
func newOutput(pipe *os.File) *output {
	o := &output{pipe: pipe, ended: make(chan struct{})}
	go func() {
		defer close(o.ended)
		defer pipe.Close()
		io.Copy(o, pipe)
	}()
	return o
}

// Write implements io.Writer for newOutput.
func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.full = o.full || len(o.text)+len(p) > maxOutput; !o.full && !o.taken {
		o.text = append(o.text, p...)
	}
	return len(p), nil
}

// takeOutput returns the output of an executable that has ended. Processes that it has started may
// go on writing.
func (h *Hook) takeOutput(o *output) (text []byte, full bool) {
	timer := time.NewTimer(outputDelay)
	defer timer.Stop()
	select {
	case <-o.ended:
	case <-timer.C:
		h.drain(o)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.taken = true
	return o.text, o.full
}

// drain lets an output be read until its end, if there are not too many of them.
func (h *Hook) drain(o *output) {
	if h.drained.Add(1) > maxDrained {
		o.pipe.Close()
	}
	go func() {
		<-o.ended
		h.drained.Add(-1)
	}()
}
