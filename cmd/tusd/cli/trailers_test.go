package cli

import (
	"testing"

	"github.com/tus/tusd/internal/tusclient"
	"github.com/tus/tusd/internal/wire"
)

// The daemon hands on the server's own request, in which unannounced trailers appear.
func TestUnannouncedTrailers(t *testing.T) {
	d := start(t)
	const right = "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=" // of "hello world"
	client := tusclient.New(d.address(t))
	created, err := client.Create(100)
	if err != nil {
		t.Fatal(err)
	}
	path := created.Path()
	for _, c := range []struct {
		content string
		status  int
		offset  int64 // afterwards
	}{{"hello wOrld", 460, 0}, {"hello world", 204, 11}, {"hello wOrld", 460, 11}, {"hello world", 204, 22}} {
		before, err := client.Head(path)
		if err != nil {
			t.Fatal(err)
		}
		patch, err := client.OpenPatch(path, before.Offset(), wire.Unknown)
		if err == nil {
			err = patch.Send([]byte(c.content), right)
		}
		if err != nil {
			t.Fatal(err)
		}
		if got, err := patch.Answer(); err != nil || got.Status != c.status {
			t.Errorf("%q at %d: %v, %v, want %d", c.content, before.Offset(), got, err, c.status)
		}
		if after, err := client.Head(path); err != nil || after.Offset() != c.offset {
			t.Errorf("%q: %v, %v, want offset %d", c.content, after, err, c.offset)
		}
	}
}
