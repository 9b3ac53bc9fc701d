//go:build linux

package faulttest

import (
	"bytes"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"io/fs"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// lab is a server with the directory of its uploads.
type lab struct {
	*tusclient.Client
	dir string
}

// Proven is an upload of deferred length that grows by chunks with checksums,
// and by nothing else: whatever breaks, it ends where one of them does.
type Proven struct {
	Path    string
	Content Content // more than is ever sent
	// ends are the offsets that the server may show: first the acknowledged
	// one, then those behind chunks that were sent whole, but not answered.
	ends []int64
}

// provenRoom is the length of a Proven's content.
const provenRoom = 1 << 30

// proof is a way to send a checksum with a chunk.
type proof struct {
	name    string
	hash    func() hash.Hash
	mark    string // of the dialect
	header  []string
	line    string // that has the checksum, with %s in its place
	late    bool   // in the trailer
	refused int    // the status of a mismatch
}

var proofs = []proof{
	{name: "header", hash: sha256.New, mark: tusclient.Version, header: []string{tusclient.OffsetStream},
		line: "Upload-Checksum: sha256 %s", refused: 460},
	{name: "trailer", hash: sha1.New, mark: tusclient.Version, header: []string{tusclient.OffsetStream, "Trailer: Upload-Checksum"},
		line: "Upload-Checksum: sha1 %s", late: true, refused: 460},
	{name: "Content-Digest", hash: sha512.New, mark: tusclient.Newest.Mark(),
		header: []string{"Content-Type: application/partial-upload", "Upload-Complete: ?0"},
		line:   "Content-Digest: sha-512=:%s:", refused: http.StatusBadRequest},
}

// over is the line with the checksum of body.
func (w proof) over(body []byte) string {
	sum := w.hash()
	sum.Write(body)
	return fmt.Sprintf(w.line, base64.StdEncoding.EncodeToString(sum.Sum(nil)))
}

// createProven makes an upload with its first chunk.
func createProven(c *tusclient.Client, seed uint64, first int64) (*Proven, error) {
	p := &Proven{Content: Content{{Seed: seed, Length: provenRoom}}, ends: []int64{first}}
	body := p.Content.Piece(0, first)
	created, err := c.PostWith(body, "Upload-Defer-Length: 1", proofs[0].over(body))
	if err != nil {
		return nil, err
	}
	p.Path = created.Path()
	if err := created.Want("POST", http.StatusCreated); err != nil {
		return nil, err
	}
	return p, p.shown(created)
}

// offset is the acknowledged one.
func (p *Proven) offset() int64 { return p.ends[0] }

// certain reports whether no other offset is possible.
func (p *Proven) certain() bool { return len(p.ends) == 1 }

// shown takes over the offset of an answer, which must be the end of a chunk.
func (p *Proven) shown(a tusclient.Answer) error {
	if !slices.Contains(p.ends, a.Offset()) {
		return fmt.Errorf("%v: chunks end at %v", a, p.ends)
	}
	p.ends = []int64{a.Offset()}
	return nil
}

// chunk is a PATCH with a checksum on its way.
type chunk struct {
	*tusclient.OpenRequest
	upload *Proven
	proof  proof
	body   []byte
	sum    string // the line
	wrong  bool   // body is not what sum was made of
	sent   int    // bytes of body
}

// begin starts a chunk of n bytes.
func (p *Proven) begin(c *tusclient.Client, w proof, n int64, header ...string) (*chunk, error) {
	k := &chunk{upload: p, proof: w, body: p.Content.Piece(p.offset(), n)}
	k.sum = w.over(k.body)
	header = append(header, w.mark, fmt.Sprint("Upload-Offset: ", p.offset()))
	header = append(header, w.header...)
	announced := int64(wire.Unknown)
	if !w.late {
		header, announced = append(header, k.sum), n
	}
	var err error
	k.OpenRequest, err = c.Open(http.MethodPatch, p.Path, announced, header...)
	return k, err
}

// beginPart starts a chunk of size bytes and sends n of them, until they are
// stored.
func (p *Proven) beginPart(l lab, w proof, size int64, n int) (*chunk, error) {
	k, err := p.begin(l.Client, w, size)
	if err == nil {
		err = k.send(n)
	}
	if err == nil {
		err = k.awaitArrival(l.dir)
	}
	if err != nil {
		return nil, fmt.Errorf("%d of %d bytes of a chunk: %w", n, size, err)
	}
	return k, nil
}

// spoil changes a byte that is still to be sent.
func (k *chunk) spoil(i int) {
	k.body[i] ^= 1
	k.wrong = true
}

// send sends the chunk up to its n-th byte.
func (k *chunk) send(n int) error {
	from := k.sent
	k.sent = n
	_, err := k.Write(k.body[from:n])
	return err
}

// finish sends the rest. The server may then have the chunk, or has refused
// it. That it could not be sent is an error only if there is no answer.
func (k *chunk) finish() {
	if k.send(max(k.sent, len(k.body)-1)) != nil {
		return
	}
	if !k.wrong {
		k.upload.ends = append(k.upload.ends, k.upload.offset()+int64(len(k.body)))
	}
	if k.send(len(k.body)) != nil {
		return
	}
	if k.proof.late {
		k.CloseWrite(k.sum)
	}
}

// answer waits for the answer to the chunk, and holds the server to it.
func (k *chunk) answer() error {
	answer, err := k.Answer()
	if err != nil {
		return err
	}
	if k.wrong {
		return answer.Want("PATCH with a wrong checksum", k.proof.refused)
	}
	if err := answer.Want("PATCH with a checksum", http.StatusNoContent); err != nil {
		return err
	}
	if end := k.upload.offset() + int64(len(k.body)); answer.Offset() != end {
		return fmt.Errorf("PATCH with a checksum up to %d: %v", end, answer)
	}
	return k.upload.shown(answer)
}

// append sends a chunk of n bytes.
func (p *Proven) append(c *tusclient.Client, w proof, n int64, header ...string) error {
	k, err := p.begin(c, w, n, header...)
	if err != nil {
		return err
	}
	k.finish()
	return k.answer()
}

// firstRequest is what a server is asked first about an upload in its next life.
type firstRequest struct {
	name string
	ask  func(*Proven, *tusclient.Client) error
}

var firstRequests = []firstRequest{
	{"HEAD", (*Proven).head},
	{"GET", (*Proven).get},
	{"PATCH", (*Proven).patch},
}

func (p *Proven) head(c *tusclient.Client) error {
	head, err := headUntilAnswered(c, p.Path)
	if err != nil {
		return err
	}
	if err := head.Want("HEAD", http.StatusOK); err != nil {
		return err
	}
	return p.shown(head)
}

// get is no request that changes an upload, so another one follows.
func (p *Proven) get(c *tusclient.Client) error {
	answer, err := c.Get(p.Path)
	if err != nil {
		return err
	}
	if err := answer.Want("GET of an incomplete upload", http.StatusConflict); err != nil {
		return err
	}
	return p.head(c)
}

// patch appends where the acknowledged bytes end. Where the server has a chunk
// beyond them it tells the right offset.
func (p *Proven) patch(c *tusclient.Client) error {
	body := p.Content.Piece(p.offset(), 1000)
	answer, err := c.Patch(p.Path, p.offset(), body, proofs[0].over(body))
	if err != nil {
		return err
	}
	switch end := p.offset() + int64(len(body)); {
	case answer.Status == http.StatusNoContent && answer.Offset() == end:
		p.ends = []int64{end}
		return nil
	case answer.Status == http.StatusConflict && answer.Offset() != p.offset():
		return p.shown(answer)
	}
	return fmt.Errorf("PATCH at %d: %v", p.offset(), answer)
}

// Check holds a server to the upload after it died: it has whole chunks, all
// that were acknowledged, no trace of another one, and can be gone on with.
func (p *Proven) Check(l lab, first firstRequest) error {
	ends := p.ends
	err := first.ask(p, l.Client)
	if err == nil {
		err = errors.Join(p.noMark(l.dir), p.stored(l.dir))
	}
	if err == nil {
		err = p.append(l.Client, proofs[p.offset()%int64(len(proofs))], 3000)
	}
	if err == nil {
		err = p.stored(l.dir)
	}
	if err != nil {
		return fmt.Errorf("%s (chunks ended at %v, first asked by %s): %w", p.Path, ends, first.name, err)
	}
	return nil
}

func (p *Proven) file(dir, suffix string) string {
	return filepath.Join(dir, path.Base(p.Path)) + suffix
}

// noMark checks that no rollback mark is left.
func (p *Proven) noMark(dir string) error { return gone(p.file(dir, ".undo")) }

func gone(name string) error {
	if _, err := os.Lstat(name); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is still there (%v)", name, err)
	}
	return nil
}

