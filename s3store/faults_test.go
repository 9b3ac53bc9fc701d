package s3store_test

import (
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
)

// faultSteps are the offsets at which requests end. The upload stores a tail
// object, a part that begins with it, several parts, a tail object and the last part.
var faultSteps = []int64{10 << 10, 50 << 10, 400 << 10, 405 << 10, 410 << 10}

const maxCalls = 60 // the upload makes fewer

// startOn starts a node with small parts over a service.
func startOn(tb testing.TB, server *s3server.Server) *node {
	tb.Helper()
	return startNode(tb, testStore(server.Bucket(), clientOf(tb, server)), &tusd.LocalLocker{})
}

func smallServer(tb testing.TB, quirks s3server.Quirks) *s3server.Server {
	tb.Helper()
	quirks.MinPart = testMinPart
	return s3server.Start(tb, s3server.Options{Quirks: quirks})
}

// uploadWithRetries uploads like a client that requests the offset after each
// failure, and returns the number of failures.
func (n *node) uploadWithRetries(path string) (failures int) {
	n.Helper()
	for at := int64(-1); failures < 4; {
		if at < 0 {
			at = n.offset(path)
		}
		if at == faultSteps[len(faultSteps)-1] {
			return failures
		}
		to := nextStep(at)
		if answer := n.tryPatch(path, at, to); answer.StatusCode == http.StatusNoContent {
			at = to
		} else {
			at = -1
			failures++
		}
	}
	return failures
}

// headWhenUnlocked repeats a HEAD until the upload is not locked and, if it is a final, is
// built: on a busy machine its POST does not wait for that.
func (n *node) headWhenUnlocked(path string) *http.Response {
	n.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		answer := n.request(http.MethodHead, path, nil)
		unbuilt := answer.StatusCode == http.StatusOK && answer.Header.Get("Upload-Offset") == ""
		if answer.StatusCode != http.StatusLocked && !unbuilt {
			return answer
		}
		select {
		case <-tick.C:
		case <-deadline:
			n.Fatalf("the upload stays locked or unbuilt: %d", answer.StatusCode)
		}
	}
}

func nextStep(at int64) int64 {
	for _, step := range faultSteps {
		if step > at {
			return step
		}
	}
	return at
}

// faultAtEachCall injects a fault at the first call of an upload, at the second
// call of the next upload, and so on, until an upload makes fewer calls.
func faultAtEachCall(t *testing.T, outcome s3server.Outcome, allowed int) {
	t.Helper()
	server := smallServer(t, s3server.Quirks{CompleteOnce: true})
	n := startOn(t, server)
	size := faultSteps[len(faultSteps)-1]
	for call := 1; call <= maxCalls; call++ {
		path := n.create(size)
		server.Recount()
		rule := s3server.On().Nth(call, outcome)
		server.Fault(rule.Decide)
		failures := n.uploadWithRetries(path)
		server.Fault(nil)
		if failures > allowed {
			t.Fatalf("at call %d: the client failed %d times, want at most %d; the calls: %v", call, failures, allowed, operations(server))
		}
		n.wantContent(path, size)
		if rule.Fired() == 0 {
			return
		}
	}
	t.Errorf("the upload makes more than %d calls", maxCalls)
}

// operations returns the operations of the calls so far.
func operations(server *s3server.Server) (names []s3server.Operation) {
	for _, c := range server.Calls() {
		names = append(names, c.Operation)
	}
	return names
}

// Transient faults are retried: no request of the client fails.
func TestTransientFaults(t *testing.T) {
	require.LongWithoutRace(t)
	t.Parallel()
	for name, outcome := range map[string]s3server.Outcome{
		"slow down":          s3server.Refuse(http.StatusServiceUnavailable, "SlowDown"),
		"too many requests":  s3server.Refuse(http.StatusTooManyRequests, "TooManyRequests"),
		"internal error":     s3server.RefuseDone(http.StatusInternalServerError, "InternalError"),
		"connection reset":   s3server.Reset(100),
		"answer lost":        s3server.LoseAnswer(),
		"error inside a 200": s3server.RefuseInside("InternalError"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faultAtEachCall(t, outcome, 0)
		})
	}
}

