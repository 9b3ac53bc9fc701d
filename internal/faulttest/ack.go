//go:build linux

package faulttest

import (
	"bytes"
	"fmt"
	"net/http"

	"github.com/tus/tusd/internal/tusclient"
)

// Ack is what a server has acknowledged about one upload.
type Ack struct {
	Path    string // of the upload, on this server and on those after it
	Content Content
	Offset  int64 // the highest in any answer
	// Deleting is set when a DELETE is sent: if it gets no answer, the upload may or may
	// not exist. Deleted is set when it is answered with 204.
	Deleting, Deleted bool
}

// NoteOffset notes the offset of an answer, if it is higher.
func (ack *Ack) NoteOffset(a tusclient.Answer) {
	ack.Offset = max(ack.Offset, a.Offset())
}

// Complete reports whether the server has acknowledged all bytes.
func (ack *Ack) Complete() bool { return ack.Offset == ack.Content.Length() }

// Guarantee is what must survive a kill or a power cut.
type Guarantee int

const (
	// EveryAck is every acknowledged upload, offset and termination.
	EveryAck Guarantee = iota
	// CompleteUploads is every complete upload. Others may be missing or shorter, but not
	// different.
	CompleteUploads
)

// Check checks acknowledgements of the servers before: no acknowledged byte is lost, no
// terminated upload exists, and every upload can be completed and then has its content.
func (g Guarantee) Check(c *tusclient.Client, acks []*Ack) error {
	for _, ack := range acks {
		if err := g.check(c, ack); err != nil {
			return fmt.Errorf("%s (%d of %d bytes acknowledged): %w", ack.Path, ack.Offset, ack.Content.Length(), err)
		}
	}
	return nil
}

func (g Guarantee) check(c *tusclient.Client, ack *Ack) error {
	head, err := headUntilAnswered(c, ack.Path)
	if err != nil {
		return err
	}
	if ack.Deleted {
		return g.checkDeleted(head)
	}
	if head.Status == http.StatusNotFound && g.mayBeMissing(ack) {
		return nil
	}
	if err := head.Want("HEAD", http.StatusOK); err != nil {
		return err
	}
	if offset := head.Offset(); offset > ack.Content.Length() || offset < ack.Offset && g.bindsOffset(ack) {
		return fmt.Errorf("HEAD shows offset %d", offset)
	}
	if err := resume(c, ack, head.Offset()); err != nil {
		return err
	}
	return download(c, ack)
}

func (g Guarantee) checkDeleted(head tusclient.Answer) error {
	if head.Status == http.StatusNotFound || head.Status == http.StatusGone || g == CompleteUploads {
		return nil
	}
	return fmt.Errorf("was terminated, but exists: %v", head)
}

func (g Guarantee) mayBeMissing(ack *Ack) bool {
	return ack.Deleting || g == CompleteUploads && !ack.Complete()
}

func (g Guarantee) bindsOffset(ack *Ack) bool {
	return g == EveryAck || ack.Complete()
}

// resume sends the content behind offset, half of the rest in each request.
func resume(c *tusclient.Client, ack *Ack, offset int64) error {
	for length := ack.Content.Length(); offset < length; {
		chunk := ack.Content.Bytes(offset, (length-offset+1)/2)
		answer, err := c.Patch(ack.Path, offset, chunk)
		if err != nil {
			return fmt.Errorf("resume at %d: %w", offset, err)
		}
		if err := answer.Want(fmt.Sprint("resume at ", offset), http.StatusNoContent); err != nil {
			return err
		}
		if answer.Offset() != offset+int64(len(chunk)) {
			return fmt.Errorf("resumed at %d with %d bytes: %v", offset, len(chunk), answer)
		}
		ack.NoteOffset(answer)
		offset = answer.Offset()
	}
	return nil
}

func download(c *tusclient.Client, ack *Ack) error {
	answer, err := c.Get(ack.Path)
	if err != nil {
		return err
	}
	if err := answer.Want("GET", http.StatusOK); err != nil {
		return err
	}
	return ack.Content.Compare(bytes.NewReader(answer.Body))
}
