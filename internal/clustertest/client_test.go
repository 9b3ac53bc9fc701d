//go:build linux

package clustertest

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"time"

	"github.com/tus/tusd/internal/eventcheck"
	"github.com/tus/tusd/internal/faulttest"
	"github.com/tus/tusd/internal/tusclient"
)

// client makes one upload after another, as well as a client can: after a failure it asks
// for the offset, waits as long as the answer demands, and goes on. Its uploads depend on
// rand only.
type client struct {
	*tusclient.Client
	counts    *counts
	known     *known
	rand      *rand.Rand
	pace      int64           // bytes per second of the slowest upload
	longest   int64           // seconds that an upload takes at most, without faults
	pause     time.Duration   // the longest time between two uploads
	mayGoOn   context.Context // when it ends, the client is stuck
	comparing chan struct{}   // has space for each content that may be in memory
}

// work makes uploads until more ends, and calls failed with each one that fails.
func (c *client) work(more context.Context, failed func(error)) {
	for more.Err() == nil && c.mayGoOn.Err() == nil {
		if err := c.next(); err != nil {
			failed(err)
		}
		c.sleep(rand.N(c.pause))
	}
}

// next makes one upload of any kind.
func (c *client) next() error {
	switch n := c.rand.IntN(10); {
	case n < 4: // small, often empty
		return c.single(max(c.rand.Int64N(80<<10)-8<<10, 0), 64<<10)
	case n < 7: // several chunks
		return c.single(64<<10+c.rand.Int64N(1<<20), 32<<10+c.rand.Int64N(256<<10))
	case n < 8: // in S3: several parts
		return c.single(5<<20+c.rand.Int64N(6<<20), 1<<20+c.rand.Int64N(6<<20))
	default:
		return c.parallel()
	}
}

// newUpload plans an upload.
func (c *client) newUpload(length, chunk int64) *upload {
	seed := c.rand.Uint64()
	return &upload{
		content: faulttest.Content{{Seed: seed, Length: length}},
		rand:    rand.New(rand.NewPCG(seed, 1)),
		chunk:   chunk,
		rate:    max(c.pace<<c.rand.IntN(4), length/c.longest),
	}
}

// single makes one upload, compares its content, and terminates it.
func (c *client) single(length, chunk int64) error {
	u := c.newUpload(length, chunk)
	if err := c.upload(u); err != nil {
		return u.failed(err)
	}
	return c.end(u)
}

// parallel makes partials at the same time, and a final of them.
func (c *client) parallel() error {
	final := &upload{}
	var partials []*upload
	var uploading group
	for range 2 + c.rand.IntN(3) {
		length := c.rand.Int64N(1 << 20)
		if c.rand.IntN(4) == 0 {
			length += 5 << 20 // a final is made in another way of long partials
		}
		u := c.newUpload(length, 64<<10+c.rand.Int64N(2<<20))
		partials = append(partials, u)
		final.content = append(final.content, u.content...)
		own := *c
		own.rand = rand.New(rand.NewPCG(c.rand.Uint64(), 0))
		uploading.run(func() error {
			if err := own.upload(u, "Upload-Concat: partial"); err != nil {
				return u.failed(err)
			}
			return nil
		})
	}
	if err := uploading.wait(); err != nil {
		return err
	}
	if err := c.concatenate(final, partials); err != nil {
		return final.failed(err)
	}
	if err := c.end(final); err != nil {
		return err
	}
	for _, u := range partials {
		if err := c.terminate(u); err != nil {
			return u.failed(err)
		}
	}
	return nil
}

// upload creates an upload and sends its content.
func (c *client) upload(u *upload, header ...string) error {
	header = append(header, tusclient.LengthOf(u.content.Length()))
	if err := c.create(u, header...); err != nil {
		return err
	}
	if err := c.fill(u); err != nil {
		return err
	}
	c.counts.add(func() { c.counts.uploaded += u.content.Length() })
	return nil
}

// create sends a POST until it is answered with 201. It never sends another one after
// that.
func (c *client) create(u *upload, header ...string) error {
	var b backoff
	for {
		a, err := c.ask(u, "POST", func() (tusclient.Answer, error) { return c.Post(header...) })
		if err == nil && a.Status == http.StatusCreated {
			u.path = a.Path()
			c.known.note(u, eventcheck.Upload{})
			return nil
		}
		if err := c.retry(&b, "POST", a, err); err != nil {
			return err
		}
		c.counts.add(func() { c.counts.repeated++ })
	}
}

// fill sends the content, a chunk after another, until all of it is acknowledged.
func (c *client) fill(u *upload) error {
	var b backoff
	known := true // u.acknowledged is the offset
	for u.acknowledged < u.content.Length() {
		if !known {
			if err := c.head(u); err != nil {
				return err
			}
			known = true
			continue
		}
		before := u.acknowledged
		a, err := c.patch(u)
		switch {
		case err == errBrokenOff:
			known = false
		case err == nil && a.Status == http.StatusNoContent:
			if err := u.noteOffset(a.Offset()); err != nil {
				return fmt.Errorf("PATCH: %w", err)
			}
			if want := min(before+u.chunk, u.content.Length()); a.Offset() != want {
				return fmt.Errorf("PATCH is answered with offset %d, want %d", a.Offset(), want)
			}
		default:
			if err := c.retry(&b, "PATCH", a, err); err != nil {
				return err
			}
			known = false
		}
		if u.acknowledged > before {
			b = backoff{}
		}
	}
	c.known.note(u, eventcheck.Upload{Finished: true})
	return nil
}

// errBrokenOff is the error of a request that the client broke off.
var errBrokenOff = fmt.Errorf("broken off by the client")

