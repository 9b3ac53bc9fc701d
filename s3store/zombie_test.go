package s3store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

// silentLocker is a locker of leases that are lost without notice: every request that asks gets the lock,
// and the context of the holder before goes on. So a store with it is as one whose process
// was paused, has lost its lease, and does not know.
type silentLocker struct {
	mu     sync.Mutex
	grants map[string]uint64
}

func (*silentLocker) Scope() tusd.Scope { return tusd.ScopeLease }

func (l *silentLocker) Lock(ctx context.Context, id string, _ tusd.LockMode) (tusd.Lease, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.grants == nil {
		l.grants = make(map[string]uint64)
	}
	l.grants[id]++
	lease := &silentLease{n: l.grants[id]}
	lease.ctx, lease.end = context.WithCancelCause(context.WithoutCancel(ctx))
	return lease, nil
}

// silentLease is a grant of a silentLocker.
type silentLease struct {
	ctx context.Context
	end context.CancelCauseFunc
	n   uint64
}

func (s *silentLease) Context() context.Context  { return s.ctx }
func (*silentLease) Preempted() <-chan struct{}  { return nil }
func (s *silentLease) Fence() (n, before uint64) { return s.n, s.n - 1 }
func (s *silentLease) Unlock(context.Context) error {
	s.end(context.Canceled)
	return nil
}

// pausedClient is the client of a process that can be paused: before, or behind, one of its
// calls. Calls of other goroutines wait then, too.
type pausedClient struct {
	s3store.Client

	mu     sync.Mutex
	ends   *sync.Cond
	left   int  // calls until the pause; below 0: none comes
	behind bool // it comes when the service has executed the last one
	paused bool
	met    chan struct{} // closed at the pause
}

func newPausedClient(client s3store.Client) *pausedClient {
	c := &pausedClient{Client: client, left: -1}
	c.ends = sync.NewCond(&c.mu)
	return c
}

// pauseAt lets the process go on, and pauses it at its n-th call from now on, counted from 1.
// The channel is closed when it is paused.
func (c *pausedClient) pauseAt(n int, behind bool) <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.left, c.behind, c.met = n, behind, make(chan struct{})
	c.paused = false
	c.ends.Broadcast()
	return c.met
}

// resume lets the process go on, without another pause.
func (c *pausedClient) resume() { c.pauseAt(-1, false) }

// before is called before each call, and returns what is called behind it.
func (c *pausedClient) before() (behind func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.wait()
	c.left--
	last := c.left == 0
	if last && !c.behind {
		c.pause()
	}
	return func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		if last && c.behind {
			c.pause()
		}
		c.wait()
	}
}

func (c *pausedClient) pause() {
	c.paused = true
	close(c.met)
	c.wait()
}

func (c *pausedClient) wait() {
	for c.paused {
		c.ends.Wait()
	}
}

func (c *pausedClient) PutObject(ctx context.Context, in s3store.PutObject) (string, error) {
	defer c.before()()
	return c.Client.PutObject(ctx, in)
}

func (c *pausedClient) GetObject(ctx context.Context, in s3store.GetObject) (*s3store.Object, error) {
	defer c.before()()
	return c.Client.GetObject(ctx, in)
}

func (c *pausedClient) HeadObject(ctx context.Context, key string) (*s3store.Object, error) {
	defer c.before()()
	return c.Client.HeadObject(ctx, key)
}

func (c *pausedClient) DeleteObjects(ctx context.Context, keys []string) error {
	defer c.before()()
	return c.Client.DeleteObjects(ctx, keys)
}

func (c *pausedClient) DeleteObject(ctx context.Context, key string) error {
	defer c.before()()
	return c.Client.DeleteObject(ctx, key)
}

func (c *pausedClient) ListObjects(ctx context.Context, in s3store.ListObjects) (*s3store.ObjectPage, error) {
	defer c.before()()
	return c.Client.ListObjects(ctx, in)
}

func (c *pausedClient) CreateMultipart(ctx context.Context, key string, a s3store.Attributes) (string, error) {
	defer c.before()()
	return c.Client.CreateMultipart(ctx, key, a)
}

func (c *pausedClient) UploadPart(ctx context.Context, in s3store.UploadPart) (string, error) {
	defer c.before()()
	return c.Client.UploadPart(ctx, in)
}

