package doctor

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/tus/tusd/s3store"
)

// Bucket is a bucket for uploads.
type Bucket struct {
	Client  s3store.Client
	Prefix  string // of all keys, with the / at its end
	Profile s3store.Profile
	MinPart int64 // bytes of a part that is not the last
	Object  s3store.ObjectRules

	// AbortsMultipart reports whether a lifecycle rule of the bucket aborts abandoned
	// multipart uploads below Prefix. An error means that it is not known. nil: it is not asked for.
	AbortsMultipart func(ctx context.Context) (bool, error)

	RedirectDownloads time.Duration // 0: downloads go through the server
	HTTP              *http.Client  // follows such a redirect
	Timeout           time.Duration // of a call, beside a second for each MiB; 0: 15 s
}

// doctorPrefix begins the keys of a doctor's objects, behind the prefix of the
// bucket.
const doctorPrefix = ".tusd.d/doctor/"

// checkup is one examination of a bucket. It records what it has made.
type checkup struct {
	Bucket
	ctx        context.Context
	report     *Report
	base       string            // of its keys
	objects    map[string]bool   // by key; false: it may exist, because an answer may be lost
	multiparts map[string]string // key by id
}

// Examine tries each kind of call that the store makes, until ctx ends.
// Afterwards, also if ctx has ended, it removes everything that it has made; it
// reports what it cannot remove.
func (b Bucket) Examine(ctx context.Context, report *Report) {
	if b.Timeout == 0 {
		b.Timeout = 15 * time.Second
	}
	b.Client = s3store.Encrypted(b.Client, b.Object.Encryption, b.Object.EncryptionKey)
	c := &checkup{
		Bucket: b, ctx: ctx, report: report, base: b.Prefix + doctorPrefix + rand.Text(),
		objects: make(map[string]bool), multiparts: make(map[string]string),
	}
	defer c.cleanUp()
	if !c.reach() {
		return
	}
	for _, step := range []func(){
		c.storeObject, c.findObject, c.readObject, c.compareClocks, c.tryConditions, c.tryAttributes,
		c.tryMultipart, c.tryCopy, c.tryAbort, c.askLifecycle, c.tryRedirect, c.removeObjects,
	} {
		if ctx.Err() != nil {
			return
		}
		step()
	}
}

// try makes a call that sends size bytes, up to three times if errors are
// transient.
func (c *checkup) try(size int64, call func(context.Context) error) error {
	for try := 1; ; try++ {
		err := c.once(size, call)
		if err == nil || !isTransient(err) || try == 3 {
			return err
		}
		if !c.backOff(try) {
			return err
		}
	}
}

// backOff waits before the next try and reports whether there is one.
func (c *checkup) backOff(try int) bool {
	select {
	case <-time.After(time.Duration(try) * 200 * time.Millisecond):
		return true
	case <-c.ctx.Done():
		return false
	}
}

// callGrace is how long a call may go on after ctx has ended. A call that is
// cut may still take effect after everything was removed.
const callGrace = 2 * time.Second

func (c *checkup) once(size int64, call func(context.Context) error) error {
	if err := c.ctx.Err(); err != nil {
		return context.Cause(c.ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), c.Timeout+time.Duration(size>>20)*time.Second)
	defer cancel()
	defer context.AfterFunc(c.ctx, func() {
		cut := time.AfterFunc(callGrace, cancel)
		context.AfterFunc(ctx, func() { cut.Stop() })
	})()
	return call(ctx)
}

// isTransient reports whether the same call may succeed if it is made again at
// once.
func isTransient(err error) bool {
	var answer *s3store.Error
	if errors.As(err, &answer) {
		return answer.Status >= 500 && answer.Status != http.StatusNotImplemented || answer.Status == http.StatusTooManyRequests
	}
	return !errors.Is(err, s3store.ErrNoCredentials) && !errors.Is(err, context.DeadlineExceeded)
}

// explain returns an error with an explanation for people.
func explain(err error) string {
	if sentence := s3store.Explain(err); sentence != "" {
		return sentence + " (" + err.Error() + ")"
	}
	return err.Error()
}

// explain returns an error of a call on a key with an explanation for people.
func (c *checkup) explain(err error) string {
	if sentence := s3store.ExplainPrefix(c.Prefix, err); sentence != "" {
		return sentence + " (" + err.Error() + ")"
	}
	return explain(err)
}

// reportResult reports the result of a call that the server needs, and returns
// whether it succeeded. After the end of ctx it reports nothing.
func (c *checkup) reportResult(subject string, err error) bool {
	switch {
	case err == nil:
		c.report.OK(subject, "")
	case c.ctx.Err() == nil:
		c.report.Missing(subject, c.explain(err))
	}
	return err == nil
}

// reach lists the bucket, for which the network, the credentials, the region
// and the name must be right. It reports whether it makes sense to go on, which
// is also so if only the permission to list is missing.
func (c *checkup) reach() bool {
	var page *s3store.ObjectPage
	err := c.try(0, func(ctx context.Context) (err error) {
		page, err = c.Client.ListObjects(ctx, s3store.ListObjects{Prefix: c.Prefix + doctorPrefix, Max: 1000})
		return err
	})
	if c.reportResult("list objects", err) {
		c.removeStale(page)
		return true
	}
	var answer *s3store.Error
	return errors.As(err, &answer) && answer.Code == "AccessDenied"
}

