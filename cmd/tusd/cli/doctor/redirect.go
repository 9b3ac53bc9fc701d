package doctor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/tus/tusd/s3store"
)

// tryRedirect downloads an object like a redirected client.
func (c *checkup) tryRedirect() {
	key := c.key("object")
	if c.RedirectDownloads == 0 || !c.objects[key] {
		return
	}
	c.reportResult("downloads from the service (-s3-redirect-downloads)", c.try(0, func(ctx context.Context) error {
		return c.follow(ctx, key)
	}))
}

func (c *checkup) follow(ctx context.Context, key string) error {
	const disposition = `attachment; filename="doctor.txt"`
	target, err := c.Client.PresignGet(key, s3store.Attributes{ContentType: "text/x-doctor", ContentDisposition: disposition}, c.RedirectDownloads)
	if err != nil {
		return err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, target, nil)
	if err != nil {
		return errors.New("the presigned URL cannot be parsed") // its text is as good as a key
	}
	answer, err := c.HTTP.Do(r)
	if err != nil {
		return withoutURL(err)
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(io.LimitReader(answer.Body, 1<<10))
	switch {
	case err != nil:
		return err
	case answer.StatusCode != http.StatusOK || string(content) != string(sample):
		return fmt.Errorf("the service answers with status %d", answer.StatusCode)
	case answer.Header.Get("Content-Type") != "text/x-doctor" || answer.Header.Get("Content-Disposition") != disposition:
		return errors.New("the service does not answer with the type and the name that the URL says: browsers would show what they should only save; switch redirects off")
	}
	return nil
}

// withoutURL returns the cause of a failed request without its URL, which has a
// signature.
func withoutURL(err error) error {
	var told *url.Error
	if errors.As(err, &told) {
		return told.Err
	}
	return err
}
