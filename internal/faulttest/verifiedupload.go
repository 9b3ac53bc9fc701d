//go:build linux

package faulttest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/tus/tusd/internal/tusclient"
)

// VerifiedUpload is an upload of deferred length, all of whose chunks have checksums. After
// a kill or a power cut its offset is the end of a chunk.
type VerifiedUpload struct {
	Path    string
	Content Content // more than is ever sent
	// ends are the offsets that the server may answer: first the acknowledged one, then
	// the ends of chunks that were sent in full and have no answer.
	ends []int64
}

// verifiedLength is the length of the content of a VerifiedUpload.
const verifiedLength = 1 << 30

// createVerified makes an upload with a first chunk.
func createVerified(c *tusclient.Client, seed uint64, first int64) (*VerifiedUpload, error) {
	u := &VerifiedUpload{Content: Content{{Seed: seed, Length: verifiedLength}}, ends: []int64{first}}
	body := u.Content.Bytes(0, first)
	created, err := c.PostWith(body, "Upload-Defer-Length: 1", checksumModes[0].lineFor(body))
	if err != nil {
		return nil, err
	}
	u.Path = created.Path()
	if err := created.Want("POST", http.StatusCreated); err != nil {
		return nil, err
	}
	return u, u.noteOffset(created)
}

// offset is the acknowledged offset.
func (u *VerifiedUpload) offset() int64 { return u.ends[0] }

// offsetKnown reports whether the server can answer only one offset.
func (u *VerifiedUpload) offsetKnown() bool { return len(u.ends) == 1 }

// noteOffset notes the offset of an answer. It must be the end of a chunk.
func (u *VerifiedUpload) noteOffset(a tusclient.Answer) error {
	if !slices.Contains(u.ends, a.Offset()) {
		return fmt.Errorf("%v: chunks end at %v", a, u.ends)
	}
	u.ends = []int64{a.Offset()}
	return nil
}

// append sends a chunk of n bytes.
func (u *VerifiedUpload) append(c *tusclient.Client, mode checksumMode, n int64, header ...string) error {
	k, err := u.openChunk(c, mode, n, header...)
	if err != nil {
		return err
	}
	k.sendRest()
	return k.checkAnswer()
}

// firstRequest is the first request for an upload after a restart of the server.
type firstRequest struct {
	name string
	send func(*VerifiedUpload, *tusclient.Client) error
}

var firstRequests = []firstRequest{
	{"HEAD", (*VerifiedUpload).head},
	{"GET", (*VerifiedUpload).get},
	{"PATCH", (*VerifiedUpload).patch},
}

func (u *VerifiedUpload) head(c *tusclient.Client) error {
	head, err := headUntilAnswered(c, u.Path)
	if err != nil {
		return err
	}
	if err := head.Want("HEAD", http.StatusOK); err != nil {
		return err
	}
	return u.noteOffset(head)
}

// get also sends a HEAD: a GET does not roll back.
func (u *VerifiedUpload) get(c *tusclient.Client) error {
	answer, err := c.Get(u.Path)
	if err != nil {
		return err
	}
	if err := answer.Want("GET of an incomplete upload", http.StatusConflict); err != nil {
		return err
	}
	return u.head(c)
}

// patch appends at the acknowledged offset. A server that has stored a chunk behind it
// answers with the right offset.
func (u *VerifiedUpload) patch(c *tusclient.Client) error {
	body := u.Content.Bytes(u.offset(), 1000)
	answer, err := c.Patch(u.Path, u.offset(), body, checksumModes[0].lineFor(body))
	if err != nil {
		return err
	}
	switch end := u.offset() + int64(len(body)); {
	case answer.Status == http.StatusNoContent && answer.Offset() == end:
		u.ends = []int64{end}
		return nil
	case answer.Status == http.StatusConflict && answer.Offset() != u.offset():
		return u.noteOffset(answer)
	}
	return fmt.Errorf("PATCH at %d: %v", u.offset(), answer)
}

// Check checks the upload after a kill or a power cut: all acknowledged chunks are stored,
// no part of a chunk is, and the upload can be continued.
func (u *VerifiedUpload) Check(s server, first firstRequest) error {
	ends := u.ends
	err := first.send(u, s.Client)
	if err == nil {
		err = errors.Join(u.checkNoUndoRecord(s.dir), u.checkData(s.dir))
	}
	if err == nil {
		err = u.append(s.Client, checksumModes[u.offset()%int64(len(checksumModes))], 3000)
	}
	if err == nil {
		err = u.checkData(s.dir)
	}
	if err != nil {
		return fmt.Errorf("%s (chunks ended at %v, first request %s): %w", u.Path, ends, first.name, err)
	}
	return nil
}

// fileName is the name of a file of the upload.
func (u *VerifiedUpload) fileName(dir, suffix string) string {
	return filepath.Join(dir, path.Base(u.Path)) + suffix
}

// checkNoUndoRecord checks that no undo record is left.
func (u *VerifiedUpload) checkNoUndoRecord(dir string) error {
	return checkRemoved(u.fileName(dir, ".undo"))
}

func checkRemoved(name string) error {
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s exists (%v)", name, err)
	}
	return nil
}

// checkData compares the data file with the acknowledged content.
func (u *VerifiedUpload) checkData(dir string) error {
	f, err := os.Open(u.fileName(dir, ""))
	if err != nil {
		return err
	}
	defer f.Close()
	return u.acknowledged().Compare(f)
}

// acknowledged is the acknowledged content.
func (u *VerifiedUpload) acknowledged() Content {
	return Content{{Seed: u.Content[0].Seed, Length: u.offset()}}
}

// Complete sends a last chunk that declares the length, and downloads the upload.
func (u *VerifiedUpload) Complete(c *tusclient.Client) error {
	const rest = 5000
	if err := u.append(c, checksumModes[0], rest, fmt.Sprint("Upload-Length: ", u.offset()+rest)); err != nil {
		return err
	}
	answer, err := c.Get(u.Path)
	if err != nil {
		return err
	}
	if err := answer.Want("GET", http.StatusOK); err != nil {
		return err
	}
	if got := answer.Header.Get(digestField); got != "" {
		if err := compareDigest(got, u.acknowledged()); err != nil {
			return fmt.Errorf("GET: %w", err)
		}
	}
	return u.acknowledged().Compare(bytes.NewReader(answer.Body))
}

// Terminate deletes the upload and checks that no file of it is left.
func (u *VerifiedUpload) Terminate(s server) error {
	answer, err := s.Delete(u.Path)
	if err != nil {
		return err
	}
	if err := answer.Want("DELETE "+u.Path, http.StatusNoContent); err != nil {
		return err
	}
	return errors.Join(checkRemoved(u.fileName(s.dir, "")), checkRemoved(u.fileName(s.dir, ".info")), checkRemoved(u.fileName(s.dir, ".undo")))
}

// interrupted reports whether a part of a chunk is stored.
func (u *VerifiedUpload) interrupted(dir string) bool {
	data, err := os.Stat(u.fileName(dir, ""))
	return err == nil && data.Size() > u.offset() && u.checkNoUndoRecord(dir) != nil
}
