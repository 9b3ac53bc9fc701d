package s3store_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/storetest"
)

// An upload of thousands of tiny chunks has few tail objects at any time, and no
// byte is stored many times.
func TestTinyChunks(t *testing.T) {
	const chunk, chunks, minPart = 1000, 4000, mib
	c := newSimulation(t, 64*mib, minPart)
	c.service.latency = 0
	c.open()
	const id, size = compared + "tiny", chunk * chunks
	up, lease := c.create(id, size)
	most := 0
	for at := int64(0); at < size; at += chunk {
		up, lease = c.nextRequest(lease, id)
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

// A merge of tail objects fails at one of its calls, executed or not. The chunk is
// stored, no offset falls and no byte is wrong, whichever process continues.
func TestFaultsWhileMergingTail(t *testing.T) {
	require.LongWithoutRace(t)
	t.Parallel()
	for name, quirks := range map[string]s3server.Quirks{
		"conditions": {}, "no conditions": {NoIfMatch: true, NoIfNoneMatch: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smallServer(t, quirks)
			n, other := startOn(t, server), startOn(t, server)
			for _, match := range []s3server.Match{
				s3server.On(s3server.HeadObject), s3server.On(s3server.GetObject), s3server.On(s3server.DeleteObjects),
				s3server.On(s3server.PutObject).And(func(c s3server.Call) bool {
					return c.Size > tinyTail && strings.HasSuffix(c.Key, ".part") // not the record
				}),
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
	const chunks, size = 70, 80 * tinyTail
	path := n.create(size)
	content := make([]byte, size)
	storetest.Content("content", 0, content)
	for at := 0; at < 63*tinyTail; at += tinyTail { // like one request each
		server.Put(fmt.Sprintf("%s.%020d.part", path[len("/files/"):], at), content[at:at+tinyTail])
	}
	at := n.offset(path)
	server.Fault(rule.Decide)
	for ; at < chunks*tinyTail; at += tinyTail {
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

// A server was killed that had flushed bytes of an atomic chunk: they do not count,
// and are removed.
func TestHiddenTailObjectOfKilledServer(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	const size = 3 * tinyTail
	path := startOn(t, server).create(size)
	id := path[len("/files/"):]
	server.Put(fmt.Sprintf("%s.%020d.part", id, uint64(1)<<62), make([]byte, tinyTail))
	n := startOn(t, server)
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
