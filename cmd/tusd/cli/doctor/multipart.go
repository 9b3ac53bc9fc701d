package doctor

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/tus/tusd/s3store"
)

// partShape says how the parts of an upload differ from equal parts with
// consecutive numbers.
type partShape struct {
	unequal bool // their sizes differ, apart from the last
	gaps    bool // their numbers have gaps
}

// parts returns three parts of the shape, the last of one byte.
func (s partShape) parts(least int64) []s3store.Part {
	parts := []s3store.Part{{Number: 1, Size: least}, {Number: 2, Size: least}, {Number: 3, Size: 1}}
	if s.unequal {
		parts[0].Size += 64 << 10
	}
	if s.gaps {
		parts[1].Number, parts[2].Number = 3, 7
	}
	return parts
}

func (s partShape) String() string {
	switch s {
	case partShape{unequal: true, gaps: true}:
		return "parts of several sizes, gaps in their numbers"
	case partShape{unequal: true}:
		return "parts of several sizes"
	case partShape{gaps: true}:
		return "gaps in the numbers of parts"
	}
	return "parts of one size"
}

// tryMultipart makes an object from parts as the store does with the profile.
// If the service refuses, it finds out which parts the service accepts.
func (c *checkup) tryMultipart() {
	subject := fmt.Sprintf("multipart uploads with parts of %d bytes", c.MinPart)
	wanted := partShape{unequal: !c.Profile.EqualParts, gaps: !c.Profile.NoGaps}
	err := c.assemble(c.key("multipart"), wanted)
	switch {
	case err == nil:
		c.report.OK(subject, wanted.String())
	case c.ctx.Err() != nil:
		return
	case !refusesParts(err):
		c.report.Missing(subject, explain(err))
		return
	default:
		c.diagnose(subject, wanted)
	}
	c.tryNumbers()
}

// refusesParts reports whether the service refuses the parts, or to complete an
// object from them.
func refusesParts(err error) bool {
	var answer *s3store.Error
	return errors.As(err, &answer) && (answer.Operation == "CompleteMultipartUpload" || answer.Operation == "UploadPart") &&
		answer.Status >= 400 && answer.Status < 500 && answer.Status != http.StatusForbidden
}

// diagnose reports which profile suits a service that refused parts.
func (c *checkup) diagnose(subject string, refused partShape) {
	plain := c.assemble(c.key("multipart"), partShape{})
	if c.ctx.Err() != nil {
		return
	}
	if plain != nil {
		c.report.Missing(subject, explain(plain)+"; if the service asks for larger parts, set -s3-min-part-size")
		return
	}
	var needs s3store.Profile
	if refused.unequal {
		needs.EqualParts = c.assemble(c.key("multipart-unequal"), partShape{unequal: true}) != nil
	}
	if refused.gaps {
		needs.NoGaps = c.assemble(c.key("multipart-gaps"), partShape{gaps: true}) != nil
	}
	if c.ctx.Err() == nil {
		c.report.Missing(subject, "the service refuses "+refused.String()+": set "+profileFor(needs))
	}
}

// assemble makes an object from parts.
func (c *checkup) assemble(key string, s partShape) error {
	multipart, err := c.begin(key)
	if err != nil {
		return err
	}
	parts := s.parts(c.MinPart)
	for i := range parts {
		if err := c.uploadPart(key, multipart, &parts[i]); err != nil {
			return err
		}
	}
	c.objects[key] = false
	err = c.try(0, func(ctx context.Context) error {
		_, err := c.Client.CompleteMultipart(ctx, key, multipart, parts)
		return err
	})
	if err == nil {
		delete(c.multiparts, multipart)
		c.objects[key] = true
	}
	return err
}

// begin begins a multipart upload. It does not end with ctx: without the answer
// the upload could not be aborted.
func (c *checkup) begin(key string) (multipart string, err error) {
	err = c.try(0, func(ctx context.Context) (err error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Timeout)
		defer cancel()
		multipart, err = c.Client.CreateMultipart(ctx, key, c.attributes())
		return err
	})
	if err == nil {
		c.multiparts[multipart] = key
	}
	return multipart, err
}

// uploadPart uploads a part of zeros and sets its ETag.
func (c *checkup) uploadPart(key, multipart string, part *s3store.Part) error {
	content := make([]byte, part.Size)
	return c.try(part.Size, func(ctx context.Context) (err error) {
		part.ETag, err = c.Client.UploadPart(ctx, s3store.UploadPart{
			Key: key, Multipart: multipart, Number: part.Number, Body: bytes.NewReader(content), Size: part.Size,
		})
		return err
	})
}

