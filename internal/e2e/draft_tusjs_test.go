//go:build linux

package e2e

import (
	"testing"
)

// TestDraftsUpload uploads without faults, with all options of tus-js-client for the IETF
// drafts.
func TestDraftsUpload(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		size    int64
		stream  bool
		options map[string]any
		posts   int
	}{
		"plain":   {size: 8 * mib, posts: 1},
		"chunked": {size: 3*mib + 1, options: map[string]any{"chunkSize": mib}, posts: 1},
		"deferred length": {size: 3*mib + 1, stream: true,
			options: map[string]any{"chunkSize": mib, "uploadLengthDeferred": true}, posts: 1},
		"data during creation": {size: 3*mib + 1,
			options: map[string]any{"uploadDataDuringCreation": true}, posts: 1},
		"data during creation, chunked": {size: 3*mib + 1,
			options: map[string]any{"uploadDataDuringCreation": true, "chunkSize": mib}, posts: 1},
		"data during creation, empty": {size: 0,
			options: map[string]any{"uploadDataDuringCreation": true}, posts: 1},
		"method override": {size: mib,
			options: map[string]any{"overridePatchMethod": true, "chunkSize": mib / 2}, posts: 3},
	} {
		for _, draft := range drafts {
			t.Run(name+"/"+draft, func(t *testing.T) {
				t.Parallel()
				s := startService(t, t.TempDir())
				file, sum := writeContent(t, c.size)
				j := draftJob(draft, c.options)
				j.File, j.Stream = file, c.stream
				wantContent(t, upload(t, s.relay, j), sum)
				wantPosts(t, s.relay, c.posts)
			})
		}
	}
}
