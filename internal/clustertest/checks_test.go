//go:build linux

package clustertest

import (
	"errors"
	"math/rand/v2"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// The checks of this package can fail.

func TestOffsets(t *testing.T) {
	u := &upload{sent: 100}
	if err := errors.Join(u.noteOffset(40), u.noteOffset(40), u.noteOffset(100)); err != nil {
		t.Error(err)
	}
	if u.noteOffset(99) == nil {
		t.Error("an acknowledged byte was lost")
	}
	if u.noteOffset(101) == nil {
		t.Error("a byte was not sent")
	}
}

// answer makes an answer with Retry-After, or without it if after is "".
func answer(status int, after string) tusclient.Answer {
	a := tusclient.Answer{Response: wire.Response{Status: status, Header: make(http.Header)}}
	if after != "" {
		a.Header.Set("Retry-After", after)
	}
	return a
}

func TestRetries(t *testing.T) {
	for _, c := range []struct {
		method string
		answer tusclient.Answer
		err    error
		want   bool
	}{
		{"HEAD", tusclient.Answer{}, tusclient.ErrNoAnswer, true},
		{"HEAD", answer(423, "1"), nil, true},
		{"HEAD", answer(503, "1"), nil, false},
		{"HEAD", answer(404, ""), nil, false},
		{"PATCH", answer(503, "1"), nil, true},
		{"PATCH", answer(503, ""), nil, false},
		{"PATCH", answer(409, ""), nil, true},
		{"PATCH", answer(410, ""), nil, false},
		{"GET", answer(409, ""), nil, false},
		{"POST", answer(502, "1"), nil, true},
		{"POST", answer(400, ""), nil, false},
	} {
		if got := mayRetry(c.method, c.answer, c.err) == nil; got != c.want {
			t.Errorf("%s, %v, %v: retry %v, want %v", c.method, c.answer, c.err, got, c.want)
		}
	}
	var b backoff
	for i, want := range []time.Duration{firstDelay, 2 * firstDelay, 4 * firstDelay} {
		if got := b.next(tusclient.Answer{}); got < want || got > want*3/2 {
			t.Errorf("attempt %d after %v, want %v and up to half of it more", i, got, want)
		}
	}
	if got := b.next(answer(503, "7")); got < 7*time.Second {
		t.Errorf("the next attempt after %v, want at least the 7 s of the answer", got)
	}
}

func TestNumbers(t *testing.T) {
	for name, change := range map[string]func(*counts){
		"":                       func(*counts) {},
		"nothing measured":       func(c *counts) { c.quiet = nil },
		"four 423 in a hundred":  func(c *counts) { c.quiet["HEAD 423"] = 4 },
		"four 503 in a hundred":  func(c *counts) { c.quiet["POST 503"] = 4 },
		"four without an answer": func(c *counts) { c.quiet["GET no answer"] = 4 },
		"nothing is complete":    func(c *counts) { c.complete = 0 },
		"a fifth was sent twice": func(c *counts) { c.sent = c.uploaded * 6 / 5 },
	} {
		c := newCounts()
		c.measure(true)
		for range 99 {
			c.answer("HEAD", answer(200, ""), nil)
		}
		c.answer("HEAD", answer(423, ""), nil)
		c.sent, c.uploaded, c.complete = 1000, 1000, 1
		change(c)
		if err := c.check(1.1); (err != nil) != (name != "") {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestLogs(t *testing.T) {
	line := outageText + "\n"
	for log, want := range map[string]bool{
		"":                            false,
		line:                          true,
		strings.Repeat(line, 12):      true,
		strings.Repeat(line, 13):      false,
		line + "panic: runtime error": false,
	} {
		if err := (&node{cuts: 1, otherOutages: 1}).checkLog(log); (err == nil) != want {
			t.Errorf("%q: %v", log, err)
		}
	}
}

func TestPlan(t *testing.T) {
	plan := func(seed uint64, service bool) []fault {
		return newRound(rand.New(rand.NewPCG(seed, 0)), service, time.Second)
	}
	if a, b := plan(1, true), plan(1, true); !reflect.DeepEqual(a, b) {
		t.Errorf("one seed, two plans: %v, %v", a, b)
	}
	if a, b := plan(1, true), plan(2, true); reflect.DeepEqual(a, b) {
		t.Errorf("two seeds, one plan: %v", a)
	}
	if a, b := plan(1, true), plan(1, false); len(a) != len(faultKinds) || len(b) != len(a)-2 {
		t.Errorf("plans of %d and %d faults, want %d, and two less without a lock service", len(a), len(b), len(faultKinds))
	}
}
