//go:build linux

package faulttest

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/tus/tusd/internal/tusclient"
)

// Promise is what a server has told about one upload, and thereby promised.
type Promise struct {
	Path    string // on the server, which may be another one by now
	Content Content
	Offset  int64 // the highest that an answer has shown
	// Ending tells that a DELETE was sent: without an answer the upload may
	// be gone. Gone tells that its 204 was seen.
	Ending, Gone bool
}

// Shown notes the offset of an answer.
func (p *Promise) Shown(a tusclient.Answer) {
	p.Offset = max(p.Offset, a.Offset())
}

// Complete reports whether the server has acknowledged all bytes.
func (p *Promise) Complete() bool { return p.Offset == p.Content.Length() }

// Survival says which promises a server has to have kept.
type Survival int

const (
	// AllPromises: every upload and offset that was shown, every removal.
	AllPromises Survival = iota
	// CompleteOnes: uploads that were complete. Others may be gone or shorter;
	// what is still shown of them is true.
	CompleteOnes
)

// Check holds a server to promises made in an earlier life: nothing that was
// acknowledged is lost, nothing removed has come back, no upload is locked or
// unusable, and every one can be completed and is identical then.
func (s Survival) Check(c *tusclient.Client, promises []*Promise) error {
	for _, p := range promises {
		if err := s.check(c, p); err != nil {
			return fmt.Errorf("%s (%d of %d bytes promised): %w", p.Path, p.Offset, p.Content.Length(), err)
		}
	}
	return nil
}

func (s Survival) check(c *tusclient.Client, p *Promise) error {
	head, err := headUntilAnswered(c, p.Path)
	if err != nil {
		return err
	}
	if p.Gone {
		return s.checkGone(head)
	}
	if head.Status == http.StatusNotFound && s.mayBeGone(p) {
		return nil
	}
	if err := head.Want("HEAD", http.StatusOK); err != nil {
		return err
	}
	if offset := head.Offset(); offset > p.Content.Length() || offset < p.Offset && s.bindsOffset(p) {
		return fmt.Errorf("HEAD shows offset %d", offset)
	}
	if err := resume(c, p, head.Offset()); err != nil {
		return err
	}
	return download(c, p)
}

func (s Survival) checkGone(head tusclient.Answer) error {
	if head.Status == http.StatusNotFound || head.Status == http.StatusGone || s == CompleteOnes {
		return nil
	}
	return fmt.Errorf("was removed, but has come back: %v", head)
}

func (s Survival) mayBeGone(p *Promise) bool {
	return p.Ending || s == CompleteOnes && !p.Complete()
}

func (s Survival) bindsOffset(p *Promise) bool {
	return s == AllPromises || p.Complete()
}

// resume sends what is missing behind offset, in two requests if it is enough
// for two.
func resume(c *tusclient.Client, p *Promise, offset int64) error {
	for length := p.Content.Length(); offset < length; {
		piece := p.Content.Piece(offset, (length-offset+1)/2)
		answer, err := c.Patch(p.Path, offset, piece)
		if err != nil {
			return fmt.Errorf("resume at %d: %w", offset, err)
		}
		if err := answer.Want(fmt.Sprint("resume at ", offset), http.StatusNoContent); err != nil {
			return err
		}
		if answer.Offset() != offset+int64(len(piece)) {
			return fmt.Errorf("resumed at %d with %d bytes: %v", offset, len(piece), answer)
		}
		p.Shown(answer)
		offset = answer.Offset()
	}
	return nil
}

func download(c *tusclient.Client, p *Promise) error {
	answer, err := c.Get(p.Path)
	if err != nil {
		return err
	}
	if err := answer.Want("GET", http.StatusOK); err != nil {
		return err
	}
	return p.Content.Compare(bytes.NewReader(answer.Body))
}
