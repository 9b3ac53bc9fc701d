//go:build linux

package faulttest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// Load is a number of clients that upload, concatenate and remove until their
// server dies under them.
type Load struct {
	Client  *tusclient.Client
	Seed    uint64
	Workers int
	Largest int64 // bytes of the longest content; 0: 4 MiB

	acknowledged atomic.Int64
	mu           sync.Mutex
	promises     []*Promise
}

// Run works until the server does not answer any more, which is no error, and
// returns what it had promised. An answer that is not allowed is an error.
func (l *Load) Run() ([]*Promise, error) {
	wrong := make(chan error, l.Workers)
	for i := range l.Workers {
		go func() { wrong <- l.work(uint64(i)) }()
	}
	var err error
	for range l.Workers {
		if e := <-wrong; e != nil {
			err = e
		}
	}
	return l.promises, err
}

// Acknowledged counts the bytes that the server has acknowledged.
func (l *Load) Acknowledged() int64 { return l.acknowledged.Load() }

// worker is one client of a Load.
type worker struct {
	load *Load
	*tusclient.Client
	rand *rand.Rand
}

// died is the end of a worker: its server did not answer.
type died struct{ error }

func (l *Load) work(n uint64) error {
	w := &worker{load: l, Client: l.Client, rand: rand.New(rand.NewPCG(l.Seed, n))}
	jobs := []func() error{w.upload, w.upload, w.uploadAtCreation, w.concatenate, w.terminate}
	for {
		err := jobs[w.rand.IntN(len(jobs))]()
		if _, ok := err.(died); ok {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// promise notes an upload that the server has acknowledged.
func (w *worker) promise(created tusclient.Answer, content Content) *Promise {
	p := &Promise{Path: created.Path(), Content: content}
	w.note(p, created)
	w.load.mu.Lock()
	defer w.load.mu.Unlock()
	w.load.promises = append(w.load.promises, p)
	return p
}

// note takes over the offset that an answer shows.
func (w *worker) note(p *Promise, answer tusclient.Answer) {
	before := p.Offset
	p.Shown(answer)
	w.load.acknowledged.Add(p.Offset - before)
}

// content makes up new content, most often small.
func (w *worker) content() Content {
	length := w.rand.Int64N(64 << 10)
	if w.rand.IntN(3) == 0 {
		length = w.rand.Int64N(cmp.Or(w.load.Largest, 4<<20))
	}
	return Content{{Seed: w.rand.Uint64(), Length: length}}
}

func (w *worker) upload() error {
	_, err := w.uploadNew(w.content())
	return err
}

// uploadNew makes an upload and fills it.
func (w *worker) uploadNew(content Content, header ...string) (*Promise, error) {
	created, err := w.Create(content.Length(), header...)
	if err := answered(created, err, "POST", http.StatusCreated); err != nil {
		return nil, err
	}
	p := w.promise(created, content)
	return p, w.fill(p, content.Length())
}

// fill uploads up to the byte end, in pieces of any size.
func (w *worker) fill(p *Promise, end int64) error {
	for p.Offset < end {
		piece := p.Content.Piece(p.Offset, 1+w.rand.Int64N(end-p.Offset))
		if err := w.append(p, piece); err != nil {
			return err
		}
		if w.rand.IntN(4) == 0 {
			if err := w.look(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// append sends one piece, with a length or in chunks.
func (w *worker) append(p *Promise, piece []byte) error {
	end := p.Offset + int64(len(piece))
	send := w.Patch
	if w.rand.IntN(2) == 0 {
		send = w.patchChunked
	}
	answer, err := send(p.Path, p.Offset, piece)
	if err := answered(answer, err, "PATCH", http.StatusNoContent); err != nil {
		return err
	}
	if answer.Offset() != end {
		return fmt.Errorf("PATCH %s up to %d: %v", p.Path, end, answer)
	}
	w.note(p, answer)
	return nil
}

func (w *worker) patchChunked(path string, offset int64, body []byte, header ...string) (tusclient.Answer, error) {
	running, err := w.OpenPatch(path, offset, wire.Unknown, header...)
	if err != nil {
		return tusclient.Answer{}, err
	}
	half := len(body) / 2
	go func() {
		running.Write(body[:half]) // if this fails, no answer comes, or one that is refused
		running.Write(body[half:])
		running.CloseWrite()
	}()
	return running.Answer()
}

// look asks for the offset, which no other client changes.
func (w *worker) look(p *Promise) error {
	answer, err := w.Head(p.Path)
	if err := answered(answer, err, "HEAD", http.StatusOK); err != nil {
		return err
	}
	if answer.Offset() != p.Offset {
		return fmt.Errorf("HEAD %s: %v, want offset %d", p.Path, answer, p.Offset)
	}
	return nil
}

func (w *worker) uploadAtCreation() error {
	content := w.content()
	first := content.Piece(0, w.rand.Int64N(content.Length()+1))
	created, err := w.CreateWith(content.Length(), first)
	if err := answered(created, err, "POST", http.StatusCreated); err != nil {
		return err
	}
	return w.fill(w.promise(created, content), content.Length())
}

func (w *worker) concatenate() error {
	var final Content
	var paths []string
	for range 1 + w.rand.IntN(3) {
		p, err := w.uploadNew(w.content(), "Upload-Concat: partial")
		if err != nil {
			return err
		}
		final = append(final, p.Content...)
		paths = append(paths, p.Path)
	}
	created, err := w.Concat(paths...)
	if err := answered(created, err, "POST of a final", http.StatusCreated); err != nil {
		return err
	}
	p := w.promise(created, final)
	head, err := headUntilAnswered(w.Client, p.Path)
	if err := answered(head, err, "HEAD of a final", http.StatusOK); err != nil {
		return err
	}
	w.note(p, head)
	return nil
}

func (w *worker) terminate() error {
	p, err := w.uploadNew(w.content())
	if err != nil {
		return err
	}
	p.Ending = true
	answer, err := w.Delete(p.Path)
	if err := answered(answer, err, "DELETE", http.StatusNoContent); err != nil {
		return err
	}
	p.Gone = true
	return nil
}

// answered tells a server that died (died) from one that hangs or answers
// wrongly.
func answered(answer tusclient.Answer, err error, what string, status int) error {
	if err != nil {
		return diedOr(fmt.Errorf("%s: %w", what, err))
	}
	return answer.Want(what, status)
}

// diedOr returns err, as died if it says that a server did not answer.
func diedOr(err error) error {
	if errors.Is(err, tusclient.ErrNoAnswer) && !errors.Is(err, wire.ErrTimeout) {
		return died{err}
	}
	return err
}
