//go:build linux

package clustertest

import (
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

// quietErrors returns the answers of the measured time, and how many are errors of the
// server: 5xx, 423 or none.
func (c *counts) quietErrors() (all, failed int) {
	c.mu.Lock()
	defer c.mu.Unlock()
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
	return fmt.Sprintf("%d uploads complete, %d bytes of them and their partials, %d bytes sent, %d creations repeated, %d requests broken off\n\tanswers: %s\n\tmeasured without faults: %s",
		c.complete, c.uploaded, c.sent, c.repeated, c.broken, list(c.answers), list(c.quiet))
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
