//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tus/tusd/internal/eventcheck"
	"github.com/tus/tusd/internal/tusclient"
)

// hookLoad is a number of clients that make small uploads of every fate. They go on while
// their server is killed and started again, always on the same address.
type hookLoad struct {
	address string
	seed    uint64
	workers int
	total   int64 // how many uploads they make
	// agreed reports whether the pre-finish of an upload has succeeded; nil: there is none.
	agreed func(id string) bool

	begun   atomic.Int64 // uploads
	mu      sync.Mutex
	uploads map[string]eventcheck.Upload // by id
}

// run makes the uploads.
func (l *hookLoad) run() error {
	l.uploads = make(map[string]eventcheck.Upload)
	errs := make(chan error, l.workers)
	for i := range l.workers {
		c := &hookClient{Client: tusclient.New(l.address), load: l, rand: rand.New(rand.NewPCG(l.seed, uint64(i)))}
		c.Keep = true
		go func() { errs <- c.work() }()
	}
	var all error
	for range l.workers {
		all = errors.Join(all, <-errs)
	}
	return all
}

// note notes what a client knows of the upload at p.
func (l *hookLoad) note(p string, u eventcheck.Upload) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.uploads[path.Base(p)] = u
}

// hookClient is one client of a hookLoad.
type hookClient struct {
	*tusclient.Client
	load *hookLoad
	rand *rand.Rand
}

func (c *hookClient) work() error {
	defer c.Close()
	for c.load.begun.Add(1) <= c.load.total {
		if err := c.upload(); err != nil {
			c.load.begun.Add(c.load.total) // the others end, too
			return err
		}
	}
	return nil
}

// upload makes an upload of any fate.
func (c *hookClient) upload() error {
	switch n := c.rand.IntN(20); {
	case n < 2:
		return c.unfinished(0, n < 1)
	case n < 5:
		return c.unfinished(1+c.rand.Int64N(1000), n < 3)
	case n < 11:
		return c.finished(0, n < 7)
	case n < 16:
		return c.finished(c.rand.Int64N(3000), n < 13)
	case n < 18:
		return c.finished(3000, n < 17) // all of it at creation
	default:
		return c.parallel()
	}
}

// unfinished makes an upload and sends only some bytes.
func (c *hookClient) unfinished(sent int64, removed bool) error {
	p, err := c.create(5000, sent)
	if err != nil {
		return err
	}
	c.load.note(p, eventcheck.Upload{Removed: removed})
	if removed {
		return c.terminate(p)
	}
	return nil
}

// finished makes an upload with a part of its bytes, and sends the others.
func (c *hookClient) finished(first int64, removed bool) error {
	p, err := c.create(3000, first)
	if err == nil {
		err = c.fill(p, 3000)
	}
	if err != nil {
		return err
	}
	c.load.note(p, eventcheck.Upload{Finished: true, Removed: removed})
	if removed {
		return c.terminate(p)
	}
	return nil
}

// parallel makes two partial uploads and a final one of them. It terminates one of the three.
func (c *hookClient) parallel() error {
	var paths []string
	for range 2 {
		p, err := c.create(1000, c.rand.Int64N(1000), "Upload-Concat: partial")
		if err == nil {
			err = c.fill(p, 1000)
		}
		if err != nil {
			return err
		}
		paths = append(paths, p)
	}
	created, _, err := c.ask("POST of a final", func() (tusclient.Answer, error) { return c.Concat(paths...) }, http.StatusCreated)
	if err != nil {
		return err
	}
	paths = append(paths, created.Path())
	if _, err := c.offset(created.Path()); err != nil {
		return err
	}
	gone := c.rand.IntN(3)
	for i, p := range paths {
		c.load.note(p, eventcheck.Upload{Finished: true, Removed: i == gone})
	}
	return c.terminate(paths[gone])
}

// create makes an upload with its first bytes, and returns its path. If an answer is lost, it
// makes another one.
func (c *hookClient) create(length, first int64, header ...string) (string, error) {
	send := func() (tusclient.Answer, error) { return c.Create(length, header...) }
	if first > 0 {
		send = func() (tusclient.Answer, error) { return c.CreateWith(length, make([]byte, first), header...) }
	}
	created, _, err := c.ask("POST", send, http.StatusCreated)
	return created.Path(), err
}

// fill sends what is missing, and returns when the server says that it has all of it.
func (c *hookClient) fill(p string, length int64) error {
	for {
		offset, err := c.offset(p)
		if err != nil {
			return err
		}
		if offset == length {
			return c.checkAgreed(p)
		}
		n := length - offset
		if n > 1 && c.rand.IntN(3) == 0 {
			n = 1 + c.rand.Int64N(n)
		}
		a, err := c.Patch(p, offset, make([]byte, n))
		switch {
		case err == nil && a.Status == http.StatusNoContent && a.Offset() == length:
			return c.checkAgreed(p)
		case err == nil && a.Status != http.StatusNoContent && !a.Transient():
			return fmt.Errorf("PATCH %s at %d: %v", p, offset, a)
		}
	}
}

// offset returns the offset as HEAD shows it.
func (c *hookClient) offset(p string) (int64, error) {
	head, _, err := c.ask("HEAD "+p, func() (tusclient.Answer, error) {
		a, err := c.Head(p)
		if err == nil && a.Status == http.StatusOK && a.Offset() < 0 { // a final that is being built
			a.Status = http.StatusLocked
			a.Header.Set("Retry-After", "1")
		}
		return a, err
	}, http.StatusOK)
	return head.Offset(), err
}

// checkAgreed is called when an answer shows that an upload is complete.
func (c *hookClient) checkAgreed(p string) error {
	if c.load.agreed != nil && !c.load.agreed(path.Base(p)) {
		return fmt.Errorf("%s reads as complete before its pre-finish has succeeded", p)
	}
	return nil
}

// terminate removes an upload. After a request without an answer it may be gone.
func (c *hookClient) terminate(p string) error {
	a, unanswered, err := c.ask("DELETE "+p, func() (tusclient.Answer, error) { return c.Delete(p) },
		http.StatusNoContent, http.StatusNotFound, http.StatusGone)
	if err == nil && a.Status != http.StatusNoContent && !unanswered {
		return fmt.Errorf("DELETE %s: %v", p, a)
	}
	return err
}

// askLimit is how long a client repeats a request.
const askLimit = 4 * waitTimeout

// ask sends a request until it is answered with one of these statuses. It repeats the request
// if there is no answer, or a transient one, and reports whether an answer was lost, or was a 5xx.
func (c *hookClient) ask(what string, send func() (tusclient.Answer, error), statuses ...int) (a tusclient.Answer, lost bool, err error) {
	for deadline := time.Now().Add(askLimit); ; time.Sleep(20 * time.Millisecond) {
		a, err = send()
		for _, status := range statuses {
			if err == nil && a.Status == status {
				return a, lost, nil
			}
		}
		if err == nil && !a.Transient() {
			return a, lost, fmt.Errorf("%s: %v", what, a)
		}
		lost = lost || err != nil || a.Status >= 500
		if time.Now().After(deadline) {
			return a, lost, fmt.Errorf("%s: for %v nothing but %v, %v", what, askLimit, a, err)
		}
	}
}
