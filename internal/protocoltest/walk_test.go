package protocoltest

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"
)

// The walk sends random requests and does the same to a model. After every step the server
// and the model must agree on every upload. TUSD_TEST_SEED repeats a walk.
func TestRandomWalk(t *testing.T) {
	run(t, []scenario{{"walk", "after any sequence of requests every upload is what the model says", randomWalk}})
}

// modelUpload is an upload of the model.
type modelUpload struct {
	target  string
	data    []byte
	length  int // -1: deferred
	partial bool
	final   bool
	gone    bool
}

func (m *modelUpload) complete() bool { return len(m.data) == m.length }

// missing returns how many bytes the upload can get in one step.
func (m *modelUpload) missing() int {
	const most = 5000
	if m.length < 0 {
		return most
	}
	return min(most, m.length-len(m.data))
}

// walk has the model: the uploads, and the source of random numbers.
type walk struct {
	*env
	random  *rand.Rand
	uploads []*modelUpload
}

func randomWalk(e *env) {
	seed := uint64(time.Now().UnixNano())
	if given, err := strconv.ParseUint(os.Getenv("TUSD_TEST_SEED"), 10, 64); err == nil {
		seed = given
	}
	e.Cleanup(func() {
		if e.Failed() {
			e.Logf("repeat with TUSD_TEST_SEED=%d", seed)
		}
	})
	w := &walk{env: e, random: rand.New(rand.NewPCG(seed, 0))}
	steps := []func(){w.create, w.create, w.append, w.append, w.append, w.append, w.cut, w.wrongOffset, w.declare, w.terminate, w.concat, w.restartNow}
	for range 150 {
		steps[w.random.IntN(len(steps))]()
		if e.Failed() {
			return
		}
	}
	w.checkAll()
}

// pick chooses an upload that satisfies fits, or nil.
func (w *walk) pick(fits func(*modelUpload) bool) *modelUpload {
	var candidates []*modelUpload
	for _, m := range w.uploads {
		if fits(m) {
			candidates = append(candidates, m)
		}
	}
	if len(candidates) == 0 {
		return nil
	}
	return candidates[w.random.IntN(len(candidates))]
}

func writable(m *modelUpload) bool { return !m.gone && !m.final && !m.complete() }

func (w *walk) bytes(n int) []byte {
	p := make([]byte, n)
	for i := range p {
		p[i] = byte(w.random.Uint32())
	}
	return p
}

func (w *walk) create() {
	m := &modelUpload{length: w.random.IntN(10_000), partial: w.random.IntN(2) == 0}
	header := []string{"Upload-Length: " + strconv.Itoa(m.length)}
	if w.random.IntN(3) == 0 {
		m.length, header = -1, []string{"Upload-Defer-Length: 1"}
	}
	if m.partial {
		header = append(header, "Upload-Concat: partial")
	}
	if w.random.IntN(2) == 0 {
		m.data = w.bytes(w.random.IntN(m.missing() + 1))
		m.target = w.postWith(m.data, header...).status(201).header("Upload-Offset", strconv.Itoa(len(m.data))).location()
	} else {
		m.target = w.post(header...).status(201).location()
	}
	w.uploads = append(w.uploads, m)
}

func (w *walk) append() {
	m := w.pick(writable)
	if m == nil {
		return
	}
	data := w.bytes(w.random.IntN(m.missing() + 1))
	var header []string
	if w.random.IntN(2) == 0 {
		header = []string{chunked}
	}
	w.patch(m.target, int64(len(m.data)), data, header...).status(204)
	m.data = append(m.data, data...)
}

// cut sends a part of a body and drops the connection. The bytes that were read are kept.
func (w *walk) cut() {
	m := w.pick(writable)
	if m == nil || m.missing() < 2 {
		return
	}
	data := w.bytes(1 + w.random.IntN(m.missing()-1))
	c := w.another()
	s := c.open(m.target, int64(len(m.data)), int64(len(data)+1))
	s.send(data)
	if err := s.Abort(); err != nil {
		w.Error(err)
	}
	c.drop()
	w.waitIdle()
	m.data = append(m.data, data...)
}

func (w *walk) wrongOffset() {
	m := w.pick(writable)
	if m == nil {
		return
	}
	offset := w.random.IntN(10_000)
	if offset == len(m.data) {
		offset++
	}
	w.patch(m.target, int64(offset), w.bytes(1)).status(409).header("Upload-Offset", strconv.Itoa(len(m.data)))
}

func (w *walk) declare() {
	m := w.pick(func(m *modelUpload) bool { return writable(m) && m.length < 0 })
	if m == nil {
		return
	}
	length := len(m.data) + w.random.IntN(3)*1000
	w.patch(m.target, int64(len(m.data)), nil, "Upload-Length: "+strconv.Itoa(length)).status(204)
	m.length = length
}

func (w *walk) terminate() {
	m := w.pick(func(m *modelUpload) bool { return !m.gone })
	if m == nil {
		return
	}
	w.client.terminate(m.target).status(204)
	m.gone = true
}

func (w *walk) concat() {
	ready := func(m *modelUpload) bool { return m.partial && !m.gone && m.complete() }
	a, b := w.pick(ready), w.pick(ready)
	if a == nil {
		return
	}
	// With other metadata it is another final than any before.
	own := "Upload-Metadata: n" + strconv.Itoa(len(w.uploads))
	m := &modelUpload{data: slices.Concat(a.data, b.data), length: a.length + b.length, final: true}
	m.target = w.postFinal(a.target+" "+b.target, own).status(201).location()
	w.uploads = append(w.uploads, m)
}

func (w *walk) restartNow() {
	w.restart()
	w.checkAll()
}

// checkAll compares the server with the model.
func (w *walk) checkAll() {
	for _, m := range w.uploads {
		if m.gone {
			w.head(m.target).status(404, 410)
			continue
		}
		a := w.head(m.target).status(200).header("Upload-Offset", strconv.Itoa(len(m.data)))
		if m.length < 0 {
			a.header("Upload-Defer-Length", "1").without("Upload-Length")
		} else {
			a.header("Upload-Length", strconv.Itoa(m.length)).without("Upload-Defer-Length")
		}
		w.wantStored(m.target, m.data)
	}
}