// tryNumbers uploads a part with the highest number that the store may use.
func (c *checkup) tryNumbers() {
	most := c.Profile.MaxParts
	if most == 0 {
		most = maxParts
	}
	subject := fmt.Sprintf("parts up to the number %d", most)
	key := c.key("numbers")
	multipart, err := c.begin(key)
	if err != nil {
		return // already reported, or it worked a moment ago
	}
	err = c.uploadPart(key, multipart, &s3store.Part{Number: most, Size: 1})
	if err == nil || c.ctx.Err() != nil || !refusesParts(err) {
		c.reportResult(subject, err)
		return
	}
	fewer := c.uploadPart(key, multipart, &s3store.Part{Number: fewParts, Size: 1})
	if fewer != nil || most <= fewParts {
		c.reportResult(subject, err)
		return
	}
	c.report.Missing(subject, "the service refuses them: set "+profileFor(s3store.Profile{MaxParts: fewParts}))
}

// The limits of part numbers of the profiles.
const (
	maxParts = 10_000
	fewParts = 1000
)

// profileFor returns the flag for a service with these needs.
func profileFor(needs s3store.Profile) string {
	for _, name := range []string{"aws", "r2", "scaleway", "b2", "generic"} {
		p, err := s3store.ProfileOf(name)
		if err == nil && (p.EqualParts || !needs.EqualParts) && (p.NoGaps || !needs.NoGaps) && (p.MaxParts != 0 || needs.MaxParts == 0) {
			return "-s3-profile " + name
		}
	}
	return "-s3-profile generic, which may not do, as no profile has all that this service needs"
}

// tryCopy copies a range of an object to a part, within the service.
func (c *checkup) tryCopy() {
	source, key := c.key("multipart"), c.key("copy")
	if !c.objects[source] {
		return
	}
	multipart, err := c.begin(key)
	if err != nil {
		return // already reported
	}
	err = c.try(0, func(ctx context.Context) error {
		_, err := c.Client.CopyPart(ctx, s3store.CopyPart{
			Key: key, Multipart: multipart, Number: 1, Source: source, Offset: 0, Size: c.MinPart,
		})
		return err
	})
	subject := "copy ranges of objects, to concatenate uploads"
	if err == nil || c.ctx.Err() != nil {
		c.reportResult(subject, err)
		return
	}
	c.report.Warn(subject, explain(err)+"; uploads with large partials cannot be concatenated (set -disable-concatenation)")
}

// tryAbort aborts an upload. Before, it lists the parts, which is needed for
// uploads of tusd v2.
func (c *checkup) tryAbort() {
	key := c.key("abort")
	multipart, err := c.begin(key)
	if err != nil {
		return // already reported
	}
	err = c.try(0, func(ctx context.Context) error {
		_, err := c.Client.ListParts(ctx, key, multipart, 0)
		return err
	})
	switch {
	case err == nil:
		c.report.OK("list parts", "")
	case c.ctx.Err() == nil:
		c.report.Warn("list parts", explain(err)+"; only uploads that tusd v2 has begun need it")
	}
	c.reportResult("abort multipart uploads", c.abort(key, multipart))
}

func (c *checkup) abort(key, multipart string) error {
	err := c.try(0, func(ctx context.Context) error { return c.Client.AbortMultipart(ctx, key, multipart) })
	var answer *s3store.Error
	if errors.As(err, &answer) && answer.Status == http.StatusNotFound {
		err = nil // completed after all, or aborted without an answer
	}
	if err == nil {
		delete(c.multiparts, multipart)
	}
	return err
}

// askLifecycle recommends a lifecycle rule if the bucket has none. It reports nothing if the
// service does not tell: nothing else needs that permission.
func (c *checkup) askLifecycle() {
	if c.AbortsMultipart == nil {
		return
	}
	var found bool
	err := c.try(0, func(ctx context.Context) (err error) {
		found, err = c.AbortsMultipart(ctx)
		return err
	})
	const subject = "lifecycle rule for abandoned multipart uploads"
	switch {
	case err != nil:
	case found:
		c.report.OK(subject, "")
	default:
		c.report.Warn(subject, "the bucket has none, so what abandoned uploads have stored is paid for until they are swept: add a rule with AbortIncompleteMultipartUpload and more days than your clients need")
	}
}
