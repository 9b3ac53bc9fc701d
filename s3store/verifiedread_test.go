package s3store_test

import (
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

// olderObject answers with an object that the key had before: its bytes match its
// own checksum.
func olderObject() s3server.Outcome {
	return s3server.Outcome{Alter: func(header http.Header, body []byte) {
		for i := range body {
			body[i] ^= 0x55
		}
		sum := fmt.Sprintf("%08x", crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
		for name := range header {
			switch {
			case strings.EqualFold(name, "X-Amz-Meta-Tusd-Crc32c"):
				header[name] = []string{sum}
			case strings.EqualFold(name, "X-Amz-Meta-Tusd-Proof"):
				header[name] = []string{"another"}
			case strings.EqualFold(name, "ETag"):
				header[name] = []string{`"another"`}
			}
		}
	}}
}

var wrongAnswers = map[string]func() s3server.Outcome{
	"bit flipped":     s3server.FlipBit,
	"page of a proxy": s3server.Page,
	"older object":    olderObject,
	"cut off":         func() s3server.Outcome { return s3server.Reset(100) },
}

// rereadSteps are the offsets at which requests end. The upload stores several tail
// objects, a part that begins with them, a part, and tail objects before the last part.
var rereadSteps = []int64{1000, 2000, 3000, 50 << 10, 51 << 10, 200 << 10, 201 << 10, 202 << 10, 210 << 10}

// The first answer to a read is wrong, in the next upload the second, and so on. No
// request fails, and no wrong byte is stored. Two processes alternate, so that none
// has the state in its cache.
func TestReadBackIsVerified(t *testing.T) {
	require.LongWithoutRace(t)
	t.Parallel()
	for name, wrong := range wrongAnswers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smallServer(t, s3server.Quirks{})
			nodes := []*node{startOn(t, server), startOn(t, server)}
			size := rereadSteps[len(rereadSteps)-1]
			for read := 1; ; read++ {
				path := nodes[0].create(size)
				rule := s3server.On(s3server.GetObject).Nth(read, wrong())
				server.Fault(rule.Decide)
				at := int64(0)
				for i, to := range rereadSteps {
					nodes[i%2].patch(path, at, to)
					at = to
				}
				server.Fault(nil)
				nodes[0].wantContent(path, size)
				if rule.Fired() == 0 {
					if read < 8 {
						t.Errorf("only %d reads were made", read-1)
					}
					return
				}
			}
		})
	}
}

// A tail object that is read wrongly for long fails requests, but no byte is lost:
// the client can resume afterwards.
func TestWrongReadOfTailObject(t *testing.T) {
	require.LongWithoutRace(t)
	t.Parallel()
	for name, wrong := range wrongAnswers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smallServer(t, s3server.Quirks{})
			const size, stored = 100 << 10, 3000
			for _, cold := range []bool{false, true} {
				n := startOn(t, server)
				path := n.create(size)
				n.patch(path, 0, 1000)
				n.patch(path, 1000, stored)
				if cold {
					n = startOn(t, server)
				}
				tailObjects := s3server.On(s3server.GetObject).And(func(c s3server.Call) bool { return strings.HasSuffix(c.Key, ".part") })
				server.Fault(tailObjects.Always(wrong()).Decide)
				if answer := n.tryPatch(path, stored, size); answer.StatusCode < 500 {
					t.Errorf("status %d for a tail object that cannot be read", answer.StatusCode)
				}
				if offset := n.offset(path); offset < stored {
					t.Fatalf("the offset is %d, %d were acknowledged", offset, stored)
				}
				server.Fault(nil)
				n.patch(path, n.offset(path), size)
				n.wantContent(path, size)
			}
		})
	}
}

// Partials that are too small for a part are read and concatenated in memory. A
// wrong read does not get into the final.
func TestPartialsAreVerified(t *testing.T) {
	require.LongWithoutRace(t)
	t.Parallel()
	sizes := []int64{1000, testMinPart - 100, 20 << 10, testMinPart, 500}
	for name, list := range map[string][]int64{"in one object": sizes[:1], "in parts": sizes} {
		for name2, wrong := range wrongAnswers {
			t.Run(name+" "+name2, func(t *testing.T) {
				t.Parallel()
				server := smallServer(t, s3server.Quirks{})
				n := startOn(t, server)
				var paths []string
				total := int64(0)
				for _, size := range list {
					path := n.create(size, "Upload-Concat", "partial")
					n.want(http.StatusNoContent, n.request(http.MethodPatch, path, storetest.ContentReader("content", total, total+size),
						"Content-Type", "application/offset+octet-stream", "Upload-Offset", "0"))
					paths, total = append(paths, path), total+size
				}
				for read := 1; ; read++ {
					rule := s3server.On(s3server.GetObject).And(func(c s3server.Call) bool { return !strings.HasPrefix(c.Key, ".tusd.d/") }).Nth(read, wrong())
					server.Fault(rule.Decide)
					answer := n.want(http.StatusCreated, n.concat(paths))
					server.Fault(nil)
					path := answer.Header.Get("Location")[len(n.server.URL):]
					if offset := n.offset(path); offset != total {
						t.Fatalf("the offset is %d, not %d", offset, total)
					}
					n.wantContent(path, total)
					n.want(http.StatusNoContent, n.request(http.MethodDelete, path, nil))
					if rule.Fired() == 0 {
						if read < 2 {
							t.Error("no read was made")
						}
						return
					}
				}
			})
		}
	}
}