func (c *pausedClient) CopyPart(ctx context.Context, in s3store.CopyPart) (string, error) {
	defer c.before()()
	return c.Client.CopyPart(ctx, in)
}

func (c *pausedClient) CompleteMultipart(ctx context.Context, key, multipart string, parts []s3store.Part) (string, error) {
	defer c.before()()
	return c.Client.CompleteMultipart(ctx, key, multipart, parts)
}

func (c *pausedClient) AbortMultipart(ctx context.Context, key, multipart string) error {
	defer c.before()()
	return c.Client.AbortMultipart(ctx, key, multipart)
}

const (
	zombiePart = 16 << 10
	zombieID   = compared + "-upload"
)

// zombieTest has two stores on one service. The zombie was paused in the middle of a request,
// and its lease is lost without its notice. The other one is the new holder.
type zombieTest struct {
	*testing.T
	name    string
	service *fakeService
	locker  *silentLocker
	clients [2]*pausedClient // of zombie and holder
	zombie  *s3store.Store
	holder  *s3store.Store
	size    int64
	acked   int64 // offset that the holder has acknowledged
}

func newZombieTest(t *testing.T, name string, size int64) *zombieTest {
	z := &zombieTest{T: t, name: name, size: size, locker: &silentLocker{}}
	z.service = newFakeService(zombiePart, 10_000, func(string) bool { return true })
	z.clients = [2]*pausedClient{newPausedClient(z.service), newPausedClient(z.service)}
	z.zombie, z.holder = z.open(z.clients[0], zombiePart), z.open(z.clients[1], 3*zombiePart)
	return z
}

func (z *zombieTest) open(client s3store.Client, minPart int64) *s3store.Store {
	z.Helper()
	store := s3store.New("bucket", client)
	store.Profile.MinPart, store.PreferredPartSize, store.BufferMemory = zombiePart, 4*zombiePart, 1<<20
	store.MinPartSize = minPart
	if err := store.Open(z.Context(), tusd.Env{Locker: z.locker}); err != nil {
		z.Fatal(err)
	}
	return store
}

func (z *zombieTest) lock() tusd.Lease {
	lease, err := z.locker.Lock(z.Context(), zombieID, tusd.LockPreempt)
	if err != nil {
		z.Fatal(err)
	}
	return lease
}

func (z *zombieTest) create(store *s3store.Store) {
	z.Helper()
	if _, err := store.NewUpload(z.Context(), z.lock(), tusd.FileInfo{ID: zombieID, Size: z.size}); err != nil {
		z.Fatal(err)
	}
}

// append appends n bytes to the upload at most, under a new grant, like a request. It returns
// the offset.
func (z *zombieTest) append(store *s3store.Store, n int64) (offset int64, err error) {
	up, err := store.GetUpload(z.Context(), z.lock(), zombieID)
	if err != nil {
		return 0, err
	}
	return z.send(store, up, n, false)
}

// send is append for an upload that was loaded. If unverified is set, the chunk turns out to be
// wrong, and is cut off again.
func (z *zombieTest) send(store *s3store.Store, up tusd.Upload, n int64, unverified bool) (offset int64, err error) {
	info, err := up.GetInfo(z.Context())
	if err != nil || info.Full() {
		return info.Offset, err
	}
	src := io.Reader(storetest.ContentReader(zombieID, info.Offset, min(z.size, info.Offset+n)))
	if unverified {
		src = io.MultiReader(src, iotest.ErrReader(tusd.ErrUnverified))
	}
	stored, err := up.WriteChunk(z.Context(), info.Offset, src)
	if unverified {
		return info.Offset, errors.Join(err, store.Rewind(z.Context(), up, info.Offset))
	}
	if offset = info.Offset + stored; err == nil && offset == z.size {
		err = up.FinishUpload(z.Context())
	}
	return offset, err
}

// hold appends n bytes as the new holder. A request may fail once, because its state was stale.
func (z *zombieTest) hold(n int64) {
	z.Helper()
	var err error
	for range 3 {
		z.wantNotBelow(z.holder)
		var offset int64
		if offset, err = z.append(z.holder, n); err == nil {
			z.acked = max(z.acked, offset)
			return
		}
		if errors.Is(err, tusd.ErrUploadFailed) {
			break
		}
	}
	z.Fatalf("%s: the new holder fails again and again: %v", z.name, err)
}

