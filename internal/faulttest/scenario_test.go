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

// scenarios are the ways in which a server makes a promise; each ends with the
// answer that does.
var scenarios = []struct {
	name string
	run  func(lab) ([]*Promise, error)
}{
	{"creation", lab.byCreation},
	{"creation with data", lab.byCreationWithData},
	{"data", lab.byPatch},
	{"completion", lab.byCompletion},
	{"concatenation", lab.byConcatenation},
	{"termination", lab.byTermination},
	{"termination of a complete upload", lab.byTerminationOfComplete},
	{"HEAD", lab.byHead},
	{"409", lab.byConflict},
	{"HEAD after a cut connection", lab.byHeadAfterCut},
}

// byAll runs all scenarios, one after the other.
func (l lab) byAll() (all []*Promise, err error) {
	for _, s := range scenarios {
		promises, err := s.run(l)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", s.name, err)
		}
		all = append(all, promises...)
	}
	return all, nil
}

// someContent is bigger than any buffer on the way and no multiple of a block.
func someContent(seed uint64) Content { return Content{{Seed: seed, Length: 3<<20 + 17}} }

// create makes an upload for content.
func create(c *tusclient.Client, content Content, header ...string) (*Promise, error) {
	created, err := c.Create(content.Length(), header...)
	if err != nil {
		return nil, err
	}
	return &Promise{Path: created.Path(), Content: content}, created.Want("POST", http.StatusCreated)
}

// patch sends n bytes.
func patch(c *tusclient.Client, p *Promise, n int64) error {
	answer, err := c.Patch(p.Path, p.Offset, p.Content.Piece(p.Offset, n))
	if err != nil {
		return err
	}
	p.Shown(answer)
	return answer.Want("PATCH", http.StatusNoContent)
}

func (l lab) byCreation() ([]*Promise, error) {
	p, err := create(l.Client, someContent(1), "Upload-Metadata: filename d29ybGQ=")
	return []*Promise{p}, err
}

func (l lab) byCreationWithData() ([]*Promise, error) {
	content := someContent(2)
	created, err := l.CreateWith(content.Length(), content.Piece(0, 1<<20))
	if err != nil {
		return nil, err
	}
	p := &Promise{Path: created.Path(), Content: content}
	p.Shown(created)
	return []*Promise{p}, created.Want("POST", http.StatusCreated)
}

// byPatch promises data of an upload that is surely on the disk itself.
func (l lab) byPatch() ([]*Promise, error) {
	p, err := l.created(3)
	if err != nil {
		return nil, err
	}
	return []*Promise{p}, patch(l.Client, p, 2<<20+5)
}

// created makes an upload whose record and names are surely on the disk.
func (l lab) created(seed uint64) (*Promise, error) {
	p, err := create(l.Client, someContent(seed))
	if err != nil {
		return nil, err
	}
	return p, SyncDisk(l.dir)
}

func (l lab) byCompletion() ([]*Promise, error) {
	return l.patched(4, someContent(4).Length())
}

func (l lab) patched(seed uint64, n int64, header ...string) ([]*Promise, error) {
	p, err := create(l.Client, someContent(seed), header...)
	if err != nil {
		return nil, err
	}
	return []*Promise{p}, patch(l.Client, p, n)
}

func (l lab) byConcatenation() ([]*Promise, error) {
	var promises []*Promise
	for seed := range uint64(2) {
		p, err := l.patched(50+seed, someContent(0).Length(), "Upload-Concat: partial")
		if err != nil {
			return nil, err
		}
		promises = append(promises, p...)
	}
	created, err := l.Concat(promises[0].Path, promises[1].Path)
	if err != nil {
		return nil, err
	}
	final := &Promise{Path: created.Path(), Content: slices.Concat(promises[0].Content, promises[1].Content)}
	final.Shown(created)
	return append(promises, final), created.Want("POST", http.StatusCreated)
}

func (l lab) byTermination() ([]*Promise, error) { return l.terminated(1 << 20) }

func (l lab) byTerminationOfComplete() ([]*Promise, error) {
	return l.terminated(someContent(6).Length())
}

// terminated removes an upload whose names are surely on the disk.
func (l lab) terminated(n int64) ([]*Promise, error) {
	promises, err := l.patched(6, n)
	if err != nil {
		return nil, err
	}
	if err := SyncDisk(l.dir); err != nil {
		return nil, err
	}
	answer, err := l.Delete(promises[0].Path)
	if err != nil {
		return nil, err
	}
	promises[0].Gone = true
	return promises, answer.Want("DELETE", http.StatusNoContent)
}

func (l lab) byHead() ([]*Promise, error) {
	return l.interrupted(7, false, func(p *Promise) (tusclient.Answer, error) { return l.Head(p.Path) })
}

func (l lab) byConflict() ([]*Promise, error) {
	return l.interrupted(8, false, func(p *Promise) (tusclient.Answer, error) {
		return l.Patch(p.Path, p.Content.Length(), nil)
	})
}

func (l lab) byHeadAfterCut() ([]*Promise, error) {
	return l.interrupted(9, true, func(p *Promise) (tusclient.Answer, error) { return headUntilAnswered(l.Client, p.Path) })
}

// interrupted sends pieces of PATCHes without their end, each time
// followed by ask, until an answer to that shows a new offset.
func (l lab) interrupted(seed uint64, cut bool, ask func(*Promise) (tusclient.Answer, error)) ([]*Promise, error) {
	p, err := l.created(seed)
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(waitTimeout); p.Offset == 0; {
		if time.Now().After(deadline) {
			return nil, errors.New("an interrupted PATCH leaves no bytes")
		}
		running, err := sendSome(l.Client, p)
		if err != nil {
			return nil, err
		}
		if cut {
			running.Abort()
		}
		answer, err := ask(p)
		running.Abort()
		if err != nil {
			return nil, err
		}
		p.Shown(answer)
	}
	return []*Promise{p}, nil
}

// sendSome begins a PATCH and sends half of the content.
func sendSome(c *tusclient.Client, p *Promise) (*tusclient.OpenRequest, error) {
	running, err := c.OpenPatch(p.Path, 0, wire.Unknown)
	if err != nil {
		return nil, err
	}
	_, err = running.Write(p.Content.Piece(0, p.Content.Length()/2))
	return running, err
}