// staleAfter is the age at which the files and objects of a doctor belong to
// one that no longer runs.
const staleAfter = time.Hour

// removeStale removes the objects of a doctor that was killed.
func (c *checkup) removeStale(page *s3store.ObjectPage) {
	for _, o := range page.Objects {
		if time.Since(o.Modified) > staleAfter {
			c.objects[o.Key] = false // to be cleaned up with the rest
		}
	}
}

// key returns the key of an object of this checkup.
func (c *checkup) key(name string) string { return c.base + "-" + name }

// put stores an object and records it.
func (c *checkup) put(in s3store.PutObject, content []byte) (etag string, err error) {
	in.Size = int64(len(content))
	err = c.try(in.Size, func(ctx context.Context) (err error) {
		in.Body = bytes.NewReader(content)
		etag, err = c.Client.PutObject(ctx, in)
		return err
	})
	c.objects[in.Key] = c.objects[in.Key] || err == nil
	return etag, err
}

// sample is the content of a small object.
var sample = []byte("tusd doctor was here")

func (c *checkup) storeObject() {
	_, err := c.put(s3store.PutObject{Key: c.key("object")}, sample)
	c.reportResult("store objects", err)
}

// findObject checks that the object is listed under its key.
func (c *checkup) findObject() {
	key := c.key("object")
	if !c.objects[key] {
		return
	}
	var failure error
	err := s3store.CheckListed(c.ctx, c.Prefix, key, func(in s3store.ListObjects) (page *s3store.ObjectPage, err error) {
		failure = c.try(0, func(ctx context.Context) error {
			page, err = c.Client.ListObjects(ctx, in)
			return err
		})
		return page, failure
	})
	if failure != nil {
		return // another step reports it
	}
	c.reportResult("list objects under their keys", err)
}

func (c *checkup) readObject() {
	if !c.objects[c.key("object")] {
		return
	}
	var got []byte
	err := c.try(0, func(ctx context.Context) error {
		o, err := c.Client.GetObject(ctx, s3store.GetObject{Key: c.key("object"), Range: "bytes=5-"})
		if err != nil {
			return err
		}
		defer o.Body.Close()
		got, err = io.ReadAll(io.LimitReader(o.Body, 1<<10))
		return err
	})
	if err == nil && !bytes.Equal(got, sample[5:]) {
		err = fmt.Errorf("a range of %q is read as %q", sample, got)
	}
	c.reportResult("read objects, and ranges of them", err)
}

// compareClocks compares the clock with the time at which the service says that
// an object was stored.
func (c *checkup) compareClocks() {
	if !c.objects[c.key("object")] {
		return
	}
	var o *s3store.Object
	err := c.try(0, func(ctx context.Context) (err error) {
		o, err = c.Client.HeadObject(ctx, c.key("object"))
		return err
	})
	if !c.reportResult("ask for objects", err) || o.Modified.IsZero() {
		return
	}
	const allowed = 2 * time.Minute
	switch skew := time.Since(o.Modified).Round(time.Second); {
	case skew < -allowed:
		c.report.Warn("clock", fmt.Sprintf("this machine is %v behind the service%s", -skew, setClock))
	case skew > allowed:
		c.report.Warn("clock", fmt.Sprintf("this machine is %v ahead of the service%s", skew, setClock))
	default:
		c.report.OK("clock", "")
	}
}

const setClock = ", which refuses all calls from 15 minutes on: set the clock by NTP"

func (c *checkup) removeObjects() {
	key := c.key("object")
	if c.objects[key] {
		c.reportResult("remove an object", c.remove(key))
	}
	several := []string{c.key("several-1"), c.key("several-2")}
	for _, key := range several {
		if _, err := c.put(s3store.PutObject{Key: key}, sample); err != nil {
			return // already reported
		}
	}
	err := c.try(0, func(ctx context.Context) error { return c.Client.DeleteObjects(ctx, several) })
	var answer *s3store.Error
	switch {
	case err == nil:
		delete(c.objects, several[0])
		delete(c.objects, several[1])
	case errors.As(err, &answer) && answer.Status == http.StatusNotImplemented:
		c.report.Warn("remove several objects in one call", "the service cannot; the server then removes them one by one (-s3-profile gcs spares it the attempt)")
		return
	}
	c.reportResult("remove several objects in one call", err)
}

func (c *checkup) remove(key string) error {
	err := c.try(0, func(ctx context.Context) error { return c.Client.DeleteObject(ctx, key) })
	if err == nil {
		delete(c.objects, key)
	}
	return err
}

// cleanUp removes everything that is left, also if ctx has ended.
func (c *checkup) cleanUp() {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(c.ctx), 2*c.Timeout)
	defer cancel()
	c.ctx = ctx
	for id, key := range c.multiparts {
		if err := c.abort(key, id); err != nil {
			c.report.Warn("left behind", fmt.Sprintf("a multipart upload of %s, which could not be aborted: %s", key, explain(err)))
		}
	}
	for key := range c.objects {
		if err := c.remove(key); err != nil {
			c.report.Warn("left behind", fmt.Sprintf("the object %s, which could not be removed: %s", key, explain(err)))
		}
	}
}
