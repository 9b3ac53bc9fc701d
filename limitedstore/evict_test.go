package limitedstore_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/limitedstore"
	"github.com/tus/tusd/storetest"
)

// evicting starts a server with a policy.
func evicting(t *testing.T, policy limitedstore.Policy, limit int64) (*server, *storetest.Memory) {
	store := storetest.NewMemory()
	return serve(t, store, limit, tusd.Config{}, func(s *limitedstore.LimitedStore) {
		s.Policy = policy
		limitedstore.SetTiming(s, 30*time.Second, time.Minute, 10*time.Millisecond)
	}), store
}

// upload creates an upload and sends n bytes of it.
func (s *server) upload(length, n int64) (url string) {
	s.Helper()
	answer := s.create(length)
	if answer.StatusCode != http.StatusCreated {
		s.Fatalf("a creation of %d bytes is answered %d", length, answer.StatusCode)
	}
	url = answer.Header.Get("Location")
	if n > 0 {
		if answer := s.patch(url, 0, bytes.NewReader(make([]byte, n))); answer.StatusCode != http.StatusNoContent {
			s.Fatalf("a PATCH is answered %d", answer.StatusCode)
		}
	}
	return url
}

// want checks which uploads exist.
func (s *server) want(what string, exist bool, urls ...string) {
	s.Helper()
	for i, url := range urls {
		if status := s.do(http.MethodHead, url, nil).StatusCode; (status == http.StatusOK) != exist {
			s.Errorf("%s %d is answered %d", what, i, status)
		}
	}
}

// wantRefused checks that a creation is refused, and that the client should try again.
func (s *server) wantRefused(length int64, status int) {
	s.Helper()
	answer := s.create(length)
	if answer.StatusCode != status {
		s.Errorf("a creation of %d bytes is answered %d, want %d", length, answer.StatusCode, status)
	}
	if after, _ := strconv.Atoi(answer.Header.Get("Retry-After")); (after > 0) != (status == http.StatusInsufficientStorage) {
		s.Errorf("Retry-After is %q", answer.Header.Get("Retry-After"))
	}
}

// wantEvicted checks how many uploads were removed to make room.
func (s *server) wantEvicted(n uint64) {
	s.Helper()
	wantEventually(s, "the removal ends", func() bool { return !limitedstore.Evicting(s.limited) })
	if got := s.limited.Usage().Evicted; got != n {
		s.Errorf("%d uploads are removed, want %d", got, n)
	}
}

// As many uploads are removed as necessary, the oldest unfinished first, and complete ones
// never.
func TestUnfinishedPolicy(t *testing.T) {
	s, _ := evicting(t, limitedstore.PolicyUnfinished, 100)
	complete := s.upload(30, 30)
	old, middle, young := s.upload(20, 5), s.upload(20, 0), s.upload(20, 19)
	s.patch(old, 5, bytes.NewReader(make([]byte, 1))) // now it is the youngest
	s.upload(40, 40)                                  // 90 are reserved
	s.want("the oldest", false, middle)
	s.want("the next", false, young)
	s.want("another one", true, old, complete)
	s.wantEvicted(2)
	if n := s.handler.Metrics().UploadsEvicted.Load(); n != 2 {
		t.Errorf("the handler has counted %d", n)
	}
	s.wantRefused(31, http.StatusInsufficientStorage) // 30 would be free without old
	s.want("a complete one", true, complete)
}

// An upload that has become complete since it was listed stays.
func TestCompleteSinceListed(t *testing.T) {
	s, _ := evicting(t, limitedstore.PolicyUnfinished, 100)
	first, second, third := s.upload(30, 0), s.upload(30, 0), s.upload(30, 0)
	s.upload(20, 0) // lists all of them
	s.want("the oldest", false, first)
	s.patch(second, 0, bytes.NewReader(make([]byte, 30)))
	s.upload(30, 0)
	s.want("what is complete now", true, second)
	s.want("the next", false, third)
}

// An upload that was continued since it was listed stays, as long as there are others.
func TestContinuedSinceListed(t *testing.T) {
	s, _ := evicting(t, limitedstore.PolicyUnfinished, 100)
	first, second, third := s.upload(30, 0), s.upload(30, 0), s.upload(30, 0)
	s.upload(20, 0) // lists all of them
	s.want("the oldest", false, first)
	s.patch(second, 0, bytes.NewReader(make([]byte, 1)))
	s.upload(30, 0)
	s.want("what was continued", true, second)
	s.want("the next", false, third)
}