// wantNotBelow fails if a request sees less than what the holder has acknowledged.
func (z *zombieTest) wantNotBelow(store *s3store.Store) {
	z.Helper()
	up, err := store.GetUpload(z.Context(), nil, zombieID)
	if err != nil {
		z.Fatalf("%s: %v", z.name, err)
	}
	info, err := up.GetInfo(z.Context())
	if err != nil || info.Offset < z.acked || info.State == tusd.StateFailed {
		z.Fatalf("%s: the offset is %d, %d were acknowledged; state %q, error %v", z.name, info.Offset, z.acked, info.State, err)
	}
}

// wantIdentical completes the upload as the holder, and compares its object.
func (z *zombieTest) wantIdentical() {
	z.Helper()
	for z.acked < z.size {
		z.hold(z.size)
	}
	up, err := z.open(z.service, 0).GetUpload(z.Context(), nil, zombieID)
	if err != nil {
		z.Fatalf("%s: %v", z.name, err)
	}
	info, _ := up.GetInfo(z.Context())
	r, err := up.GetReader(z.Context())
	if err != nil {
		z.Fatalf("%s: the state is %+v, and the content cannot be read: %v", z.name, info, err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	want := make([]byte, z.size)
	storetest.Content(zombieID, 0, want)
	if err != nil || !bytes.Equal(got, want) {
		z.Fatalf("%s: %d bytes are stored, want %d, or others; error %v", z.name, len(got), z.size, err)
	}
}

// The sizes of chunks, in bytes: of one that becomes a tail object, of one that becomes a
// part, of several parts, and of everything.
var zombieSizes = []int64{700, zombiePart + 300, 5*zombiePart + 500, 1 << 20}

// A process has loaded an upload, is paused at each of its calls, loses its lease, and goes on
// without notice while the next holder works: between two of its requests, or at each of its
// calls. Nothing that the next holder has acknowledged is lost, and the object is identical.
func TestHolderWithoutLease(t *testing.T) {
	t.Parallel()
	for _, begun := range []zombieChunks{
		{size: 2*zombiePart + 100}, {size: 2*zombiePart + 100, stored: 700},
		{size: 11*zombiePart + 100, stored: 700}, {size: 11*zombiePart + 100, stored: zombiePart + 300},
	} {
		for _, sent := range zombieSizes {
			for _, next := range zombieSizes {
				for _, unverified := range []bool{false, true} {
					if unverified && begun.stored < zombiePart {
						continue
					}
					chunks := begun
					chunks.sent, chunks.next, chunks.unverified = sent, next, unverified
					t.Run(fmt.Sprintf("%+v", chunks), func(t *testing.T) {
						t.Parallel()
						if sent != next {
							require.LongWithoutRace(t)
						}
						synctest.Test(t, func(t *testing.T) { pauseAtEachCall(t, chunks) }) // retries cost no time
					})
				}
			}
		}
	}
}

// zombieChunks are the size of an upload, what the zombie stores before it is paused, what it is
// sending then, and the chunks of the next holder, in bytes.
type zombieChunks struct {
	size, stored, sent, next int64
	unverified               bool // the zombie cuts off again what it is sending
}

func pauseAtEachCall(t *testing.T, chunks zombieChunks) {
	t.Helper()
	for _, behind := range []bool{false, true} {
		for call, more := 1, true; more; call++ {
			for again, still := 0, true; still && more; again++ {
				more, still = pauseTwice(t, chunks, call, again, behind)
			}
			for held, still := 1, true; still && more; held++ {
				still = pauseBoth(t, chunks, call, held, behind)
			}
		}
	}
}

// start creates the upload, and sends the chunk of the zombie until it is paused at a call. If
// the zombie has stored nothing before, the next holder has created the upload.
func (z *zombieTest) start(c zombieChunks, call int, behind bool) (ended <-chan struct{}, paused bool) {
	z.Helper()
	if c.stored == 0 {
		z.create(z.holder)
	} else {
		z.create(z.zombie)
		if offset, err := z.append(z.zombie, c.stored); err != nil || offset != c.stored {
			z.Fatal(offset, err)
		}
	}
	z.acked = c.stored
	up, err := z.zombie.GetUpload(z.Context(), z.lock(), zombieID)
	if err != nil {
		z.Fatal(err)
	}
	met := z.clients[0].pauseAt(call, behind)
	ended = z.begin(func() { _, _ = z.send(z.zombie, up, c.sent, c.unverified) }) // it may fail
	return ended, isPaused(z.T, met, ended)
}

// begin runs f in the background.
func (z *zombieTest) begin(f func()) (ended <-chan struct{}) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	return done
}

// pauseTwice pauses the zombie at a call, and after again more calls once more. It reports
// whether the zombie made the first call, and the second one.
func pauseTwice(t *testing.T, c zombieChunks, call, again int, behind bool) (first, second bool) {
	t.Helper()
	z := newZombieTest(t, fmt.Sprintf("call %d, behind it %t, again %d", call, behind, again), c.size)
	ended, first := z.start(c, call, behind)
	if !first {
		return false, false
	}
	z.hold(c.next)
	second = again == 0
	if again > 0 {
		met := z.clients[0].pauseAt(again, behind)
		second = isPaused(t, met, ended)
		z.hold(c.next)
	}
	z.clients[0].resume()
	waitFor(t, ended)
	z.finish(c)
	return first, second
}

// pauseBoth pauses the zombie at a call, then the next holder at one. The zombie ends
// meanwhile. It reports whether the holder made that call.
func pauseBoth(t *testing.T, c zombieChunks, call, held int, behind bool) bool {
	t.Helper()
	z := newZombieTest(t, fmt.Sprintf("call %d, behind it %t, the holder at %d", call, behind, held), c.size)
	ended, paused := z.start(c, call, behind)
	if !paused {
		return false
	}
	var offset int64
	var err error
	met := z.clients[1].pauseAt(held, behind)
	stored := z.begin(func() { offset, err = z.append(z.holder, c.next) })
	paused = isPaused(t, met, stored)
	z.clients[0].resume()
	waitFor(t, ended)
	z.clients[1].resume()
	waitFor(t, stored)
	if err == nil {
		z.acked = max(z.acked, offset)
	}
	z.finish(c)
	return paused
}

// finish sends the rest of the upload to the holder.
func (z *zombieTest) finish(c zombieChunks) {
	z.Helper()
	z.wantNotBelow(z.open(z.service, 0))
	z.hold(c.next)
	z.wantNotBelow(z.open(z.service, 0))
	z.wantIdentical()
}

// isPaused waits until a process is paused or has ended, and reports the first.
func isPaused(t *testing.T, paused, ended <-chan struct{}) bool {
	t.Helper()
	select {
	case <-paused:
		return true
	case <-ended:
		return false
	case <-time.After(30 * time.Second):
		t.Fatal("the process neither pauses nor ends")
		return false
	}
}

// A request has failed because its lease was lost. It does not read the state of the next holder
// and change that: it neither cuts bytes off nor stores a record.
func TestFailedRequestChangesNothing(t *testing.T) {
	z := newZombieTest(t, "", 11*zombiePart)
	z.create(z.zombie)
	up, err := z.zombie.GetUpload(t.Context(), z.lock(), zombieID)
	if err != nil {
		t.Fatal(err)
	}
	z.hold(5 * zombiePart)
	if n, err := up.WriteChunk(t.Context(), 0, storetest.ContentReader(zombieID, 0, 2*zombiePart)); n != 0 || !errors.Is(err, tusd.ErrUploadInterrupted) {
		t.Errorf("%d bytes are stored, error %v", n, err)
	}
	if err := z.zombie.Rewind(t.Context(), up, 0); !errors.Is(err, tusd.ErrUploadInterrupted) {
		t.Errorf("bytes are cut off, error %v", err)
	}
	if err := up.UpdateInfo(t.Context(), func(*tusd.FileInfo) error { return nil }); !errors.Is(err, tusd.ErrUploadInterrupted) {
		t.Errorf("the record is stored, error %v", err)
	}
	z.wantNotBelow(z.open(z.service, 0))
	z.wantIdentical()
}

// A chunk has turned out to be wrong, but the next holder has stored bytes behind it: none of them
// is cut off.
func TestRewindWithoutLease(t *testing.T) {
	z := newZombieTest(t, "", 11*zombiePart)
	z.create(z.zombie)
	up, err := z.zombie.GetUpload(t.Context(), z.lock(), zombieID)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := z.send(z.zombie, up, 700, false); n != 700 || err != nil {
		t.Fatal(n, err)
	}
	z.hold(700)
	if err := z.zombie.Rewind(t.Context(), up, 0); !errors.Is(err, tusd.ErrUploadInterrupted) {
		t.Errorf("bytes are cut off, error %v", err)
	}
	z.wantNotBelow(z.open(z.service, 0))
	z.wantIdentical()
}

// A process is paused while it removes an upload, and loses its lease. If the next holder has
// stored bytes meanwhile, the removal fails, and removes none of them.
func TestRemovalWithoutLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, stored := range []int64{0, 700, 2*zombiePart + 300} {
			for _, next := range zombieSizes {
				for call, more := 1, true; more; call++ {
					more = removeWithoutLease(t, zombieChunks{size: 11*zombiePart + 100, stored: stored, next: next}, call)
				}
			}
		}
	})
}

