package protocoltest

import (
	"context"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

// expiresIn checks that an answer announces an expiration about d from now, and returns it.
func (a *answer) expiresIn(d time.Duration) time.Time {
	a.env.Helper()
	at, err := time.Parse(http.TimeFormat, a.Header.Get("Upload-Expires"))
	if left := time.Until(at) - d; err != nil || left.Abs() > time.Minute || len(a.Header.Values("Upload-Expires")) != 1 {
		a.env.Errorf("%s: answer %d has Upload-Expires %q (%v), want a date about %v from now", a.request, a.Status, a.Header.Values("Upload-Expires"), err, d)
	}
	return at
}

// expired checks that an upload is answered as expired, whatever the method.
func (e *env) expired(target string) {
	e.Helper()
	e.head(target).status(410).without("Upload-Offset", "Upload-Expires")
	for _, a := range []*answer{e.patch(target, 0, []byte("x")), e.patch(target, 5, nil), e.get(target, version)} {
		a.status(410).without("Upload-Offset", "Upload-Expires").code("ERR_UPLOAD_EXPIRED")
	}
}

// Cases 96 and 97: each answer that tells the state of an incomplete upload tells when it
// expires.
func TestUploadExpires(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{ExpireAfter: 24 * time.Hour})
		if a := e.do("OPTIONS", "/files/", nil); !regexp.MustCompile(`(^|,)expiration(,|$)`).MatchString(a.Header.Get("Tus-Extension")) {
			t.Errorf("Tus-Extension %q", a.Header.Get("Tus-Extension"))
		}
		created := e.post("Upload-Length: 10").status(201)
		created.expiresIn(24 * time.Hour)
		path := created.location()
		e.postWith([]byte("hel"), "Upload-Length: 10").status(201).expiresIn(24 * time.Hour)
		e.post("Upload-Defer-Length: 1").status(201).expiresIn(24 * time.Hour)
		e.post("Upload-Length: 10", "Upload-Concat: partial").status(201).expiresIn(24 * time.Hour)
		e.patch(path, 0, []byte("hello")).status(204).expiresIn(24 * time.Hour)
		e.patch(path, 3, []byte("x")).status(409).expiresIn(24 * time.Hour)
		e.patch(path, 5, []byte("too long")).status(413).expiresIn(24 * time.Hour)
		at := e.patch(path, 5, nil).status(204).expiresIn(24 * time.Hour)
		if seen := e.head(path).status(200).expiresIn(24 * time.Hour); seen.Before(at) {
			t.Errorf("HEAD announces %v, the PATCH before has announced %v", seen, at)
		}
		e.patch(path, 5, []byte("world")).status(204).without("Upload-Expires")
		e.head(path).status(200).without("Upload-Expires")
		e.createPartial([]byte("ab"))
		e.post("Upload-Length: 0").status(201).without("Upload-Expires")
	})
}

// Each PATCH renews the time, also one without content. A HEAD does not.
func TestExpirationIsRenewed(t *testing.T) {
	t.Parallel()
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{ExpireAfter: time.Hour})
		path := e.create(1000)
		for _, data := range [][]byte{[]byte("x"), nil} {
			offset := e.offset(path)
			first := e.patch(path, offset, nil).status(204).expiresIn(time.Hour)
			later := first.Add(3 * time.Second) // the date has whole seconds
			e.eventually("some seconds have passed", func() bool { return time.Now().Add(time.Hour).After(later) })
			if seen := e.head(path).expiresIn(time.Hour); seen.Sub(first) > time.Second {
				t.Fatalf("HEAD has moved the expiration from %v to %v", first, seen)
			}
			if renewed := e.patch(path, offset, data).status(204).expiresIn(time.Hour); renewed.Sub(first) < 2*time.Second {
				t.Errorf("a PATCH of %d bytes has moved the expiration from %v to %v", len(data), first, renewed)
			}
		}
	})
}

