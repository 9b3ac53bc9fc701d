package s3store_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/storetest"
)

// An upload that comes in thousands of tiny chunks has few objects at any
// time, and no byte is stored often.
func TestTinyChunks(t *testing.T) {
	const chunk, chunks, minPart = 1000, 4000, mib
	c := newCrowd(t, 64*mib, minPart)
	c.service.latency = 0
	c.open()
	const id, size = kept + "tiny", chunk * chunks
	up, lease := c.create(id, size)
	most := 0
	for at := int64(0); at < size; at += chunk {
		up, lease = c.again(lease, id)
		if n, err := c.writer(up, at%7 == 0)(at, bodyOf(id, at, at+chunk)); err != nil || n != chunk {
			t.Fatalf("at %d: %d bytes, error %v", at, n, err)
		}
		most = max(most, c.tailObjects())
	}
	if err := up.FinishUpload(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.wantContent(id, size)
	c.wantNothingLeft()
	if most > 64 {
		t.Errorf("there were %d tail objects at once", most)
	}
	if c.service.content > 10*size {
		t.Errorf("%d bytes were stored for an upload of %d", c.service.content, size)
	}
	t.Logf("at most %d tail objects, every byte stored %.1f times", most, float64(c.service.content)/size)
}

// again gives the lock back and begins the next request.
func (c *crowd) again(lease tusd.Lease, id string) (tusd.Upload, tusd.Lease) {
	c.Helper()
	lease.Unlock(c.Context())
	lease, err := c.locker.Lock(c.Context(), id, tusd.LockPreempt)
	if err != nil {
		c.Fatal(err)
	}
	up, err := c.store.GetUpload(c.Context(), lease, id)
	if err != nil {
		c.Fatal(err)
	}
	return up, lease
}

func (c *crowd) tailObjects() (n int) {
	c.service.mu.Lock()
	defer c.service.mu.Unlock()
	for key := range c.service.objects {
		if strings.HasSuffix(key, ".part") {
			n++
		}
	}
	return n
}

// Joining tail objects fails at one of its calls, done or not: the chunk is stored
// all the same, no offset falls, no byte is wrong, whichever process goes on.
func TestFaultsWhileMergingTail(t *testing.T) {
	t.Parallel()
	for name, quirks := range map[string]s3server.Quirks{
		"conditions": {}, "no conditions": {NoIfMatch: true, NoIfNoneMatch: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smallServer(t, quirks)
			n, other := small(t, server), small(t, server)
			for _, match := range []s3server.Match{
				s3server.On(s3server.HeadObject), s3server.On(s3server.GetObject), s3server.On(s3server.DeleteObjects),
				s3server.On(s3server.PutObject).And(func(c s3server.Call) bool { return c.Size > tinyTail }),
			} {
				mergeWithFault(t, server, n, other, match.Nth(1, s3server.Refuse(http.StatusForbidden, "AccessDenied")))
				mergeWithFault(t, server, n, other, match.Nth(1, s3server.RefuseDone(http.StatusForbidden, "AccessDenied")))
			}
		})
	}
}

const tinyTail = 100 // bytes

func mergeWithFault(t *testing.T, server *s3server.Server, n, other *node, rule *s3server.Rule) {
	t.Helper()
	const pieces, size = 70, 80 * tinyTail
	path := n.create(size)
	content := make([]byte, size)
	storetest.Content("content", 0, content)
	for at := 0; at < 63*tinyTail; at += tinyTail { // as if each had been a request
		server.Put(fmt.Sprintf("%s.%020d.part", path[len("/files/"):], at), content[at:at+tinyTail])
	}
	at := n.offset(path)
	server.Fault(rule.Decide)
	for ; at < pieces*tinyTail; at += tinyTail {
		n.patch(path, at, at+tinyTail)
		if offset := other.offset(path); offset != at+tinyTail {
			t.Fatalf("the offset is %d, %d were acknowledged", offset, at+tinyTail)
		}
	}
	server.Fault(nil)
	if rule.Fired() == 0 {
		t.Error("the call is not made")
	}
	other.patch(path, at, size)
	other.wantContent(path, size)
}

// A server has died that had put bytes of an all-or-nothing chunk aside: they
// do not count, and are removed.
func TestHiddenTailObjectOfDeadServer(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	const size = 3 * tinyTail
	path := small(t, server).create(size)
	id := path[len("/files/"):]
	server.Put(fmt.Sprintf("%s.%020d.part", id, uint64(1)<<62), make([]byte, tinyTail))
	n := small(t, server)
	if offset := n.offset(path); offset != 0 {
		t.Fatalf("the offset is %d", offset)
	}
	n.patch(path, 0, tinyTail)
	n.patch(path, tinyTail, size)
	n.wantContent(path, size)
	for _, o := range server.Objects() {
		if strings.HasSuffix(o.Key, ".part") {
			t.Errorf("the tail object %s is left", o.Key)
		}
	}
}