// A range of a multipart object has no checksum. A wrong read of it does not get
// into the final either.
func TestRangeOfPartialIsVerified(t *testing.T) {
	require.LongWithoutRace(t)
	t.Parallel()
	for name, wrong := range wrongAnswers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := s3server.Start(t, s3server.Options{})
			store := s3store.New(server.Bucket(), clientOf(t, server))
			store.PreferredPartSize = 5 * mib
			n := startNode(t, store, &tusd.LocalLocker{})
			const first, total = 1000, 1000 + 11*mib // the second is too large to be read to its end
			paths := []string{n.partial(0, first), n.partial(first, total)}
			for read := 1; ; read++ {
				ranges := s3server.On(s3server.GetObject).And(func(c s3server.Call) bool { return c.Range != "" && !strings.HasPrefix(c.Key, ".tusd.d/") })
				rule := ranges.Nth(read, wrong())
				server.Fault(rule.Decide)
				answer := n.want(http.StatusCreated, n.concat(paths))
				server.Fault(nil)
				path := answer.Header.Get("Location")[len(n.server.URL):]
				if offset := n.offset(path); offset != total {
					t.Fatalf("the offset is %d, not %d", offset, total)
				}
				n.wantContent(path, total)
				n.want(http.StatusNoContent, n.request(http.MethodDelete, path, nil))
				if rule.Fired() == 0 {
					if read < 3 {
						t.Errorf("only %d ranges were read", read-1)
					}
					return
				}
			}
		})
	}
}

// partial creates a complete partial upload of bytes of the content, and returns its path.
func (n *node) partial(from, to int64) string {
	n.Helper()
	path := n.create(to-from, "Upload-Concat", "partial")
	n.want(http.StatusNoContent, n.request(http.MethodPatch, path, storetest.ContentReader("content", from, to),
		"Content-Type", "application/offset+octet-stream", "Upload-Offset", "0"))
	return path
}

// A wrong answer for a record is not reported as a missing upload, which clients
// would create again.
func TestWrongReadOfRecord(t *testing.T) {
	require.LongWithoutRace(t)
	t.Parallel()
	for name, wrong := range wrongAnswers {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := smallServer(t, s3server.Quirks{})
			path := startOn(t, server).create(1000)
			n := startOn(t, server)
			server.Fault(s3server.On(s3server.GetObject).Always(wrong()).Decide)
			n.want(http.StatusLocked, n.request(http.MethodHead, path, nil))
			server.Fault(nil)
			n.patch(path, 0, 1000)
			n.wantContent(path, 1000)
		})
	}
}

// A record of tusd v2 has no checksum: its ETag verifies it.
func TestV2RecordThatIsAPage(t *testing.T) {
	f := newV2Upload(t, 1000)
	n := startOn(t, f.server)
	f.server.Fault(s3server.On(s3server.GetObject).Always(s3server.Page()).Decide)
	n.want(http.StatusLocked, n.request(http.MethodHead, "/files/"+f.id, nil))
	f.server.Fault(nil)
	n.want(http.StatusOK, n.request(http.MethodHead, "/files/"+f.id, nil))
}

// A side record that was read wrongly is read again.
func TestWrongReadOfSideRecord(t *testing.T) {
	for name, wrong := range wrongAnswers {
		if name == "older object" { // it is a valid side record, too
			continue
		}
		t.Run(name, func(t *testing.T) {
			server := smallServer(t, s3server.Quirks{})
			store := testStore(server.Bucket(), clientOf(t, server))
			if err := store.Open(t.Context(), tusd.Env{Locker: &tusd.LocalLocker{}}); err != nil {
				t.Fatal(err)
			}
			key, value := tusd.SideRecordKey{Kind: "kind", Name: "name"}, strings.Repeat("value", 100)
			if err := store.PutSideRecord(t.Context(), key, []byte(value)); err != nil {
				t.Fatal(err)
			}
			rule := s3server.On(s3server.GetObject).Nth(1, wrong())
			server.Fault(rule.Decide)
			if got, err := store.GetSideRecord(t.Context(), key); err != nil || string(got) != value {
				t.Errorf("got %.20q, error %v", got, err)
			}
			if rule.Fired() == 0 {
				t.Error("no read was made")
			}
		})
	}
}

// Tail objects without a checksum, of tusd v2 or an earlier version, are accepted
// without verification.
func TestTailObjectsWithoutChecksum(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	n := startOn(t, server)
	const size = 2000
	path := n.create(size)
	content, err := io.ReadAll(storetest.ContentReader("content", 0, 1000))
	if err != nil {
		t.Fatal(err)
	}
	server.Put(fmt.Sprintf("%s.%020d.part", path[len("/files/"):], 0), content)
	n = startOn(t, server)
	n.patch(path, 1000, size)
	n.wantContent(path, size)
}
