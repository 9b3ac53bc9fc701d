//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// acknowledgements are the kinds of answers that acknowledge something. run ends with such
// an answer.
var acknowledgements = []struct {
	name string
	run  func(server) ([]*Ack, error)
}{
	{"creation", server.byCreation},
	{"creation with data", server.byCreationWithData},
	{"data", server.byPatch},
	{"completion", server.byCompletion},
	{"concatenation", server.byConcatenation},
	{"termination", server.byTermination},
	{"termination of a complete upload", server.byTerminationOfComplete},
	{"HEAD", server.byHead},
	{"409", server.byConflict},
	{"HEAD after a cut connection", server.byHeadAfterCut},
}

// byAll runs all of them, one after another.
func (s server) byAll() (all []*Ack, err error) {
	for _, a := range acknowledgements {
		acks, err := a.run(s)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", a.name, err)
		}
		all = append(all, acks...)
	}
	return all, nil
}

// someContent is larger than any buffer, and no multiple of a block.
func someContent(seed uint64) Content { return Content{{Seed: seed, Length: 3<<20 + 17}} }

// create makes an upload of the length of content.
func create(c *tusclient.Client, content Content, header ...string) (*Ack, error) {
	created, err := c.Create(content.Length(), header...)
	if err != nil {
		return nil, err
	}
	return &Ack{Path: created.Path(), Content: content}, created.Want("POST", http.StatusCreated)
}

// patch sends the next n bytes.
func patch(c *tusclient.Client, ack *Ack, n int64) error {
	answer, err := c.Patch(ack.Path, ack.Offset, ack.Content.Bytes(ack.Offset, n))
	if err != nil {
		return err
	}
	ack.NoteOffset(answer)
	return answer.Want("PATCH", http.StatusNoContent)
}

func (s server) byCreation() ([]*Ack, error) {
	ack, err := create(s.Client, someContent(1), "Upload-Metadata: filename d29ybGQ=")
	return []*Ack{ack}, err
}

func (s server) byCreationWithData() ([]*Ack, error) {
	content := someContent(2)
	created, err := s.CreateWith(content.Length(), content.Bytes(0, 1<<20))
	if err != nil {
		return nil, err
	}
	ack := &Ack{Path: created.Path(), Content: content}
	ack.NoteOffset(created)
	return []*Ack{ack}, created.Want("POST", http.StatusCreated)
}

// byPatch gets data acknowledged of an upload whose record is on the disk.
func (s server) byPatch() ([]*Ack, error) {
	ack, err := s.created(3)
	if err != nil {
		return nil, err
	}
	return []*Ack{ack}, patch(s.Client, ack, 2<<20+5)
}

// created makes an upload, and syncs its record and the directory.
func (s server) created(seed uint64) (*Ack, error) {
	ack, err := create(s.Client, someContent(seed))
	if err != nil {
		return nil, err
	}
	return ack, SyncDisk(s.dir)
}

func (s server) byCompletion() ([]*Ack, error) {
	return s.patched(4, someContent(4).Length())
}

func (s server) patched(seed uint64, n int64, header ...string) ([]*Ack, error) {
	ack, err := create(s.Client, someContent(seed), header...)
	if err != nil {
		return nil, err
	}
	return []*Ack{ack}, patch(s.Client, ack, n)
}

func (s server) byConcatenation() ([]*Ack, error) {
	var acks []*Ack
	for seed := range uint64(2) {
		ack, err := s.patched(50+seed, someContent(0).Length(), "Upload-Concat: partial")
		if err != nil {
			return nil, err
		}
		acks = append(acks, ack...)
	}
	created, err := s.Concat(acks[0].Path, acks[1].Path)
	if err != nil {
		return nil, err
	}
	final := &Ack{Path: created.Path(), Content: slices.Concat(acks[0].Content, acks[1].Content)}
	final.NoteOffset(created)
	return append(acks, final), created.Want("POST", http.StatusCreated)
}

func (s server) byTermination() ([]*Ack, error) { return s.terminated(1 << 20) }

func (s server) byTerminationOfComplete() ([]*Ack, error) {
	return s.terminated(someContent(6).Length())
}

// terminated terminates an upload whose files are on the disk.
func (s server) terminated(n int64) ([]*Ack, error) {
	acks, err := s.patched(6, n)
	if err != nil {
		return nil, err
	}
	if err := SyncDisk(s.dir); err != nil {
		return nil, err
	}
	answer, err := s.Delete(acks[0].Path)
	if err != nil {
		return nil, err
	}
	acks[0].Deleted = true
	return acks, answer.Want("DELETE", http.StatusNoContent)
}

func (s server) byHead() ([]*Ack, error) {
	return s.interrupted(7, false, func(ack *Ack) (tusclient.Answer, error) { return s.Head(ack.Path) })
}

func (s server) byConflict() ([]*Ack, error) {
	return s.interrupted(8, false, func(ack *Ack) (tusclient.Answer, error) {
		return s.Patch(ack.Path, ack.Content.Length(), nil)
	})
}

func (s server) byHeadAfterCut() ([]*Ack, error) {
	return s.interrupted(9, true, func(ack *Ack) (tusclient.Answer, error) { return headUntilAnswered(s.Client, ack.Path) })
}

// interrupted sends a part of a PATCH and then the request of ask, until the answer has a
// new offset.
func (s server) interrupted(seed uint64, cut bool, ask func(*Ack) (tusclient.Answer, error)) ([]*Ack, error) {
	ack, err := s.created(seed)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(waitTimeout); ack.Offset == 0; {
		if time.Now().After(deadline) {
			return nil, errors.New("an interrupted PATCH leaves no bytes")
		}
		running, err := sendHalf(s.Client, ack)
		if err != nil {
			return nil, err
		}
		if cut {
			running.Abort()
		}
		answer, err := ask(ack)
		running.Abort()
		if err != nil {
			return nil, err
		}
		ack.NoteOffset(answer)
	}
	return []*Ack{ack}, nil
}

// sendHalf opens a PATCH and sends half of the content.
func sendHalf(c *tusclient.Client, ack *Ack) (*tusclient.OpenRequest, error) {
	running, err := c.OpenPatch(ack.Path, 0, wire.Unknown)
	if err != nil {
		return nil, err
	}
	_, err = running.Write(ack.Content.Bytes(0, ack.Content.Length()/2))
	return running, err
}
