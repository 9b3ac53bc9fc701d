package s3store

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/tus/tusd"
)

// conditions says which conditional writes the service supports.
type conditions struct {
	create  bool // If-None-Match: *
	replace bool // If-Match
}

// The limits of a probe: an operator who starts a server waits for it.
const (
	probeTimeout = 8 * time.Second // of a call
	probeTries   = 3
	staleProbe   = time.Hour       // age from which on the object of a probe is removed
	allowedSkew  = 5 * time.Minute // of the clocks; services refuse calls from 15 minutes on
)

// probe makes the cheapest calls that show whether a server can work, on an
// object of its own, which it removes afterwards: list, put, get, conditional
// puts, and a multipart upload that is begun and aborted. It stores no part. It
// finds out which conditions the service supports.
type probe struct {
	*bucket
	ctx       context.Context
	key       string
	etag      string // "": nothing is stored under key
	below     bool   // an object is stored below it
	multipart string
}

func (b *bucket) probe(ctx context.Context) error {
	p := &probe{bucket: b, ctx: ctx, key: b.prefix + probePrefix + rand.Text()}
	defer p.cleanUp()
	for _, step := range []struct {
		try     func() error
		failure string
	}{
		{p.tryList, "the bucket cannot be listed"},
		{p.tryPut, "no object can be stored"},
		{p.tryListed, "a stored object is not listed"},
		{p.tryGet, "no object can be read"},
		{p.tryConditions, "conditional writes cannot be probed"},
		{p.tryNesting, "it cannot be probed whether an object can be stored below another"},
		{p.tryMultipart, "a multipart upload cannot be begun and aborted"},
		{p.tryRemove, "no object can be removed"},
	} {
		if err := step.try(); err != nil {
			return fmt.Errorf("%s: %w", step.failure, p.withExplanation(err))
		}
	}
	return nil
}

// probeReading is probe without changes.
func (b *bucket) probeReading(ctx context.Context) error {
	p := &probe{bucket: b, ctx: ctx}
	_, err := probeCall(ctx, func(ctx context.Context) (*ObjectPage, error) {
		return b.client.ListObjects(ctx, ListObjects{Prefix: b.prefix, Max: 1})
	})
	if err != nil {
		return fmt.Errorf("the bucket cannot be listed: %w", p.withExplanation(err))
	}
	return nil
}

// withExplanation puts the usual cause in front of an error.
func (p *probe) withExplanation(err error) error {
	if sentence := ExplainPrefix(p.prefix, err); sentence != "" {
		return fmt.Errorf("%s: %w", sentence, err)
	}
	return withExplanation(err)
}

// probeCall makes a call, and repeats it if it failed transiently.
func probeCall[T any](ctx context.Context, call func(context.Context) (T, error)) (answer T, err error) {
	for try := 1; ; try++ {
		answer, err = probeOnce(ctx, call)
		if err == nil || !isTransient(err) || errors.Is(err, ErrNoCredentials) || try == probeTries || sleep(ctx, firstBackoff<<try) != nil {
			return answer, err
		}
	}
}

func probeOnce[T any](ctx context.Context, call func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	return call(ctx)
}

// tryList also removes the objects of probes that were killed.
func (p *probe) tryList() error {
	page, err := probeCall(p.ctx, func(ctx context.Context) (*ObjectPage, error) {
		return p.client.ListObjects(ctx, ListObjects{Prefix: p.prefix + probePrefix, Max: 100})
	})
	if err != nil {
		return err
	}
	for _, o := range page.Objects {
		if time.Since(o.Modified) > staleProbe {
			if err := p.client.DeleteObject(p.ctx, o.Key); err != nil {
				p.log.Warn("an object of an earlier probe cannot be removed", "key", o.Key, "err", err)
			}
		}
	}
	return nil
}

func (p *probe) put(in PutObject) (etag string, err error) {
	return probeCall(p.ctx, func(ctx context.Context) (string, error) {
		in.Key, in.Body = p.key, strings.NewReader("")
		return p.client.PutObject(ctx, in)
	})
}