// Cases 98 and 99: an expired upload is 410, also after a restart, until it is swept or its
// client removes it. A complete upload does not expire.
func TestExpiredUploads(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{ExpireAfter: time.Hour})
		never, half, partial := e.create(10), e.create(10), e.post("Upload-Length: 5", "Upload-Concat: partial").status(201).location()
		deferred := e.createDeferred()
		e.patch(half, 0, []byte("hello")).status(204)
		e.patch(deferred, 0, []byte("hello")).status(204)
		complete, fullPartial := e.createFull([]byte("hello")), e.createPartial([]byte("hello"))
		_, open, final := e.pendingFinal()
		for range 2 {
			e.ahead.Store(int64(2 * time.Hour))
			for _, path := range []string{never, half, partial, deferred, open} {
				e.expired(path)
			}
			e.wantOffset(complete, 5)
			e.get(complete, version).status(200)
			e.wantOffset(fullPartial, 5)
			e.head(final).status(200).without("Upload-Expires") // it fails by itself, later
			e.postFinal(partial).status(410).code("ERR_UPLOAD_EXPIRED")
			e.stop()
			store.reopen()
		}
		e.terminate(half).status(410).code("ERR_UPLOAD_EXPIRED")
		e.head(half).status(404)
		e.sweep(tusd.SweepPolicy{}, 3)
		for _, path := range []string{never, partial, deferred} {
			e.wantNotFound(path)
		}
		e.wantOffset(complete, 5)
		e.wantOffset(fullPartial, 5)
	})
}

// wantNotFound checks that nothing is known of an upload any more.
func (e *env) wantNotFound(path string) {
	e.Helper()
	e.head(path).status(404).without("Upload-Offset")
	for _, a := range []*answer{e.patch(path, 0, []byte("x")), e.get(path, version), e.terminate(path)} {
		a.status(404).code("ERR_UPLOAD_NOT_FOUND")
	}
}

// A program can let one upload expire at a time of its own. The time is stored and is not
// renewed.
func TestExpirationOfOneUpload(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		at := time.Now().Add(30 * time.Minute)
		e := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{
			PreCreate: func(_ context.Context, event tusd.Event) (r tusd.HTTPResponse, c tusd.FileInfoChanges, _ error) {
				if event.HTTPRequest.Header.Get("X-Short") != "" {
					c.Expires = at
				}
				return r, c, nil
			},
		}})
		short := e.post("Upload-Length: 10", "X-Short: 1").status(201)
		short.header("Upload-Expires", at.UTC().Format(http.TimeFormat))
		path, other := short.location(), e.create(10)
		e.head(other).status(200).without("Upload-Expires")
		e.patch(path, 0, []byte("hello")).status(204).header("Upload-Expires", at.UTC().Format(http.TimeFormat))
		e.stop()
		store.reopen()
		e.head(path).status(200).header("Upload-Expires", at.UTC().Format(http.TimeFormat))
		e.ahead.Store(int64(31 * time.Minute))
		e.expired(path)
		e.head(other).status(200)
		e.sweep(tusd.SweepPolicy{}, 1)
		e.wantNotFound(path)
		e.post("Upload-Length: 10", "X-Short: 1").status(500, 503) // the time has passed
		if n := e.countUploads(); n != 1 {
			t.Errorf("%d uploads are stored", n)
		}
	})
}

var maxAge = regexp.MustCompile(`(?:^|, )(?:max-age|expires)=(\d+)(?:,|$)`)