// A permanent fault fails a request. The upload continues when the fault is over.
func TestPermanentFaults(t *testing.T) {
	require.LongWithoutRace(t)
	t.Parallel()
	for name, outcome := range map[string]s3server.Outcome{
		"access denied":               s3server.Refuse(http.StatusForbidden, "AccessDenied"),
		"access denied, but executed": s3server.RefuseDone(http.StatusForbidden, "AccessDenied"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			faultAtEachCall(t, outcome, 2)
		})
	}
}

// TestKillAtEachCall ends a server at each of its calls, before or after the
// service has executed it, and continues with another server.
func TestKillAtEachCall(t *testing.T) {
	require.WithoutRace(t)
	t.Parallel()
	for name, last := range map[string]s3server.Outcome{
		"before the call": s3server.Refuse(http.StatusForbidden, "AccessDenied"),
		"after the call":  s3server.RefuseDone(http.StatusForbidden, "AccessDenied"),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			killAtEachCall(t, last)
		})
	}
}

func killAtEachCall(t *testing.T, last s3server.Outcome) {
	server := smallServer(t, s3server.Quirks{})
	size := faultSteps[len(faultSteps)-1]
	for call := 1; call <= maxCalls; call++ {
		killed := startOn(t, server)
		path := killed.create(size)
		rule := s3server.On().Nth(call, last)
		dead := s3server.On().From(call+1, s3server.Refuse(http.StatusForbidden, "AccessDenied"))
		server.Fault(s3server.Together(rule.Decide, dead.Decide))
		stored := int64(0)
		for to := int64(0); to < size; {
			at := to
			if to = nextStep(at); killed.tryPatch(path, at, to).StatusCode != http.StatusNoContent {
				break
			}
			stored = to
		}
		killed.shutDown()
		server.Fault(nil)
		next := startOn(t, server)
		if offset := next.offset(path); offset < stored {
			t.Fatalf("killed at call %d: the offset is %d, %d were acknowledged", call, offset, stored)
		}
		if failures := next.uploadWithRetries(path); failures > 0 {
			t.Fatalf("killed at call %d: %d requests failed afterwards", call, failures)
		}
		next.wantContent(path, size)
		next.shutDown()
		if rule.Fired() == 0 {
			return
		}
	}
	t.Errorf("the upload makes more than %d calls", maxCalls)
}

// Part 1 of 3 is lost while 2 and 3 are stored: no byte of them counts. The
// client retries with a shorter request.
func TestFirstPartLost(t *testing.T) {
	server := smallServer(t, s3server.Quirks{})
	n := startOn(t, server)
	const size = 3*testPart + 1000
	n.patch(n.create(size), 0, size)
	var numbers []int // the same for each upload of this size
	for _, c := range server.Calls() {
		if c.Operation == s3server.UploadPart {
			numbers = append(numbers, c.Part)
		}
	}
	slices.Sort(numbers)
	path := n.create(size)
	n = startOn(t, server) // its cache has no state of the upload
	first := s3server.On(s3server.UploadPart).And(func(c s3server.Call) bool { return c.Part == numbers[0] })
	others := s3server.On(s3server.UploadPart).And(func(c s3server.Call) bool { return c.Part == numbers[2] }).Always(s3server.Outcome{})
	server.Fault(s3server.Together(
		first.Always(s3server.Outcome{Until: others.Reached(), Status: http.StatusForbidden, Code: "AccessDenied"}).Decide,
		others.Decide))
	if answer := n.tryPatch(path, 0, size); answer.StatusCode < 500 {
		t.Fatalf("status %d", answer.StatusCode)
	}
	server.Fault(nil)
	if offset := n.offset(path); offset != 0 {
		t.Fatalf("the offset is %d without the first part", offset)
	}
	n.patch(path, 0, testMinPart+17)
	n.patch(path, testMinPart+17, size)
	n.wantContent(path, size)
}

