package doctor

import (
	"errors"
	"net/http"

	"github.com/tus/tusd/s3store"
)

// tryConditions makes conditional writes that must be refused, and one that
// must succeed.
func (c *checkup) tryConditions() {
	key := c.key("condition")
	etag, err := c.put(s3store.PutObject{Key: key}, sample)
	if err != nil {
		return // already reported
	}
	c.condition("writes only if there is no object (If-None-Match)", s3store.PutObject{Key: key, IfNoneMatch: true}, "")
	c.condition("writes only over a known object (If-Match)",
		s3store.PutObject{Key: key, IfMatch: `"00000000000000000000000000000000"`}, etag)
}

// condition reports whether the service heeds the condition of a write that it
// must refuse. If good is set, a write with that ETag must succeed. The server
// works without conditions; it finds out at its start.
func (c *checkup) condition(subject string, refused s3store.PutObject, good string) {
	heeded, err := c.refuses(refused)
	what := "does not heed the condition"
	if err == nil && heeded && good != "" {
		var unjust bool
		unjust, err = c.refuses(s3store.PutObject{Key: refused.Key, IfMatch: good})
		if unjust {
			heeded, what = false, "refuses the write even where the condition holds"
		}
	}
	switch {
	case err != nil && c.ctx.Err() == nil:
		c.report.Missing(subject, explain(err))
	case err == nil && heeded:
		c.report.OK(subject, c.unused())
	case err == nil:
		c.report.Warn(subject, "the service "+what+": let one server alone write to this bucket, as two that write to one upload at the same time would not notice")
	}
}

// unused says that the profile makes no use of conditions.
func (c *checkup) unused() string {
	if !c.Profile.NoConditions {
		return ""
	}
	return "they work, but -s3-profile " + c.Profile.Name + " makes no use of them"
}

func (c *checkup) refuses(in s3store.PutObject) (bool, error) {
	_, err := c.put(in, sample)
	var answer *s3store.Error
	if !errors.As(err, &answer) {
		return false, err
	}
	switch answer.Status {
	case http.StatusPreconditionFailed, http.StatusConflict:
		return true, nil
	case http.StatusNotImplemented, http.StatusBadRequest:
		return false, nil
	}
	return false, err
}

// tryAttributes stores an object with the attributes that the settings want.
func (c *checkup) tryAttributes() {
	a := c.attributes()
	if a.CacheControl == "" && a.StorageClass == "" && a.Encryption == "" && len(a.Tags) == 0 {
		return
	}
	_, err := c.put(s3store.PutObject{Key: c.key("attributes"), Attributes: a}, sample)
	subject := "store objects with the class, the tags, the encryption and the headers that are set"
	if err != nil && len(a.Tags) > 0 && c.ctx.Err() == nil {
		c.report.Missing(subject, explain(err)+"; tags need s3:PutObjectTagging, and not every service has them")
		return
	}
	c.reportResult(subject, err)
}

func (c *checkup) attributes() s3store.Attributes {
	return s3store.Attributes{
		ContentType: "text/plain", ContentDisposition: "attachment; filename*=UTF-8''doctor.txt",
		CacheControl: c.Object.CacheControl, StorageClass: c.Object.StorageClass,
		Encryption: c.Object.Encryption, EncryptionKey: c.Object.EncryptionKey, Tags: c.Object.Tags,
	}
}
