package tusd

import "sync"

// inFlight makes work on one id happen once at a time. The zero value is
// ready to use.
type inFlight struct {
	mu  sync.Mutex
	ids map[string]chan struct{} // closed when the work is done; nil: nobody has asked
}

// enter claims id, and tells whether it was free.
func (f *inFlight) enter(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, taken := f.ids[id]; taken {
		return false
	}
	if f.ids == nil {
		f.ids = make(map[string]chan struct{})
	}
	f.ids[id] = nil
	return true
}

// leave gives id back, which enter had claimed.
func (f *inFlight) leave(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if done := f.ids[id]; done != nil {
		close(done)
	}
	delete(f.ids, id)
}

func (f *inFlight) busy(id string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, taken := f.ids[id]
	return taken
}

// len returns how many ids are claimed.
func (f *inFlight) len() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.ids)
}

// done returns a channel that is closed when the work on id ends, or nil if
// there is none.
func (f *inFlight) done(id string) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	done, taken := f.ids[id]
	if taken && done == nil {
		done = make(chan struct{})
		f.ids[id] = done
	}
	return done
}