// Two requests that wait get room for both, and not more.
func TestNotMoreThanNeeded(t *testing.T) {
	store := &slowRemovals{storetest.NewMemory(), make(chan struct{}, 10), make(chan struct{})}
	s := serve(t, store, 100, tusd.Config{}, func(s *limitedstore.LimitedStore) {
		s.Policy = limitedstore.PolicyUnfinished
		limitedstore.SetTiming(s, time.Hour, time.Minute, 10*time.Millisecond)
	})
	for range 10 {
		s.upload(10, 0)
	}
	answers := make(chan int)
	for range 2 {
		go func() { answers <- s.create(10).StatusCode }()
	}
	wantEventually(t, "both wait", func() bool { return limitedstore.Wanted(s.limited) == 20 })
	close(store.proceed)
	for range 2 {
		if status := <-answers; status != http.StatusCreated {
			t.Errorf("a creation is answered %d", status)
		}
	}
	s.wantEvicted(2)
}

// Requests that come again do not add up, neither content without a length nor creations that
// have waited for too long.
func TestRetriesDoNotAddUp(t *testing.T) {
	store := &slowRemovals{storetest.NewMemory(), make(chan struct{}, 100), make(chan struct{})}
	s := serve(t, store, 1000, tusd.Config{}, func(s *limitedstore.LimitedStore) {
		s.Policy = limitedstore.PolicyUnfinished
		limitedstore.SetTiming(s, time.Millisecond, time.Minute, 10*time.Millisecond)
	})
	for range 9 {
		s.upload(100, 0)
	}
	growing := s.upload(-1, 100)
	for range 5 {
		if status := s.patch(growing, 100, bytes.NewReader(make([]byte, 50))).StatusCode; status != http.StatusInsufficientStorage {
			t.Errorf("growth is answered %d", status)
		}
		s.wantRefused(70, http.StatusInsufficientStorage)
	}
	close(store.proceed)
	wantEventually(t, "there is room", func() bool { return s.create(70).StatusCode == http.StatusCreated })
	s.wantEvicted(1)
}

// A client that comes again and finds the room that was made for it takes it: no more is made,
// although the removal has not looked yet.
func TestRoomIsMadeOnce(t *testing.T) {
	removed := &pausedRemovals{slog.DiscardHandler, make(chan struct{}), make(chan struct{})}
	s := serve(t, storetest.NewMemory(), 1000, tusd.Config{}, func(s *limitedstore.LimitedStore) {
		s.Policy, s.Log = limitedstore.PolicyUnfinished, slog.New(removed)
	})
	for range 9 {
		s.upload(100, 0)
	}
	growing := s.upload(-1, 100)
	if status := s.patch(growing, 100, bytes.NewReader(make([]byte, 50))).StatusCode; status != http.StatusInsufficientStorage {
		t.Errorf("growth is answered %d", status)
	}
	<-removed.begun
	if status := s.patch(growing, 100, bytes.NewReader(make([]byte, 60))).StatusCode; status != http.StatusNoContent {
		t.Errorf("growth is answered %d when there is room", status)
	}
	close(removed.proceed)
	s.wantEvicted(1)
}

// pausedRemovals waits when an upload was removed.
type pausedRemovals struct {
	slog.Handler
	begun, proceed chan struct{}
}

func (p *pausedRemovals) Enabled(context.Context, slog.Level) bool { return true }
func (p *pausedRemovals) Handle(_ context.Context, r slog.Record) error {
	if strings.Contains(r.Message, "an upload was removed to make room") {
		select {
		case p.begun <- struct{}{}:
		case <-p.proceed:
		}
		<-p.proceed
	}
	return nil
}

// The other policies remove complete uploads, too.
func TestPoliciesWithComplete(t *testing.T) {
	s, _ := evicting(t, limitedstore.PolicyOldest, 100)
	first, second, third := s.upload(10, 10), s.upload(60, 0), s.upload(30, 30)
	s.upload(5, 0)
	s.want("the oldest", false, first)
	s.want("another one", true, second, third)

	s, _ = evicting(t, limitedstore.PolicyBiggest, 100)
	first, second, third = s.upload(10, 10), s.upload(60, 60), s.upload(30, 30)
	s.upload(5, 0)
	s.want("the biggest", false, second)
	s.want("another one", true, first, third)
}

// What can never fit removes nothing.
func TestNothingIsRemovedInVain(t *testing.T) {
	s, _ := evicting(t, limitedstore.PolicyBiggest, 100)
	a := s.upload(90, 0)
	s.wantRefused(101, http.StatusRequestEntityTooLarge)
	s.want("the upload", true, a)

	s, _ = evicting(t, limitedstore.PolicyUnfinished, 100)
	complete, b, c := s.upload(50, 50), s.upload(20, 0), s.upload(20, 10)
	s.wantRefused(60, http.StatusInsufficientStorage)
	s.want("what would not be enough", true, complete, b, c)
	s.upload(25, 0)
	s.want("the oldest", false, b)
	s.want("another one", true, complete, c)
}

