package s3server_test

import (
	"bytes"
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/awserr"
	"github.com/aws/aws-sdk-go/aws/request"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/internal/s3server"
)

func TestRefuse(t *testing.T) {
	c := start(t, s3server.Quirks{})
	rule := s3server.On(s3server.PutObject).Nth(2, s3server.Refuse(http.StatusServiceUnavailable, "SlowDown"))
	c.server.Fault(rule.Decide)
	_, err := c.put("a", []byte("1"))
	mustSucceed(t, err)
	_, err = c.put("a", []byte("2"))
	wantCode(t, err, http.StatusServiceUnavailable, "SlowDown")
	c.wantContent("a", []byte("1"))
	_, err = c.put("a", []byte("3"))
	mustSucceed(t, err)
	if rule.Fired() != 1 {
		t.Errorf("fired %d times, want 1", rule.Fired())
	}
}

func TestRefuseDone(t *testing.T) {
	c := start(t, s3server.Quirks{})
	c.server.Fault(s3server.On(s3server.PutObject).Always(s3server.RefuseDone(http.StatusInternalServerError, "InternalError")).Decide)
	_, err := c.put("a", []byte("1"))
	wantCode(t, err, http.StatusInternalServerError, "InternalError")
	c.server.Fault(nil)
	c.wantContent("a", []byte("1"))
}

func TestLoseAnswer(t *testing.T) {
	c := start(t, small)
	id := c.begin("a")
	parts := c.parts("a", id, []byte("1"))
	c.server.Fault(s3server.On(s3server.CompleteMultipartUpload).First(1, s3server.LoseAnswer()).Decide)
	_, err := c.complete("a", id, parts...)
	wantCut(t, err)
	c.wantContent("a", []byte("1"))
	_, err = c.complete("a", id, parts...)
	mustSucceed(t, err)
}

func TestResetWithinBody(t *testing.T) {
	c := start(t, s3server.Quirks{})
	c.server.Fault(s3server.On().Always(s3server.Reset(100_000)).Decide)
	_, err := c.put("a", content(1, 1<<20))
	wantCut(t, err)
	if _, ok := c.server.Object("a"); ok {
		t.Error("half an object is stored")
	}
	if up := c.server.Counts()[s3server.PutObject].Up; up != 100_000 {
		t.Errorf("%d bytes were received, want 100000", up)
	}
}

func TestResetWithinAnswer(t *testing.T) {
	c := start(t, s3server.Quirks{})
	data := content(1, 1<<20)
	c.server.Put("a", data)
	c.server.Fault(s3server.On(s3server.GetObject).Always(s3server.Reset(100_000)).Decide)
	got, _, err := c.get("a")
	wantCut(t, err)
	if len(got) > 100_000 || !bytes.HasPrefix(data, got) {
		t.Errorf("%d bytes were read, want at most 100000 of the object", len(got))
	}
}

func TestRefuseInside(t *testing.T) {
	c := start(t, small)
	c.server.Fault(s3server.On().Always(s3server.RefuseInside("InternalError")).Decide)
	_, err := c.complete("a", "any", &s3.CompletedPart{PartNumber: aws.Int64(1), ETag: aws.String("x")})
	wantCode(t, err, http.StatusOK, "InternalError")
	_, err = c.copyPart("a", "any", "b", "")
	wantCode(t, err, http.StatusOK, "InternalError")

	c.server.Put("a", nil)
	c.server.Put("b", nil)
	out, err := c.deleteAll(true, "a", "b")
	mustSucceed(t, err)
	if len(out.Errors) != 1 || *out.Errors[0].Key != "b" || *out.Errors[0].Code != "InternalError" {
		t.Errorf("%v, want an error for b", out.Errors)
	}
	if left := c.server.Objects(); len(left) != 1 || left[0].Key != "b" {
		t.Errorf("%d objects are left, want b", len(left))
	}
}

func TestLatency(t *testing.T) {
	const each = 20 * time.Millisecond
	c := start(t, s3server.Quirks{})
	refuse := s3server.On().First(1, s3server.Refuse(http.StatusForbidden, "AccessDenied"))
	c.server.Fault(s3server.Together(s3server.Latency(each/2), refuse.Decide, s3server.Latency(each/2)))
	began := time.Now()
	_, err := c.put("a", nil)
	wantCode(t, err, http.StatusForbidden, "AccessDenied")
	_, err = c.put("a", nil)
	mustSucceed(t, err)
	if took := time.Since(began); took < 2*each {
		t.Errorf("two calls took %v, want at least %v", took, 2*each)
	}
}

