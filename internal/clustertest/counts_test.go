//go:build linux

package clustertest

import (
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"

	"github.com/tus/tusd/internal/tusclient"
)

// counts are the answers and bytes of all clients.
type counts struct {
	mu       sync.Mutex
	answers  map[string]int // by method and status
	quiet    map[string]int // the same, of the time that is measured
	measured bool           // now is that time
	sent     int64          // bytes of bodies
	uploaded int64          // bytes of complete uploads and partials
	complete int            // uploads that were complete and identical
	repeated int            // creations that were sent again, because they had no 201
	broken   int            // requests that the client broke off
}

func newCounts() *counts {
	return &counts{answers: make(map[string]int), quiet: make(map[string]int)}
}

// answer counts an answer, or that there was none.
func (c *counts) answer(method string, a tusclient.Answer, err error) {
	key := method + " no answer"
	if err == nil {
		key = fmt.Sprint(method, " ", a.Status)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answers[key]++
	if c.measured {
		c.quiet[key]++
	}
}

// measure begins or ends the time that is measured.
func (c *counts) measure(on bool) {
	c.add(func() { c.measured = on })
}

// add calls change while no other goroutine uses c.
func (c *counts) add(change func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	change()
}

// fewErrors are allowed also in a short run with few answers: one slow moment of the machine
// causes some.
const fewErrors = 3

// check checks the numbers of a whole run. For each byte uploaded, at most mostSent may have
// been sent.
func (c *counts) check(mostSent float64) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, failed := c.quietErrors()
	switch {
	case all == 0 || failed > max(all/100, fewErrors):
		return fmt.Errorf("without faults %d of %d answers are 5xx, 423 or none, want at most 1 in 100", failed, all)
	case c.complete == 0:
		return errors.New("no upload is complete")
	case float64(c.sent) > mostSent*float64(c.uploaded):
		return fmt.Errorf("%d bytes sent for %d bytes uploaded, want at most %v times as many", c.sent, c.uploaded, mostSent)
	}
	return nil
}

// quietErrors returns the answers of the measured time, and how many are errors of the
// server: 5xx, 423 or none. The caller holds c.mu.
func (c *counts) quietErrors() (all, failed int) {
	for key, n := range c.quiet {
		all += n
		status := key[strings.IndexByte(key, ' ')+1:]
		if status == "no answer" || status == fmt.Sprint(http.StatusLocked) || status[0] == '5' {
			failed += n
		}
	}
	return all, failed
}

func (c *counts) String() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	all, failed := c.quietErrors()
	return fmt.Sprintf("%d uploads complete, %d bytes of them and their partials, %.3f times as many bytes sent, %d creations repeated, %d requests broken off\n"+
		"\tanswers: %s\n\tmeasured without faults: %d errors of %d answers: %s",
		c.complete, c.uploaded, float64(c.sent)/float64(max(c.uploaded, 1)), c.repeated, c.broken, list(c.answers), failed, all, list(c.quiet))
}

func list(answers map[string]int) string {
	var text strings.Builder
	for i, key := range slices.Sorted(maps.Keys(answers)) {
		if i > 0 {
			text.WriteString(", ")
		}
		fmt.Fprintf(&text, "%s: %d", key, answers[key])
	}
	return text.String()
}
