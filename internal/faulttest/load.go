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

// Load is a number of clients that upload, concatenate and terminate until their server is
// killed.
type Load struct {
	Client  *tusclient.Client
	Seed    uint64
	Workers int
	Largest int64 // bytes of the longest content; 0: 4 MiB

	acknowledged atomic.Int64
	mu           sync.Mutex
	acks         []*Ack
}

// Run sends requests until the server does not answer any more, which is no error, and
// returns what the server has acknowledged. An answer that is not allowed is an error.
func (l *Load) Run() ([]*Ack, error) {
	errs := make(chan error, l.Workers)
	for i := range l.Workers {
		go func() { errs <- l.work(uint64(i)) }()
	}
	var err error
	for range l.Workers {
		if e := <-errs; e != nil {
			err = e
		}
	}
	return l.acks, err
}

// Acknowledged counts the bytes that the server has acknowledged.
func (l *Load) Acknowledged() int64 { return l.acknowledged.Load() }

// worker is one client of a Load.
type worker struct {
	load *Load
	*tusclient.Client
	rand *rand.Rand
}

// noAnswer ends a worker: its server does not answer any more.
type noAnswer struct{ error }

func (l *Load) work(n uint64) error {
	w := &worker{load: l, Client: l.Client, rand: rand.New(rand.NewPCG(l.Seed, n))}
	jobs := []func() error{w.upload, w.upload, w.uploadAtCreation, w.concatenate, w.terminate}
	for {
		err := jobs[w.rand.IntN(len(jobs))]()
		if _, ok := err.(noAnswer); ok {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// acknowledged notes an upload that the server has acknowledged.
func (w *worker) acknowledged(created tusclient.Answer, content Content) *Ack {
	ack := &Ack{Path: created.Path(), Content: content}
	w.noteOffset(ack, created)
	w.load.mu.Lock()
	defer w.load.mu.Unlock()
	w.load.acks = append(w.load.acks, ack)
	return ack
}

// noteOffset notes the offset of an answer.
func (w *worker) noteOffset(ack *Ack, answer tusclient.Answer) {
	before := ack.Offset
	ack.NoteOffset(answer)
	w.load.acknowledged.Add(ack.Offset - before)
}

// content makes new content, mostly small.
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
func (w *worker) uploadNew(content Content, header ...string) (*Ack, error) {
	created, err := w.Create(content.Length(), header...)
	if err := checkAnswered(created, err, "POST", http.StatusCreated); err != nil {
		return nil, err
	}
	ack := w.acknowledged(created, content)
	return ack, w.fill(ack, content.Length())
}

// fill uploads until the offset is end, in chunks of any size.
func (w *worker) fill(ack *Ack, end int64) error {
	for ack.Offset < end {
		chunk := ack.Content.Bytes(ack.Offset, 1+w.rand.Int64N(end-ack.Offset))
		if err := w.append(ack, chunk); err != nil {
			return err
		}
		if w.rand.IntN(4) == 0 {
			if err := w.checkOffset(ack); err != nil {
				return err
			}
		}
	}
	return nil
}

// append sends one chunk, with Content-Length or chunked.
func (w *worker) append(ack *Ack, chunk []byte) error {
	end := ack.Offset + int64(len(chunk))
	send := w.Patch
	if w.rand.IntN(2) == 0 {
		send = w.patchChunked
	}
	answer, err := send(ack.Path, ack.Offset, chunk)
	if err := checkAnswered(answer, err, "PATCH", http.StatusNoContent); err != nil {
		return err
	}
	if answer.Offset() != end {
		return fmt.Errorf("PATCH %s up to %d: %v", ack.Path, end, answer)
	}
	w.noteOffset(ack, answer)
	return nil
}

func (w *worker) patchChunked(path string, offset int64, body []byte, header ...string) (tusclient.Answer, error) {
	running, err := w.OpenPatch(path, offset, wire.Unknown, header...)
	if err != nil {
		return tusclient.Answer{}, err
	}
	half := len(body) / 2
	go func() {
		running.Write(body[:half]) // if it fails, there is no answer or a refusal
		running.Write(body[half:])
		running.CloseWrite()
	}()
	return running.Answer()
}

// checkOffset compares the offset with the acknowledged one. No other client changes it.
func (w *worker) checkOffset(ack *Ack) error {
	answer, err := w.Head(ack.Path)
	if err := checkAnswered(answer, err, "HEAD", http.StatusOK); err != nil {
		return err
	}
	if answer.Offset() != ack.Offset {
		return fmt.Errorf("HEAD %s: %v, want offset %d", ack.Path, answer, ack.Offset)
	}
	return nil
}

func (w *worker) uploadAtCreation() error {
	content := w.content()
	first := content.Bytes(0, w.rand.Int64N(content.Length()+1))
	created, err := w.CreateWith(content.Length(), first)
	if err := checkAnswered(created, err, "POST", http.StatusCreated); err != nil {
		return err
	}
	return w.fill(w.acknowledged(created, content), content.Length())
}

func (w *worker) concatenate() error {
	var final Content
	var paths []string
	for range 1 + w.rand.IntN(3) {
		ack, err := w.uploadNew(w.content(), "Upload-Concat: partial")
		if err != nil {
			return err
		}
		final = append(final, ack.Content...)
		paths = append(paths, ack.Path)
	}
	created, err := w.Concat(paths...)
	if err := checkAnswered(created, err, "POST of a final", http.StatusCreated); err != nil {
		return err
	}
	ack := w.acknowledged(created, final)
	head, err := headUntilAnswered(w.Client, ack.Path)
	if err := checkAnswered(head, err, "HEAD of a final", http.StatusOK); err != nil {
		return err
	}
	w.noteOffset(ack, head)
	return nil
}

func (w *worker) terminate() error {
	ack, err := w.uploadNew(w.content())
	if err != nil {
		return err
	}
	ack.Deleting = true
	answer, err := w.Delete(ack.Path)
	if err := checkAnswered(answer, err, "DELETE", http.StatusNoContent); err != nil {
		return err
	}
	ack.Deleted = true
	return nil
}

// checkAnswered returns noAnswer if the server was killed, and another error if it hangs or
// has answered with another status.
func checkAnswered(answer tusclient.Answer, err error, what string, status int) error {
	if err != nil {
		return asNoAnswer(fmt.Errorf("%s: %w", what, err))
	}
	return answer.Want(what, status)
}

// asNoAnswer returns err, as noAnswer if the connection broke.
func asNoAnswer(err error) error {
	if errors.Is(err, tusclient.ErrNoAnswer) && !errors.Is(err, wire.ErrTimeout) {
		return noAnswer{err}
	}
	return err
}