func removeWithoutLease(t *testing.T, c zombieChunks, call int) bool {
	t.Helper()
	z := newZombieTest(t, fmt.Sprintf("%+v, call %d", c, call), c.size)
	z.create(z.zombie)
	if c.stored > 0 {
		if offset, err := z.append(z.zombie, c.stored); err != nil || offset != c.stored {
			t.Fatal(offset, err)
		}
	}
	var removeErr error
	met := z.clients[0].pauseAt(call, false)
	ended := z.begin(func() { removeErr = z.zombie.Terminate(t.Context(), z.lock(), zombieID) })
	paused := isPaused(t, met, ended)
	offset, err := z.append(z.holder, c.next)
	z.clients[0].resume()
	waitFor(t, ended)
	switch {
	case paused && err == nil:
		if z.acked = offset; call > 2 && removeErr == nil { // at the first calls it has not read the state
			t.Errorf("%s: the upload is removed, %d bytes were acknowledged meanwhile", z.name, offset)
		}
	case !errors.Is(err, tusd.ErrNotFound) || removeErr != nil:
		t.Errorf("%s: the removal ended with the error %v, the next holder with %v", z.name, removeErr, err)
	}
	if removeErr != nil {
		z.finish(c)
	}
	return paused
}

// Two processes make the same final upload. One of them has lost its lease, and does not know.
// They make one object, and leave nothing behind.
func TestFinalWithoutLease(t *testing.T) {
	for name, sizes := range map[string][]int64{"copied": {2*zombiePart + 1, zombiePart, 300}, "small": {300, 400}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				for call, more := 1, true; more; call++ {
					for held, still := 1, true; still && more; held++ {
						more, still = concatWithoutLease(t, sizes, call, held)
					}
				}
			})
		})
	}
}