// An upload that is being written is not removed. The client that wants its space is told to
// try again.
func TestWritingIsNotInterrupted(t *testing.T) {
	s, _ := evicting(t, limitedstore.PolicyBiggest, 100)
	url := s.upload(90, 0)
	r, w := io.Pipe()
	answered := make(chan int)
	go func() { answered <- s.patch(url, 0, r).StatusCode }()
	if _, err := w.Write(make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	s.wantRefused(50, http.StatusInsufficientStorage)
	w.Write(make([]byte, 80))
	w.Close()
	if status := <-answered; status != http.StatusNoContent {
		t.Errorf("the upload is answered %d", status)
	}
	wantEventually(t, "it is removed when it is free", func() bool { return s.create(50).StatusCode == http.StatusCreated })
	s.want("the upload", false, url)
}

// Growth beyond the limit is refused and makes room for the next attempt.
func TestGrowthMakesRoom(t *testing.T) {
	s, _ := evicting(t, limitedstore.PolicyUnfinished, 1000)
	old, url := s.upload(900, 0), s.upload(-1, 0)
	if status := s.patch(url, 0, bytes.NewReader(make([]byte, 150))).StatusCode; status != http.StatusInsufficientStorage {
		t.Errorf("growth is answered %d", status)
	}
	wantEventually(t, "an upload is removed", func() bool { return s.limited.Usage().Evicted == 1 })
	s.want("the old upload", false, old)
	offset, _ := strconv.ParseInt(s.do(http.MethodHead, url, nil).Header.Get("Upload-Offset"), 10, 64)
	if offset != 100 {
		t.Errorf("the offset is %d, want 100", offset)
	}
	if status := s.patch(url, offset, bytes.NewReader(make([]byte, 50))).StatusCode; status != http.StatusNoContent {
		t.Errorf("the next attempt is answered %d", status)
	}
}

// wantEventually polls until the condition is true.
func wantEventually(tb testing.TB, what string, condition func() bool) {
	tb.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			tb.Fatalf("in 30 s not true: %s", what)
		}
	}
}

// slowRemovals is a store that removes nothing until it is told to.
type slowRemovals struct {
	*storetest.Memory
	begun, proceed chan struct{}
}

func (s *slowRemovals) Terminate(ctx context.Context, lease tusd.Lease, id string) error {
	s.begun <- struct{}{}
	<-s.proceed
	return s.Memory.Terminate(ctx, lease, id)
}

// A creation waits for room, but not long. The removal goes on when it is refused.
func TestCreationWaits(t *testing.T) {
	for _, patient := range []bool{true, false} {
		store := &slowRemovals{storetest.NewMemory(), make(chan struct{}), make(chan struct{})}
		s := serve(t, store, 100, tusd.Config{}, func(s *limitedstore.LimitedStore) {
			s.Policy = limitedstore.PolicyUnfinished
			wait := time.Millisecond
			if patient {
				wait = time.Hour
			}
			limitedstore.SetTiming(s, wait, time.Minute, 10*time.Millisecond)
		})
		old, answered := s.upload(90, 0), make(chan int, 1)
		go func() { answered <- s.create(50).StatusCode }()
		<-store.begun
		if patient {
			close(store.proceed)
			if status := <-answered; status != http.StatusCreated {
				t.Errorf("a creation that waits is answered %d", status)
			}
		} else {
			if status := <-answered; status != http.StatusInsufficientStorage {
				t.Errorf("a creation that has waited for long is answered %d", status)
			}
			close(store.proceed)
			wantEventually(t, "there is room", func() bool { return s.create(50).StatusCode == http.StatusCreated })
		}
		s.want("the old upload", false, old)
		s.wantEvicted(1)
	}
}

// A paused upload is removed: no request writes to it.
func TestPausedUploadIsRemoved(t *testing.T) {
	s, _ := evicting(t, limitedstore.PolicyUnfinished, 100)
	url := s.upload(90, 0)
	r, w := io.Pipe()
	answered := make(chan int)
	go func() { answered <- s.patch(url, 0, r).StatusCode }()
	w.Write(make([]byte, 10))
	w.CloseWithError(io.ErrUnexpectedEOF)
	<-answered
	s.upload(50, 0)
	s.want("the upload", false, url)
}

