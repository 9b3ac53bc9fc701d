// Package eventcheck is an HTTP endpoint for the hooks of built daemons. It fails often, and
// keeps what it has accepted, so that a test can compare that with what happened to the
// uploads.
//
//	endpoint.go  the endpoint
//	check.go     the comparison
package eventcheck

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"time"
)

// Call is a call that the endpoint has accepted.
type Call struct {
	Type  string
	Event struct {
		ID       string
		Sequence int
		Reason   string
		Upload   struct {
			ID                 string
			Size, Offset       int64
			IsPartial, IsFinal bool
		}
	}
	Time time.Time `json:"-"`
	// Answered is false if the connection was cut instead of an answer: the daemon does not
	// know that the call was accepted.
	Answered bool `json:"-"`
}

func (c Call) String() string {
	text := fmt.Sprintf("%s %s %d of %d bytes, event %s", c.Time.Format("15:04:05.000"), c.Type, c.Event.Upload.Offset, c.Event.Upload.Size, c.Event.ID)
	if !c.Answered {
		text += ", not answered"
	}
	return text
}

// Endpoint accepts two thirds of the calls, and fails the others. Safe for concurrent use.
type Endpoint struct {
	mu       sync.Mutex
	random   *rand.Rand
	accepted []Call // in order
	failed   int
	broken   error           // the first message that cannot be read
	agreed   map[string]bool // the uploads whose pre-finish was accepted and answered
}

// New returns an endpoint whose failures depend on seed.
func New(seed uint64) *Endpoint {
	return &Endpoint{random: rand.New(rand.NewPCG(seed, 0)), agreed: make(map[string]bool)}
}

// Serve takes calls at a URL of its own until stop is called. Afterwards nothing that was sent
// to that URL is accepted: a daemon that is killed has an endpoint of its own, so that none
// of its calls comes after those of the next daemon.
func (e *Endpoint) Serve() (url string, stop func()) {
	server := httptest.NewServer(e)
	return server.URL + "/hooks", server.Close
}

// outcome is what becomes of a call.
type outcome int

const (
	answered  outcome = iota // accepted
	cutAfter                 // accepted, but the connection is cut instead of the answer
	refused                  // answered with 500
	cutUnread                // the connection is cut before the body is read
	cutRead                  // and after it
)

// next chooses an outcome. A third are failures.
func (e *Endpoint) next() outcome {
	e.mu.Lock()
	defer e.mu.Unlock()
	if n := outcome(e.random.IntN(12)); n <= cutRead {
		return n
	}
	return answered
}

// ServeHTTP implements http.Handler.
func (e *Endpoint) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	what := e.next()
	if what == cutUnread {
		e.fail(w, what)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil { // the daemon was killed
		panic(http.ErrAbortHandler)
	}
	if what != answered && what != cutAfter {
		e.fail(w, what)
		return
	}
	e.accept(body, what == answered)
	if what == cutAfter {
		e.fail(w, what)
	}
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, "{}")
}

// fail counts a failure, and makes it.
func (e *Endpoint) fail(w http.ResponseWriter, what outcome) {
	e.mu.Lock()
	e.failed++
	e.mu.Unlock()
	if what != refused {
		panic(http.ErrAbortHandler)
	}
	w.WriteHeader(http.StatusInternalServerError)
}

// accept keeps a call, before it is answered.
func (e *Endpoint) accept(body []byte, answered bool) {
	c := Call{Time: time.Now(), Answered: answered}
	err := json.Unmarshal(body, &c)
	e.mu.Lock()
	defer e.mu.Unlock()
	if err != nil && e.broken == nil {
		e.broken = fmt.Errorf("a message cannot be read: %w: %.300q", err, body)
	}
	e.accepted = append(e.accepted, c)
	if c.Type == "pre-finish" && answered {
		e.agreed[c.Event.Upload.ID] = true
	}
}

// Agreed reports whether the pre-finish of an upload was accepted, and its answer sent.
func (e *Endpoint) Agreed(id string) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.agreed[id]
}

// String counts the calls.
func (e *Endpoint) String() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return fmt.Sprintf("%d calls accepted, %d failed", len(e.accepted), e.failed)
}