func concatWithoutLease(t *testing.T, sizes []int64, call, held int) (first, second bool) {
	t.Helper()
	var size int64
	for _, n := range sizes {
		size += n
	}
	z := newZombieTest(t, fmt.Sprintf("call %d, the holder at %d", call, held), size)
	z.create(z.zombie)
	partials := z.makePartials(sizes)
	met := z.clients[0].pauseAt(call, false)
	ended := z.begin(func() { _ = z.concat(z.zombie, partials) }) // it may fail
	first = isPaused(t, met, ended)
	met = z.clients[1].pauseAt(held, false)
	built := z.begin(func() { _ = z.concat(z.holder, partials) })
	second = isPaused(t, met, built)
	z.clients[0].resume()
	waitFor(t, ended)
	z.clients[1].resume()
	waitFor(t, built)
	if err := z.concat(z.holder, partials); err != nil {
		t.Fatalf("%s: %v", z.name, err)
	}
	z.acked = size
	z.wantIdentical()
	if len(z.service.multiparts) > 0 {
		t.Errorf("%s: %d multipart uploads are left", z.name, len(z.service.multiparts))
	}
	return first, second
}

// makePartials stores consecutive ranges of the content as partial uploads.
func (z *zombieTest) makePartials(sizes []int64) (ids []string) {
	z.Helper()
	at := int64(0)
	for i, n := range sizes {
		id := fmt.Sprint(compared, "-partial", i)
		lease, _ := z.locker.Lock(z.Context(), id, tusd.LockPreempt)
		up, err := z.holder.NewUpload(z.Context(), lease, tusd.FileInfo{ID: id, Size: n, IsPartial: true})
		if err != nil {
			z.Fatal(err)
		}
		if _, err := up.WriteChunk(z.Context(), 0, storetest.ContentReader(zombieID, at, at+n)); err != nil {
			z.Fatal(err)
		}
		if err := up.FinishUpload(z.Context()); err != nil {
			z.Fatal(err)
		}
		ids, at = append(ids, id), at+n
	}
	return ids
}

