//go:build linux

package faulttest

import (
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"fmt"
	"hash"
	"net/http"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// checksumMode is a way to send a checksum with a chunk.
type checksumMode struct {
	name     string
	hash     func() hash.Hash
	dialect  string // the mark
	header   []string
	line     string // the header line or trailer; %s is the checksum
	trailer  bool   // the line is a trailer
	mismatch int    // the status if the checksum is wrong
}

var checksumModes = []checksumMode{
	{name: "header", hash: sha256.New, dialect: tusclient.Version, header: []string{tusclient.OffsetStream},
		line: "Upload-Checksum: sha256 %s", mismatch: 460},
	{name: "trailer", hash: sha1.New, dialect: tusclient.Version, header: []string{tusclient.OffsetStream, "Trailer: Upload-Checksum"},
		line: "Upload-Checksum: sha1 %s", trailer: true, mismatch: 460},
	{name: "Content-Digest", hash: sha512.New, dialect: tusclient.Newest.Mark(),
		header: []string{"Content-Type: application/partial-upload", "Upload-Complete: ?0"},
		line:   "Content-Digest: sha-512=:%s:", mismatch: http.StatusBadRequest},
}

// lineFor returns the line for body.
func (mode checksumMode) lineFor(body []byte) string {
	sum := mode.hash()
	sum.Write(body)
	return fmt.Sprintf(mode.line, base64.StdEncoding.EncodeToString(sum.Sum(nil)))
}

// chunkRequest is a PATCH with a checksum whose body is being sent.
type chunkRequest struct {
	*tusclient.OpenRequest
	upload    *VerifiedUpload
	mode      checksumMode
	body      []byte
	checksum  string // the line
	corrupted bool   // the checksum is not that of body
	sent      int    // bytes of body that were sent
}

// openChunk sends the head of a chunk of n bytes.
func (u *VerifiedUpload) openChunk(c *tusclient.Client, mode checksumMode, n int64, header ...string) (*chunkRequest, error) {
	k := &chunkRequest{upload: u, mode: mode, body: u.Content.Bytes(u.offset(), n)}
	k.checksum = mode.lineFor(k.body)
	header = append(header, mode.dialect, fmt.Sprint("Upload-Offset: ", u.offset()))
	header = append(header, mode.header...)
	announced := int64(wire.Unknown)
	if !mode.trailer {
		header, announced = append(header, k.checksum), n
	}
	var err error
	k.OpenRequest, err = c.Open(http.MethodPatch, u.Path, announced, header...)
	return k, err
}

// sendPart sends n of the size bytes of a chunk, and waits until they are stored.
func (u *VerifiedUpload) sendPart(s server, mode checksumMode, size int64, n int) (*chunkRequest, error) {
	k, err := u.openChunk(s.Client, mode, size)
	if err == nil {
		err = k.send(n)
	}
	if err == nil {
		err = k.awaitStored(s.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("%d of %d bytes of a chunk: %w", n, size, err)
	}
	return k, nil
}

// corrupt changes a byte that is not sent yet.
func (k *chunkRequest) corrupt(i int) {
	k.body[i] ^= 1
	k.corrupted = true
}

// send sends the chunk up to its n-th byte.
func (k *chunkRequest) send(n int) error {
	from := k.sent
	k.sent = n
	_, err := k.Write(k.body[from:n])
	return err
}

// sendRest sends the rest of the chunk. It returns no error: a refused chunk cannot always
// be sent, and checkAnswer finds out.
func (k *chunkRequest) sendRest() {
	if k.send(max(k.sent, len(k.body)-1)) != nil {
		return
	}
	if !k.corrupted {
		k.upload.ends = append(k.upload.ends, k.upload.offset()+int64(len(k.body)))
	}
	if k.send(len(k.body)) != nil {
		return
	}
	if k.mode.trailer {
		k.CloseWrite(k.checksum)
	}
}

// checkAnswer waits for the answer and checks it.
func (k *chunkRequest) checkAnswer() error {
	answer, err := k.Answer()
	if err != nil {
		return err
	}
	if k.corrupted {
		return answer.Want("PATCH with a wrong checksum", k.mode.mismatch)
	}
	if err := answer.Want("PATCH with a checksum", http.StatusNoContent); err != nil {
		return err
	}
	if end := k.upload.offset() + int64(len(k.body)); answer.Offset() != end {
		return fmt.Errorf("PATCH with a checksum up to %d: %v", end, answer)
	}
	return k.upload.noteOffset(answer)
}

// awaitStored waits until the server has stored all bytes that were sent.
func (k *chunkRequest) awaitStored(dir string) error {
	if err := awaitSize(k.upload.fileName(dir, ""), k.upload.offset()+int64(k.sent)); err != nil {
		return err
	}
	return await("there is no undo record", func() (bool, error) { return k.upload.checkNoUndoRecord(dir) != nil, nil })
}