// A lifecycle rule has aborted the multipart upload: the upload fails, whether
// the next request appends to it or completes it.
func TestAbortedByLifecycleRule(t *testing.T) {
	require.Long(t)
	const size = 4 * testPart
	for name, stored := range map[string]int64{"when parts follow": testPart, "when it completes": size} {
		t.Run(name, func(t *testing.T) {
			for _, quirks := range []s3server.Quirks{{}, {UnknownUploadKey: true, CompleteOnce: true}} {
				server := smallServer(t, quirks)
				n := startOn(t, server)
				path := n.create(size)
				n.patch(path, 0, testPart)
				if stored == size { // all parts are stored before the abort
					server.Fault(s3server.On(s3server.CompleteMultipartUpload).Always(s3server.Refuse(http.StatusForbidden, "AccessDenied")).Decide)
					if answer := n.tryPatch(path, testPart, size); answer.StatusCode < 500 {
						t.Fatalf("status %d", answer.StatusCode)
					}
				}
				server.AbortAll()
				server.Fault(nil)
				n = startOn(t, server) // a new process
				if stored < size {
					n.want(http.StatusGone, n.tryPatch(path, testPart, size))
				} else {
					n.want(http.StatusGone, n.request(http.MethodGet, path, nil))
				}
				n.want(http.StatusGone, n.headWhenUnlocked(path)) // the failure may still be written to the record
				n.want(http.StatusNoContent, n.request(http.MethodDelete, path, nil))
				if left := leftovers(server, nil); len(left) > 0 {
					t.Errorf("left behind: %q", left)
				}
			}
		})
	}
}

// A proxy may answer 404 while it cannot reach the service. No upload fails
// because of it.
func TestNotFoundByAProxy(t *testing.T) {
	const size = 4 * testPart
	for _, operation := range []s3server.Operation{s3server.UploadPart, s3server.CompleteMultipartUpload} {
		t.Run(string(operation), func(t *testing.T) {
			server := smallServer(t, s3server.Quirks{})
			n := startOn(t, server)
			path := n.create(size)
			n.patch(path, 0, testPart)
			lost := s3server.On(operation).First(1, s3server.Refuse(http.StatusNotFound, "NotFound"))
			server.Fault(lost.Decide)
			if answer := n.tryPatch(path, testPart, size); answer.StatusCode < 500 {
				t.Errorf("status %d", answer.StatusCode)
			}
			if at := n.offset(path); at < size {
				n.patch(path, at, size)
			}
			n.wantContent(path, size)
			if lost.Fired() != 1 {
				t.Errorf("the proxy has answered %d times", lost.Fired())
			}
		})
	}
}

// After an interrupted removal the upload is not found: without its bytes its
// offset would fall to 0. It can be removed again.
func TestInterruptedRemoval(t *testing.T) {
	const size = 3*testPart + 77
	for name, sent := range map[string]int64{"complete in one call": 1000, "in parts": 2 * testPart, "in a tail object": 10} {
		t.Run(name, func(t *testing.T) {
			server := smallServer(t, s3server.Quirks{})
			n := startOn(t, server)
			length := int64(size)
			if sent == 1000 {
				length = sent
			}
			path := n.create(length)
			n.patch(path, 0, sent)
			removals := 0
			server.Fault(func(c s3server.Call) s3server.Outcome {
				if c.Operation == s3server.DeleteObject && c.Key == path[len("/files/"):]+".info" {
					removals++
					return s3server.Refuse(http.StatusForbidden, "AccessDenied")
				}
				return s3server.Outcome{}
			})
			if answer := n.request(http.MethodDelete, path, nil); answer.StatusCode < 500 || removals == 0 {
				t.Fatalf("DELETE: status %d, %d removals of the record were tried", answer.StatusCode, removals)
			}
			server.Fault(nil)
			for _, n := range []*node{n, startOn(t, server)} {
				n.want(http.StatusNotFound, n.request(http.MethodHead, path, nil))
			}
			n.want(http.StatusNoContent, n.request(http.MethodDelete, path, nil))
			if left := server.Objects(); len(left) > 0 {
				t.Errorf("%d objects are left: %s", len(left), left[0].Key)
			}
		})
	}
}