// concat builds the final upload, like a request. The locks of the partial uploads are not lost.
func (z *zombieTest) concat(store *s3store.Store, ids []string) error {
	var partials []tusd.Upload
	for _, id := range ids {
		lease, err := (&silentLocker{}).Lock(z.Context(), id, tusd.LockPreempt)
		if err != nil {
			return err
		}
		p, err := store.GetUpload(z.Context(), lease, id)
		if err != nil {
			return err
		}
		partials = append(partials, p)
	}
	up, err := store.GetUpload(z.Context(), z.lock(), zombieID)
	if err != nil {
		return err
	}
	if err := store.Concat(z.Context(), up, partials); err != nil {
		return err
	}
	return up.FinishUpload(z.Context())
}

// A process that was paused asks its lease before each call, although the timer that ends the
// lease's context has not fired yet.
func TestLeaseIsAskedBeforeEachCall(t *testing.T) {
	z := newZombieTest(t, "", 11*zombiePart)
	z.create(z.zombie)
	lease := &timedLease{Lease: z.lock()}
	client := &pausingClient{Client: z.service, lease: lease}
	store := z.open(client, 0)
	up, err := store.GetUpload(t.Context(), lease, zombieID)
	if err != nil {
		t.Fatal(err)
	}
	n, err := up.WriteChunk(t.Context(), 0, storetest.ContentReader(zombieID, 0, 2*zombiePart))
	if n != 0 || !errors.Is(err, tusd.ErrLockLost) {
		t.Errorf("%d bytes are stored, error %v", n, err)
	}
	if !lease.over.Load() || client.late.Load() != 0 {
		t.Errorf("the lease is over: %t; %d objects were stored then", lease.over.Load(), client.late.Load())
	}
}

// timedLease is a lease whose context notices its end only when it is asked.
type timedLease struct {
	tusd.Lease
	over atomic.Bool
}

func (s *timedLease) Context() context.Context { return timedContext{s.Lease.Context(), s} }

type timedContext struct {
	context.Context
	lease *timedLease
}

func (c timedContext) Err() error {
	if c.lease.over.Load() {
		c.lease.Lease.(*silentLease).end(tusd.ErrLockLost)
	}
	return c.Context.Err()
}

// pausingClient is the client of a process that is paused for longer than its lease when it has
// stored a part. It counts the objects that are stored then.
type pausingClient struct {
	s3store.Client
	lease *timedLease
	late  atomic.Int64
}

func (c *pausingClient) UploadPart(ctx context.Context, in s3store.UploadPart) (string, error) {
	defer c.lease.over.Store(true)
	return c.Client.UploadPart(ctx, in)
}

func (c *pausingClient) PutObject(ctx context.Context, in s3store.PutObject) (string, error) {
	if c.lease.over.Load() {
		c.late.Add(1)
	}
	return c.Client.PutObject(ctx, in)
}

// A lease is lost during a call that sends many bytes. The call ends then, not at its timeout.
func TestCallEndsWithTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newSimulation(t, 64*mib, 5*mib)
		c.open()
		lease, err := new(silentLocker).Lock(t.Context(), zombieID, tusd.LockPreempt)
		if err != nil {
			t.Fatal(err)
		}
		up, err := c.store.NewUpload(t.Context(), lease, tusd.FileInfo{ID: zombieID, Size: 20 * mib})
		if err != nil {
			t.Fatal(err)
		}
		client := &losingClient{Client: c.service, lease: lease.(*silentLease)}
		s3store.SetClient(c.store, client)
		n, err := up.WriteChunk(t.Context(), 0, storetest.ContentReader(zombieID, 0, 5*mib))
		if n != 0 || !errors.Is(err, tusd.ErrLockLost) {
			t.Errorf("%d bytes are stored, error %v", n, err)
		}
		if client.calls != 1 || client.took != 0 {
			t.Errorf("%d parts were sent, the last one for %v after the lease was lost", client.calls, client.took)
		}
	})
}

// losingClient is the client of a process that loses its lease while it sends a part to a service
// that gives no answer.
type losingClient struct {
	s3store.Client
	lease *silentLease
	calls int
	took  time.Duration // from the loss to the end of the last call
}