// patch sends the next chunk. Sometimes it breaks off, so that the next request for the
// upload comes while another node still reads this one.
func (c *client) patch(u *upload) (tusclient.Answer, error) {
	chunk := u.content.Bytes(u.acknowledged, u.chunk)
	end := len(chunk)
	if u.rand.IntN(20) == 0 {
		end = u.rand.IntN(len(chunk) + 1)
	}
	breakOff := end < len(chunk)
	request := fmt.Sprintf("PATCH %d+%d", u.acknowledged, end)
	send := func() (tusclient.Answer, error) {
		r, err := c.OpenPatch(u.path, u.acknowledged, int64(len(chunk)))
		if err != nil {
			return tusclient.Answer{}, err
		}
		sent := make(chan int64, 1)
		go func() { sent <- c.send(r, chunk[:end], u.rate) }()
		n := int64(-1)
		select {
		case n = <-sent:
			if breakOff {
				r.Abort()
			}
		case <-r.Done(): // an answer before all is sent; it closes the connection
		}
		a, err := r.Answer()
		if n < 0 {
			n = <-sent
		}
		u.sent = max(u.sent, u.acknowledged+n)
		c.counts.add(func() { c.counts.sent += n })
		return a, err
	}
	if !breakOff {
		return c.ask(u, request, send)
	}
	began := time.Now()
	a, err := send()
	u.note(began, request+", broken off", a, err)
	c.counts.add(func() { c.counts.broken++ })
	return a, errBrokenOff
}

// send writes a body at a rate, until an answer comes, and returns how much it has written.
func (c *client) send(r *tusclient.OpenRequest, body []byte, rate int64) (sent int64) {
	const step = 16 << 10
	for len(body) > 0 {
		select {
		case <-r.Done():
			return sent
		default:
		}
		n, err := r.Write(body[:min(step, len(body))])
		sent += int64(n)
		body = body[n:]
		if err != nil {
			return sent
		}
		time.Sleep(time.Duration(n) * time.Second / time.Duration(rate))
	}
	return sent
}

// head asks for the offset until it is told.
func (c *client) head(u *upload) error {
	var b backoff
	for {
		a, err := c.ask(u, "HEAD", func() (tusclient.Answer, error) { return c.Head(u.path) })
		switch {
		case err == nil && a.Status == http.StatusOK && a.Offset() >= 0:
			if err := u.noteOffset(a.Offset()); err != nil {
				return fmt.Errorf("HEAD: %w", err)
			}
			return nil
		case err == nil && a.Status == http.StatusOK: // a final that is being built
			if err := c.sleep(b.next(a)); err != nil {
				return err
			}
		default:
			if err := c.retry(&b, "HEAD", a, err); err != nil {
				return err
			}
		}
	}
}

// concatenate makes a final upload and waits until it is built.
func (c *client) concatenate(final *upload, partials []*upload) error {
	header := "Upload-Concat: final;"
	for i, u := range partials {
		if i > 0 {
			header += " "
		}
		header += u.path
	}
	if err := c.create(final, header); err != nil {
		return err
	}
	final.sent = final.content.Length()
	if err := c.head(final); err != nil {
		return err
	}
	if final.acknowledged != final.content.Length() {
		return fmt.Errorf("the final has %d of %d bytes", final.acknowledged, final.content.Length())
	}
	c.known.note(final, eventcheck.Upload{Finished: true})
	return nil
}

// end downloads the upload, compares it and terminates it.
func (c *client) end(u *upload) error {
	if err := c.compare(u); err != nil {
		return u.failed(err)
	}
	if err := c.terminate(u); err != nil {
		return u.failed(err)
	}
	c.counts.add(func() { c.counts.complete++ })
	return nil
}

func (c *client) compare(u *upload) error {
	c.comparing <- struct{}{}
	defer func() { <-c.comparing }()
	var b backoff
	for {
		a, err := c.ask(u, "GET", func() (tusclient.Answer, error) { return c.Get(u.path) })
		if err == nil && a.Status == http.StatusOK {
			return u.content.Compare(bytes.NewReader(a.Body))
		}
		if err := c.retry(&b, "GET", a, err); err != nil {
			return err
		}
	}
}

// terminate removes the upload, which is complete. After a DELETE without an answer it may be
// gone.
func (c *client) terminate(u *upload) error {
	c.known.note(u, eventcheck.Upload{Finished: true, Removed: true})
	var b backoff
	for unanswered := false; ; {
		a, err := c.ask(u, "DELETE", func() (tusclient.Answer, error) { return c.Delete(u.path) })
		switch {
		case err == nil && a.Status == http.StatusNoContent:
			return nil
		case err == nil && unanswered && (a.Status == http.StatusNotFound || a.Status == http.StatusGone):
			return nil
		}
		if err := c.retry(&b, "DELETE", a, err); err != nil {
			return err
		}
		unanswered = unanswered || err != nil || a.Status >= 500
	}
}

// ask sends a request, and counts and notes its answer.
func (c *client) ask(u *upload, request string, send func() (tusclient.Answer, error)) (tusclient.Answer, error) {
	began := time.Now()
	a, err := send()
	u.note(began, request, a, err)
	method, _, _ := strings.Cut(request, " ")
	c.counts.answer(method, a, err)
	return a, err
}

// retry waits until the request may be sent again. It returns an error if it must not.
func (c *client) retry(b *backoff, method string, a tusclient.Answer, err error) error {
	if err := mayRetry(method, a, err); err != nil {
		return err
	}
	if stuck := c.sleep(b.next(a)); stuck != nil {
		return fmt.Errorf("%w: %s: %v, %v", stuck, method, a, err)
	}
	return nil
}

// sleep returns after d, or with errStuck if the client must not go on.
func (c *client) sleep(d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-c.mayGoOn.Done():
		return errStuck
	}
}