// putLater stores an object in a new goroutine.
func (c *client) putLater(ctx context.Context, key string) (ended <-chan error) {
	done := make(chan error, 1)
	go func() {
		_, err := c.PutObjectWithContext(ctx, &s3.PutObjectInput{
			Bucket: c.bucket(), Key: &key, Body: bytes.NewReader([]byte("x")),
		})
		done <- err
	}()
	return done
}

// within waits for an event.
func within[T any](t *testing.T, event <-chan T) T {
	t.Helper()
	select {
	case value := <-event:
		return value
	case <-time.After(testTimeout):
		t.Fatal("the event does not happen")
		panic("unreachable")
	}
}

func TestStall(t *testing.T) {
	c := start(t, s3server.Quirks{})
	release := make(chan struct{})
	rule := s3server.On().First(1, s3server.Stall(release))
	c.server.Fault(rule.Decide)
	ended := c.putLater(t.Context(), "a")
	within(t, rule.Reached())
	if _, ok := c.server.Object("a"); ok {
		t.Error("a stalled call has been executed")
	}
	close(release)
	mustSucceed(t, within(t, ended))
	c.wantContent("a", []byte("x"))
}

func TestStallEndsWithTheClient(t *testing.T) {
	var server *s3server.Server
	t.Run("client", func(t *testing.T) {
		c := start(t, s3server.Quirks{})
		server = c.server
		rule := s3server.On().First(1, s3server.Stall(make(chan struct{})))
		c.server.Fault(rule.Decide)
		ctx, leave := context.WithCancel(t.Context())
		ended := c.putLater(ctx, "a")
		within(t, rule.Reached())
		leave()
		if err, ok := within(t, ended).(awserr.Error); !ok || err.Code() != request.CanceledErrorCode {
			t.Errorf("%v, want cancellation", err)
		}
	})
	wantNothing(t, server)
}

func TestStallEndsWithTheServer(t *testing.T) {
	var server *s3server.Server
	var ended <-chan error
	t.Run("server", func(t *testing.T) {
		c := start(t, s3server.Quirks{})
		server = c.server
		rule := s3server.On().Always(s3server.Stall(make(chan struct{})))
		c.server.Fault(rule.Decide)
		ended = c.putLater(context.WithoutCancel(t.Context()), "a")
		within(t, rule.Reached())
	})
	wantCut(t, within(t, ended))
	wantNothing(t, server)
}

// wantNothing fails if the server has stored an object.
func wantNothing(t *testing.T, server *s3server.Server) {
	t.Helper()
	if objects := server.Objects(); len(objects) != 0 {
		t.Errorf("a cancelled call was executed: %d objects", len(objects))
	}
}

func TestHoldAnswer(t *testing.T) {
	c := start(t, s3server.Quirks{})
	release := make(chan struct{})
	c.server.Fault(s3server.On(s3server.PutObject).First(1, s3server.HoldAnswer(release)).Decide)
	ended := c.putLater(t.Context(), "a")
	deadline := time.Now().Add(testTimeout)
	for {
		if _, ok := c.server.Object("a"); ok {
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("the call is not executed")
		}
		time.Sleep(time.Millisecond)
	}
	select {
	case err := <-ended:
		t.Errorf("answered before the release: %v", err)
	default:
	}
	close(release)
	mustSucceed(t, within(t, ended))
}

func TestRules(t *testing.T) {
	one, two := s3server.Refuse(500, "One"), s3server.Refuse(500, "Two")
	key := func(c s3server.Call) bool { return c.Key == "a" }
	for name, test := range map[string]struct {
		decide func(s3server.Call) s3server.Outcome
		want   string
	}{
		"always":   {s3server.On().Always(one).Decide, "1111"},
		"nth":      {s3server.On().Nth(3, one).Decide, "..1."},
		"first":    {s3server.On().First(2, one).Decide, "11.."},
		"from":     {s3server.On().From(3, one).Decide, "..11"},
		"on":       {s3server.On(s3server.GetObject).Nth(2, one).Decide, "...1"},
		"and":      {s3server.On(s3server.PutObject).And(key).Always(one).Decide, "..1."},
		"together": {s3server.Together(s3server.On().Nth(2, one).Decide, s3server.On().From(2, two).Decide), ".122"},
	} {
		t.Run(name, func(t *testing.T) {
			var got []byte
			for _, call := range []s3server.Call{
				{Operation: s3server.PutObject}, {Operation: s3server.GetObject},
				{Operation: s3server.PutObject, Key: "a"}, {Operation: s3server.GetObject, Key: "a"},
			} {
				got = append(got, map[string]byte{"": '.', "One": '1', "Two": '2'}[test.decide(call).Code])
			}
			if string(got) != test.want {
				t.Errorf("%s, want %s", got, test.want)
			}
		})
	}
}