func (c *losingClient) UploadPart(ctx context.Context, _ s3store.UploadPart) (string, error) {
	c.calls++
	c.lease.end(tusd.ErrLockLost)
	lost := time.Now()
	<-ctx.Done()
	c.took = time.Since(lost)
	return "", context.Cause(ctx)
}

// Each request is the writer of the records that it stores, so that no record equals one that
// another process knows.
func TestEachRequestIsAnotherWriter(t *testing.T) {
	z := newZombieTest(t, "", 11*zombiePart)
	z.create(z.zombie)
	writers := []string{z.writer()}
	z.hold(5 * zombiePart)
	writers = append(writers, z.writer())
	for range 2 {
		up, err := z.holder.GetUpload(t.Context(), z.lock(), zombieID)
		if err != nil {
			t.Fatal(err)
		}
		if err := up.UpdateInfo(t.Context(), func(*tusd.FileInfo) error { return nil }); err != nil {
			t.Fatal(err)
		}
		writers = append(writers, z.writer())
	}
	for i, w := range writers {
		if w == "" || slices.Contains(writers[:i], w) {
			t.Errorf("the writers of the records: %q, want another one for each request", writers)
			break
		}
	}
}

// writer returns the writer of the stored record.
func (z *zombieTest) writer() string {
	z.Helper()
	stored, err := z.holder.StoredRecord(z.Context(), zombieID)
	if err != nil {
		z.Fatal(err)
	}
	var record struct{ S3 struct{ Writer string } }
	if err := json.Unmarshal(stored, &record); err != nil {
		z.Fatal(err)
	}
	return record.S3.Writer
}

// A request could not store its record, and the next holder has stored one since. The request
// reads that one before it tries again, and does not go on from there.
func TestFailedRequestDoesNotReplaceTheRecordOfAnother(t *testing.T) {
	z := newZombieTest(t, "", 11*zombiePart)
	z.create(z.zombie)
	client := &refusingClient{Client: z.service}
	s3store.SetClient(z.zombie, client)
	up, err := z.zombie.GetUpload(t.Context(), z.lock(), zombieID)
	if err != nil {
		t.Fatal(err)
	}
	set := func(value string) func(*tusd.FileInfo) error {
		return func(info *tusd.FileInfo) error {
			info.MetaData = tusd.MetaData{"by": value}
			return nil
		}
	}
	client.refuses = true
	if err := up.UpdateInfo(t.Context(), set("zombie")); !errors.Is(err, errRefused) {
		t.Fatalf("the record of a service that refuses it is stored, error %v", err)
	}
	client.refuses = false
	if err := up.UpdateInfo(t.Context(), set("zombie")); err != nil {
		t.Fatalf("no other request has stored a record, and the next attempt fails: %v", err)
	}
	client.refuses = true
	if err := up.UpdateInfo(t.Context(), set("zombie again")); !errors.Is(err, errRefused) {
		t.Fatalf("the record of a service that refuses it is stored, error %v", err)
	}
	client.refuses = false
	next, err := z.holder.GetUpload(t.Context(), z.lock(), zombieID)
	if err == nil {
		err = next.UpdateInfo(t.Context(), set("holder"))
	}
	if err != nil {
		t.Fatal(err)
	}
	stored := z.writer()
	for range 2 {
		if err := up.UpdateInfo(t.Context(), set("zombie again")); !errors.Is(err, tusd.ErrUploadInterrupted) {
			t.Errorf("the record of the next holder is replaced, error %v", err)
		}
	}
	if n, err := up.WriteChunk(t.Context(), 0, storetest.ContentReader(zombieID, 0, 700)); n != 0 || !errors.Is(err, tusd.ErrUploadInterrupted) {
		t.Errorf("%d bytes are stored, error %v", n, err)
	}
	if now := z.writer(); now != stored {
		t.Errorf("the writer of the record is %q, the next holder was %q", now, stored)
	}
}

var errRefused = errors.New("the service refuses the record")

// refusingClient is the client of a service that stores no object while refuses is set.
type refusingClient struct {
	s3store.Client
	refuses bool
}

func (c *refusingClient) PutObject(ctx context.Context, in s3store.PutObject) (string, error) {
	if c.refuses {
		return "", &s3store.Error{Operation: "PutObject", Status: http.StatusForbidden, Code: "AccessDenied", Err: errRefused}
	}
	return c.Client.PutObject(ctx, in)
}