// A creation beyond the quota of its owner removes nothing of others.
func TestQuotaRemovesNothing(t *testing.T) {
	for _, policy := range limitedstore.Policies() {
		owner := ""
		config := tusd.Config{Callbacks: tusd.Callbacks{
			PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
				return tusd.HTTPResponse{}, tusd.FileInfoChanges{Owner: owner}, nil
			},
		}}
		s := serve(t, storetest.NewMemory(), 100, config, func(s *limitedstore.LimitedStore) {
			s.Policy, s.OwnerQuota = policy, 60
			limitedstore.SetTiming(s, 30*time.Second, time.Minute, 10*time.Millisecond)
		})
		owner = "b"
		urls := []string{s.upload(10, 10), s.upload(10, 10), s.upload(10, 10), s.upload(10, 10), s.upload(10, 0)}
		owner = "a"
		urls = append(urls, s.upload(50, 50))
		s.wantRefused(40, http.StatusInsufficientStorage)
		s.wantEvicted(0)
		s.want("an upload with policy "+string(policy), true, urls...)
	}
}

// Of two creations that wait, the quota of their owner lets only one in. The other one removes
// nothing more.
func TestQuotaWhileWaiting(t *testing.T) {
	store := &slowRemovals{storetest.NewMemory(), make(chan struct{}, 10), make(chan struct{})}
	owner := "b"
	config := tusd.Config{Callbacks: tusd.Callbacks{
		PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
			return tusd.HTTPResponse{}, tusd.FileInfoChanges{Owner: owner}, nil
		},
	}}
	s := serve(t, store, 100, config, func(s *limitedstore.LimitedStore) {
		s.Policy, s.OwnerQuota = limitedstore.PolicyUnfinished, 60
		limitedstore.SetTiming(s, time.Hour, time.Minute, 10*time.Millisecond)
	})
	for range 6 {
		s.upload(10, 0)
	}
	owner = "c"
	for range 4 {
		s.upload(10, 0)
	}
	owner = "a"
	answers := make(chan int)
	for range 2 {
		go func() { answers <- s.create(40).StatusCode }()
	}
	wantEventually(t, "both wait", func() bool { return limitedstore.Wanted(s.limited) == 80 })
	for range 4 {
		store.proceed <- struct{}{}
	}
	if first, second := <-answers, <-answers; first+second != http.StatusCreated+http.StatusInsufficientStorage {
		t.Errorf("the creations are answered %d and %d", first, second)
	}
	close(store.proceed)
	wantEventually(t, "the removal ends", func() bool { return !limitedstore.Evicting(s.limited) })
	if n := s.limited.Usage().Evicted; n > 5 { // one had begun
		t.Errorf("%d uploads are removed", n)
	}
}

// When the handler is shut down, the removal ends without a warning.
func TestShutdownEndsRemoval(t *testing.T) {
	var logged bytes.Buffer
	s := serve(t, storetest.NewMemory(), 1000, tusd.Config{}, func(s *limitedstore.LimitedStore) {
		s.Policy, s.Log = limitedstore.PolicyUnfinished, slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelWarn}))
		limitedstore.SetTiming(s, time.Minute, time.Minute, 10*time.Millisecond)
	})
	for range 100 {
		s.upload(10, 0)
	}
	if err := s.handler.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	limitedstore.RequestRoom(s.limited, 500)
	s.wantEvicted(0)
	closeStore(t, s.limited)
	if logged.Len() > 0 {
		t.Errorf("the log has %s", logged.String())
	}
}

// A listing that finds nothing to remove is not repeated at once.
func TestListingsInVain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var listings atomic.Int64
		b := &bench{TB: t, memory: storetest.NewMemory(), locker: &tusd.LocalLocker{}, leases: make(map[string]tusd.Lease)}
		b.evict = func(context.Context, string, func(tusd.FileInfo) bool) error { return tusd.ErrUploadLocked }
		b.open(100, func(s *limitedstore.LimitedStore) {
			s.Policy = limitedstore.PolicyUnfinished
			limitedstore.WrapLister(s, func(l tusd.Lister) tusd.Lister { return countingLister{sleepingLister{l}, &listings} })
		})
		time.Sleep(2 * time.Minute)
		b.create(sized("a", 90))
		ask := func(times int) (n int64) {
			before := listings.Load()
			for range times {
				_, err := b.tryCreate(sized("b", 20))
				b.wantError("a creation", err, tusd.ErrNoSpace)
				if err := b.leases["b"].Unlock(t.Context()); err != nil {
					t.Fatal(err)
				}
				time.Sleep(time.Minute)
			}
			return listings.Load() - before
		}
		if n := ask(15); n > 2 { // one of them is a count
			t.Errorf("%d listings in 15 minutes, one takes a minute", n)
		}
		if n := ask(15); n == 0 {
			t.Error("no listing in the next 15 minutes")
		}
	})
}

type countingLister struct {
	tusd.Lister
	listings *atomic.Int64
}

func (l countingLister) List(ctx context.Context, cursor string, filter tusd.ListFilter, limit int) ([]tusd.Listed, string, error) {
	l.listings.Add(1)
	return l.Lister.List(ctx, cursor, filter, limit)
}