func (p *probe) tryPut() (err error) {
	p.etag, err = p.put(PutObject{})
	return err
}

// tryListed checks that the object is listed under its key.
func (p *probe) tryListed() error {
	return CheckListed(p.ctx, p.prefix, p.key, func(in ListObjects) (*ObjectPage, error) {
		return probeCall(p.ctx, func(ctx context.Context) (*ObjectPage, error) {
			return p.client.ListObjects(ctx, in)
		})
	})
}

// tryGet also compares the clocks.
func (p *probe) tryGet() error {
	o, err := probeCall(p.ctx, func(ctx context.Context) (*Object, error) {
		o, err := p.client.GetObject(ctx, GetObject{Key: p.key})
		if err != nil {
			return nil, err
		}
		defer o.Body.Close()
		_, err = io.Copy(io.Discard, o.Body)
		return o, err
	})
	if err != nil {
		return err
	}
	if skew := time.Since(o.Modified).Round(time.Second); !o.Modified.IsZero() && skew.Abs() > allowedSkew {
		p.log.Warn("the clocks of this machine and of the service differ: from 15 minutes on it refuses all calls", "skew", skew)
	}
	return nil
}

// tryConditions makes conditional writes that must be refused: a service may
// not know a condition, or ignore it.
func (p *probe) tryConditions() (err error) {
	if p.profile.NoConditions {
		return nil
	}
	known := &p.bucket.conditions
	if known.create, err = p.refuses(PutObject{IfNoneMatch: true}); err != nil {
		return err
	}
	known.replace, err = p.refuses(PutObject{IfMatch: `"00000000000000000000000000000000"`})
	if err != nil || !known.replace {
		return err
	}
	if _, err := p.put(PutObject{IfMatch: p.etag}); err != nil { // the service understands the condition differently
		known.replace = false
	}
	return nil
}

// refuses reports whether a write is refused because of its condition.
func (p *probe) refuses(in PutObject) (bool, error) {
	_, err := p.put(in)
	switch {
	case isRefusedCondition(err):
		return true, nil
	case err == nil || hasStatus(err, http.StatusNotImplemented, http.StatusBadRequest):
		return false, nil
	}
	return false, err
}

// tryMultipart starts an upload with the attributes of data objects, because
// some need permissions of their own: tags and encryption keys.
func (p *probe) tryMultipart() error {
	attributes, err := p.rules.attributes(tusd.FileInfo{})
	if err != nil {
		return err
	}
	p.multipart, err = probeCall(p.ctx, func(ctx context.Context) (string, error) {
		return p.client.CreateMultipart(ctx, p.key, attributes)
	})
	if err != nil {
		return err
	}
	return p.abort(p.ctx)
}

func (p *probe) abort(ctx context.Context) error {
	_, err := probeCall(ctx, func(ctx context.Context) (nothing, error) {
		return nothing{}, p.client.AbortMultipart(ctx, p.key, p.multipart)
	})
	if err == nil || isMissing(err) { // the answer to an earlier call was lost
		p.multipart, err = "", nil
	}
	return err
}

func (p *probe) tryRemove() error { return p.remove(p.ctx) }

func (p *probe) remove(ctx context.Context) (err error) {
	if p.below {
		if err = p.removeKey(ctx, p.key+belowProbe); err != nil {
			return err
		}
		p.below = false
	}
	if err = p.removeKey(ctx, p.key); err == nil {
		p.etag = ""
	}
	return err
}

func (p *probe) removeKey(ctx context.Context, key string) error {
	_, err := probeCall(ctx, func(ctx context.Context) (nothing, error) {
		return nothing{}, p.client.DeleteObject(ctx, key)
	})
	return err
}

// cleanUp removes the objects that are left after a failure.
func (p *probe) cleanUp() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(p.ctx), probeTimeout)
	defer cancel()
	if p.multipart != "" {
		_ = p.abort(ctx) // the start fails with another error
	}
	if p.etag != "" {
		_ = p.remove(ctx)
	}
}