// R47: Upload-Limit tells how long an upload can be continued. The end does not move to an
// earlier time.
func TestMaxAge(t *testing.T) {
	onStores(t, func(t *testing.T, store *hookedStore) {
		e := serve(t, store, tusd.Config{ExpireAfter: time.Hour})
		for interop := 3; interop <= 9; interop++ {
			d := e.ietf(interop)
			left := func(a *answer) int64 {
				t.Helper()
				found := maxAge.FindStringSubmatch(a.Header.Get("Upload-Limit"))
				if found == nil {
					t.Fatalf("version %d: Upload-Limit %q", interop, a.Header.Get("Upload-Limit"))
				}
				if name := map[bool]string{true: "max-age", false: "expires"}[interop > 6]; interop >= 6 && !strings.Contains(found[0], name) {
					t.Errorf("version %d: Upload-Limit %q", interop, a.Header.Get("Upload-Limit"))
				}
				n, _ := strconv.ParseInt(found[1], 10, 64)
				return n
			}
			path := d.begin()
			e.ahead.Store(0)
			first := left(d.head(path).status(204, 200))
			e.ahead.Store(int64(10 * time.Minute))
			later := left(d.head(path))
			if first < 3500 || first > 3600 || first-later < 590 || first-later > 660 {
				t.Errorf("version %d: max-age %d, and ten minutes later %d", interop, first, later)
			}
			d.append(path, 0, false, []byte("hello")).status(d.appended())
			e.ahead.Store(int64(2 * time.Hour))
			if limit := d.head(path).status(410).without("Upload-Offset").Header.Get("Upload-Limit"); maxAge.MatchString(limit) {
				t.Errorf("version %d: an expired upload has Upload-Limit %q", interop, limit)
			}
			d.append(path, 5, false, []byte("x")).status(410).without("Upload-Offset")
			e.ahead.Store(0)
			d.append(path, 5, true, []byte("world")).status(200, d.appended())
			if limit := d.head(path).Header.Get("Upload-Limit"); maxAge.MatchString(limit) {
				t.Errorf("version %d: a complete upload has Upload-Limit %q", interop, limit)
			}
		}
	})
}

// An upload that has all its bytes and waits for its finish does not expire: a request and
// a sweep wake it.
func TestFullUploadsAreFinishedAndNotExpired(t *testing.T) {
	for name, c := range map[string]struct {
		expireAfter time.Duration
		policy      tusd.SweepPolicy
	}{
		"by age":        {0, ages(time.Hour, tusd.ClassNeverStarted, tusd.ClassUnfinished, tusd.ClassFailed)},
		"by expiration": {time.Hour, tusd.SweepPolicy{}},
	} {
		t.Run(name, func(t *testing.T) {
			onStores(t, func(t *testing.T, store *hookedStore) { testFullUploads(t, store, c.expireAfter, c.policy) })
		})
	}
}

func testFullUploads(t *testing.T, store *hookedStore, expireAfter time.Duration, policy tusd.SweepPolicy) {
	first := serve(t, store, tusd.Config{ExpireAfter: expireAfter, Callbacks: tusd.Callbacks{PreFinish: failingFinish}})
	asked, swept := first.create(5), first.create(5)
	first.patch(asked, 0, []byte("hello")).status(503).without("Upload-Expires")
	first.patch(swept, 0, []byte("hello")).status(503)
	first.stop()
	removeSideRecords(t, store, "finishing") // only a look at the uploads finds them
	store.reopen()
	e := serve(t, store, tusd.Config{ExpireAfter: expireAfter, Callbacks: tusd.Callbacks{PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
		return tusd.HTTPResponse{}, nil
	}}}, rescanEvery(time.Hour))
	e.ahead.Store(int64(48 * time.Hour))
	e.head(asked).status(423, 200)
	e.sweep(policy, 0)
	for _, path := range []string{asked, swept} {
		e.eventually("the upload is complete", func() bool {
			info, err := e.handler.Info(t.Context(), idOf(path))
			return err == nil && info.Complete() && info.State == tusd.StateComplete
		})
	}
}

// Without ExpireAfter nothing expires, and nothing is announced.
func TestNothingExpiresByDefault(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{})
	a := e.post("Upload-Length: 10").status(201).without("Upload-Expires")
	if extensions := e.do("OPTIONS", "/files/", nil).Header.Get("Tus-Extension"); regexp.MustCompile("expiration").MatchString(extensions) {
		t.Errorf("Tus-Extension %q", extensions)
	}
	e.ahead.Store(int64(10 * 365 * 24 * time.Hour))
	e.head(a.location()).status(200).without("Upload-Expires")
	e.patch(a.location(), 0, []byte("x")).status(204).without("Upload-Expires")
	e.sweep(tusd.SweepPolicy{}, 0)
}