// stored compares the data file with the source.
func (p *Proven) stored(dir string) error {
	f, err := os.Open(p.file(dir, ""))
	if err != nil {
		return err
	}
	defer f.Close()
	return p.soFar().Compare(f)
}

// soFar is the acknowledged content.
func (p *Proven) soFar() Content {
	return Content{{Seed: p.Content[0].Seed, Length: p.offset()}}
}

// Complete sends a last chunk that declares the length, and downloads all.
func (p *Proven) Complete(c *tusclient.Client) error {
	const rest = 5000
	if err := p.append(c, proofs[0], rest, fmt.Sprint("Upload-Length: ", p.offset()+rest)); err != nil {
		return err
	}
	answer, err := c.Get(p.Path)
	if err != nil {
		return err
	}
	if err := answer.Want("GET", http.StatusOK); err != nil {
		return err
	}
	if got := answer.Header.Get(digestField); got != "" {
		if err := sameDigest(got, p.soFar()); err != nil {
			return fmt.Errorf("GET: %w", err)
		}
	}
	return p.soFar().Compare(bytes.NewReader(answer.Body))
}

// Remove deletes the upload, of which nothing may be left.
func (p *Proven) Remove(l lab) error {
	answer, err := l.Delete(p.Path)
	if err != nil {
		return err
	}
	if err := answer.Want("DELETE "+p.Path, http.StatusNoContent); err != nil {
		return err
	}
	return errors.Join(gone(p.file(l.dir, "")), gone(p.file(l.dir, ".info")), gone(p.file(l.dir, ".undo")))
}

// torn reports whether the server has died while it had a part of a chunk.
func (p *Proven) torn(dir string) bool {
	data, err := os.Stat(p.file(dir, ""))
	return err == nil && data.Size() > p.offset() && p.noMark(dir) != nil
}

// awaitArrival waits until the server has stored what was sent of the chunk.
func (k *chunk) awaitArrival(dir string) error {
	if err := awaitSize(k.upload.file(dir, ""), k.upload.offset()+int64(k.sent)); err != nil {
		return err
	}
	return await("no rollback mark", func() (bool, error) { return k.upload.noMark(dir) != nil, nil })
}
