//go:build linux

package e2e

import "testing"

// TestClientsUpload uploads without faults, with each client and its options.
func TestClientsUpload(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name    string
		clients []string
		size    int64
		stream  bool
		options map[string]any
		posts   int
	}{
		{name: "plain", clients: jsClients, size: 8 * mib, posts: 1},
		{name: "empty", clients: jsClients, size: 0, posts: 1},
		{name: "chunked", clients: jsClients, size: 3*mib + 1, options: map[string]any{"chunkSize": mib}, posts: 1},
		{name: "deferred length", clients: jsClients, size: 3*mib + 1, stream: true,
			options: map[string]any{"chunkSize": mib, "uploadLengthDeferred": true}, posts: 1},
		{name: "data during creation", clients: jsClients, size: 3*mib + 1,
			options: map[string]any{"uploadDataDuringCreation": true}, posts: 1},
		{name: "data during creation, chunked", clients: jsClients, size: 3*mib + 1,
			options: map[string]any{"uploadDataDuringCreation": true, "chunkSize": mib}, posts: 1},
		{name: "method override", clients: jsClients, size: mib,
			options: map[string]any{"overridePatchMethod": true, "chunkSize": mib / 2}, posts: 3},
		{name: "parallel", clients: parallelClients, size: 8*mib + 1,
			options: map[string]any{"parallelUploads": 3}, posts: 4},
	} {
		for _, client := range c.clients {
			t.Run(c.name+"/"+client, func(t *testing.T) {
				t.Parallel()
				s := startService(t, t.TempDir())
				file, sum := writeContent(t, c.size)
				url := upload(t, s.relay, job{Client: client, File: file, Stream: c.stream, Options: c.options})
				wantContent(t, url, sum)
				wantPosts(t, s.relay, c.posts)
			})
		}
	}
}
