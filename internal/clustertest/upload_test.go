//go:build linux

package clustertest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tus/tusd/internal/faulttest"
	"github.com/tus/tusd/internal/tusclient"
)

// upload is what a client knows of one upload. One goroutine uses it.
type upload struct {
	path         string
	content      faulttest.Content
	chunk        int64      // bytes of a PATCH
	rate         int64      // bytes per second
	acknowledged int64      // the highest offset of any answer
	sent         int64      // the end of the furthest body
	rand         *rand.Rand // decides which requests the client breaks off
	history      []string
}

// historyLength is how many requests an error shows.
const historyLength = 40

// note adds a request and its answer to the history.
func (u *upload) note(began time.Time, request string, a tusclient.Answer, err error) {
	answer := fmt.Sprint(err)
	if err == nil {
		answer = fmt.Sprintf("%d, offset %d, by %s", a.Status, a.Offset(), a.Header.Get(nodeField))
		if a.Status >= 400 {
			answer += fmt.Sprintf(", %.200s", a.Body)
		}
	}
	u.history = append(u.history, fmt.Sprintf("%s +%v %s: %s", began.Format("15:04:05.000"), time.Since(began).Round(time.Millisecond), request, answer))
	if len(u.history) > historyLength {
		u.history = u.history[1:]
	}
}

// noteOffset checks the offset of an answer: nothing acknowledged is lost, and there are no
// bytes that the client has not sent.
func (u *upload) noteOffset(offset int64) error {
	if offset < u.acknowledged {
		return fmt.Errorf("offset %d, but %d was acknowledged", offset, u.acknowledged)
	}
	if offset > u.sent {
		return fmt.Errorf("offset %d, but only %d bytes were sent", offset, u.sent)
	}
	u.acknowledged = offset
	return nil
}

// failed adds to an error all that is known about the upload.
func (u *upload) failed(err error) error {
	return fmt.Errorf("upload %s of %d bytes: %w\n\t%s", u.path, u.content.Length(), err, strings.Join(u.history, "\n\t"))
}

// mayRetry returns nil if a good client sends the request again, or asks for the offset,
// after this answer: there is none, or it is transient, or it tells that the offset of a
// PATCH is wrong. Of HEAD it may only be 423: after another one tus-js-client begins again
// with a POST.
func mayRetry(method string, a tusclient.Answer, err error) error {
	again := a.Transient()
	switch method {
	case http.MethodPatch:
		again = again || a.Status == http.StatusConflict
	case http.MethodHead:
		again = a.Status == http.StatusLocked
	}
	if err != nil || again {
		return nil
	}
	return fmt.Errorf("%s: %v, after which a client gives up or begins again", method, a)
}

// errStuck is the error of a client that has not ended in time after the last fault.
var errStuck = errors.New("stuck")

// backoff is how long a client waits for its next attempt.
type backoff struct {
	attempts int // without progress
}

const (
	firstDelay = 100 * time.Millisecond
	maxDelay   = 3 * time.Second
)

// next returns the delay before the next attempt: twice the last one, at least what
// the answer demands, and up to half of it more.
func (b *backoff) next(a tusclient.Answer) time.Duration {
	delay := min(firstDelay<<min(b.attempts, 10), maxDelay)
	b.attempts++
	if seconds, err := time.ParseDuration(a.Header.Get("Retry-After") + "s"); err == nil {
		delay = max(delay, seconds)
	}
	return delay + rand.N(delay/2)
}

// group runs functions at the same time.
type group struct {
	running sync.WaitGroup
	mu      sync.Mutex
	err     error // the first one
}

func (g *group) run(do func() error) {
	g.running.Go(func() {
		if err := do(); err != nil {
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.err == nil {
				g.err = err
			}
		}
	})
}

func (g *group) wait() error {
	g.running.Wait()
	return g.err
}
