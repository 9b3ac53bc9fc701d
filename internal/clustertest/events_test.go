//go:build linux

package clustertest

import (
	"net/url"
	"path"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd/internal/eventcheck"
)

// known is what the clients know of their uploads, by id.
type known struct {
	mu      sync.Mutex
	uploads map[string]eventcheck.Upload
}

// note replaces what is known of an upload.
func (k *known) note(u *upload, now eventcheck.Upload) {
	id, _ := url.PathUnescape(path.Base(u.path)) // an id that is not known is an error at the end
	k.mu.Lock()
	defer k.mu.Unlock()
	k.uploads[id] = now
}

// hookFlags returns the flags for the endpoint of the hooks. Of the events that are delivered at
// least once it gets all.
func hookFlags(t *testing.T, endpoint *eventcheck.Endpoint) []string {
	t.Helper()
	url, stop := endpoint.Serve()
	t.Cleanup(stop)
	return []string{"-hooks-http", url, "-hooks-http-backoff", "20ms", "-hooks-enabled-events", "post-create,post-finish,post-terminate"}
}

// deliveryLimit bounds the time until all events are delivered, after the last upload.
const deliveryLimit = time.Minute

// checkEvents checks that the endpoint has all events, and no others. A node is started again:
// at its start it looks for what the others have left.
func (c *cluster) checkEvents(k *known) {
	n := c.nodes[0]
	if err := n.daemon.Stop(); err != nil {
		c.Error(err)
	}
	n.start(c.T)
	if err := n.launch.AwaitDelivered(deliveryLimit); err != nil {
		c.Fatal(err)
	}
	if err := n.launch.AddStored(k.uploads); err != nil {
		c.Error(err)
	}
	c.Logf("%d uploads, %s", len(k.uploads), c.endpoint)
	if err := c.endpoint.Check(k.uploads, false); err != nil {
		c.Error(err)
	}
}
