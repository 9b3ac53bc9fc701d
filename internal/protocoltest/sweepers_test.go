package protocoltest

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filelocker"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/require"
)

// sweptDirectory is a directory that several servers serve and sweep.
type sweptDirectory struct {
	*testing.T
	servers  []*httptest.Server
	handlers []*tusd.Handler
	events   sink

	mu       sync.Mutex
	offsets  map[string]int64 // of all uploads: what was acknowledged last
	complete map[string]bool
	renewed  int // resumed at the last moment
	expired  int // resumed too late
}

const (
	shortExpiry = 3 * time.Second
	shortLength = 64
)

// serveSwept starts servers on one directory, with the locks that processes use.
func serveSwept(t *testing.T, n int) *sweptDirectory {
	t.Helper()
	d := &sweptDirectory{T: t, offsets: make(map[string]int64), complete: make(map[string]bool)}
	dir := t.TempDir()
	for range n {
		store := &filestore.FileStore{Path: dir, Durability: filestore.None}
		locker := &filelocker.FileLocker{Path: dir}
		composer := tusd.NewStoreComposer()
		store.UseIn(composer)
		composer.UseLocker(locker)
		handler, err := tusd.NewHandler(tusd.Config{
			StoreComposer: composer, BasePath: "/files/", ExpireAfter: shortExpiry, Events: &d.events, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		server := httptest.NewServer(handler)
		d.handlers, d.servers = append(d.handlers, handler), append(d.servers, server)
		t.Cleanup(func() {
			if err := handler.Shutdown(context.Background()); err != nil {
				t.Error(err)
			}
			server.Close()
			if err := store.Close(); err != nil {
				t.Error(err)
			}
			if err := locker.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	return d
}

// request sends a request to one of the servers, until the answer is not a temporary
// refusal. begun is when the answered attempt began.
func (d *sweptDirectory) request(method, path string, content func() io.Reader, header ...string) (a *http.Response, begun time.Time) {
	for {
		begun = time.Now()
		r, err := http.NewRequestWithContext(d.Context(), method, d.servers[rand.IntN(len(d.servers))].URL+path, content())
		if err != nil {
			d.Error(err)
			return nil, begun
		}
		r.Header.Set("Tus-Resumable", "1.0.0")
		if method == http.MethodPatch {
			r.Header.Set("Content-Type", "application/offset+octet-stream")
		}
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		a, err = http.DefaultClient.Do(r)
		if err != nil {
			d.Error(err)
			return nil, begun
		}
		a.Body.Close()
		if a.StatusCode != http.StatusLocked && a.StatusCode != http.StatusServiceUnavailable {
			return a, begun
		}
	}
}

// client uploads, and resumes each upload about when it expires. It returns when ctx ends.
func (d *sweptDirectory) client(ctx context.Context, random *rand.Rand) {
	for ctx.Err() == nil {
		a, begun := d.request("POST", "/files/", nothing, "Upload-Length", strconv.Itoa(shortLength))
		if a == nil || a.StatusCode != 201 {
			d.Errorf("POST: %v", a)
			return
		}
		path := "/files/" + idAfterSlash(a.Header.Get("Location"))
		d.acknowledge(path, 0)
		for offset := int64(0); offset < shortLength; {
			select {
			case <-time.After(time.Until(begun.Add(shortExpiry)) + distance(random)):
			case <-ctx.Done():
				return
			}
			n := min(shortLength-offset, 1+random.Int64N(40))
			a, begun = d.request("PATCH", path, source(ctx, content(shortLength)[offset:offset+n], random.IntN(4) == 0), "Upload-Offset", strconv.FormatInt(offset, 10))
			if a == nil || !d.resumed(path, a, begun, offset+n) {
				break
			}
			offset += n
		}
	}
}

// distance is how far from its expiration a client resumes an upload: some are early and some
// late on the slowest machine, the others close.
func distance(random *rand.Rand) time.Duration {
	switch random.IntN(8) {
	case 0:
		return -shortExpiry
	case 1:
		return shortExpiry / 2
	}
	return time.Duration(random.IntN(80)-60) * time.Millisecond
}

func nothing() io.Reader { return nil }

// source returns the content of a PATCH. If it is slow, its end comes when the upload would
// have expired without it.
func source(ctx context.Context, data []byte, slow bool) func() io.Reader {
	if !slow {
		return func() io.Reader { return bytes.NewReader(data) }
	}
	return func() io.Reader {
		r, w := io.Pipe()
		go func() {
			w.Write(data[:len(data)/2])
			select {
			case <-time.After(shortExpiry + 200*time.Millisecond):
			case <-ctx.Done():
			}
			w.Write(data[len(data)/2:])
			w.Close()
		}()
		return r
	}
}

func idAfterSlash(location string) string {
	return location[bytes.LastIndexByte([]byte(location), '/')+1:]
}

func (d *sweptDirectory) acknowledge(path string, offset int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.offsets[path] = offset
}

// resumed checks the answer to a PATCH, and that an upload that was resumed is still there.
// It returns false if the upload has expired.
func (d *sweptDirectory) resumed(path string, a *http.Response, begun time.Time, offset int64) bool {
	switch a.StatusCode {
	case http.StatusGone, http.StatusNotFound:
		d.mu.Lock()
		defer d.mu.Unlock()
		d.expired++
		return false
	case http.StatusNoContent:
	default:
		d.Errorf("PATCH of %s: %d", path, a.StatusCode)
		return false
	}
	d.acknowledge(path, offset)
	d.mu.Lock()
	d.renewed++
	d.complete[path] = offset == shortLength
	d.mu.Unlock()
	head, _ := d.request("HEAD", path, nothing)
	if head == nil {
		return false
	}
	got := head.Header.Get("Upload-Offset")
	// The upload was changed when this PATCH began, or later.
	if inTime := time.Since(begun) < shortExpiry-100*time.Millisecond; (inTime || offset == shortLength) && got != strconv.FormatInt(offset, 10) {
		d.Errorf("%s was resumed up to %d, and HEAD is %d with offset %q", path, offset, head.StatusCode, got)
	}
	return true
}

// Three sweepers beside clients that resume at the last moment: no upload is removed under a
// writer or after it was resumed in time, and each expiry is told. TUSD_TEST_SWEEP_TIME is
// how long that lasts.
func TestSweepersBesideClients(t *testing.T) {
	const clients = 100
	lasts := 30 * time.Second
	if given, err := time.ParseDuration(os.Getenv("TUSD_TEST_SWEEP_TIME")); err == nil {
		lasts = given
	} else {
		require.Long(t)
	}
	d := serveSwept(t, 3)
	ctx, cancel := context.WithTimeout(t.Context(), lasts)
	defer cancel()
	var work, sweepers sync.WaitGroup
	stop := make(chan struct{})
	for _, handler := range d.handlers {
		sweepers.Go(func() {
			for done := false; !done; {
				select {
				case <-stop:
					done = true // and sweep once more
				case <-time.After(time.Duration(rand.IntN(50)) * time.Millisecond):
				}
				if summary, err := handler.Sweep(t.Context(), tusd.SweepPolicy{Rate: -1}); err != nil || summary.Failed > 0 {
					t.Errorf("%+v, %v", summary, err)
				}
			}
		})
	}
	for i := range clients {
		work.Go(func() { d.client(ctx, rand.New(rand.NewPCG(1, uint64(i)))) })
	}
	work.Wait()
	<-time.After(shortExpiry) // now all incomplete uploads have expired
	close(stop)
	sweepers.Wait()
	d.checkEvents()
	t.Logf("%d uploads, %d PATCHes in time, %d too late", len(d.offsets), d.renewed, d.expired)
	if d.renewed == 0 || d.expired == 0 {
		t.Errorf("%d PATCHes came in time and %d too late: nothing was tried", d.renewed, d.expired)
	}
}

// checkEvents checks that the uploads that did not become complete are gone, each with its
// events and all acknowledged bytes up to then, and that the complete ones are there.
func (d *sweptDirectory) checkEvents() {
	expired := make(map[string]tusd.Event)
	for _, event := range d.events.events {
		if event.Type != tusd.EventPostExpire {
			continue
		}
		path := "/files/" + event.Upload.ID
		if before, again := expired[path]; again && before.ID != event.ID {
			d.Errorf("the expiry of %s has two ids", path)
		}
		expired[path] = event
	}
	for path, offset := range d.offsets {
		a, _ := d.request("HEAD", path, nothing)
		if a == nil {
			return
		}
		event, told := expired[path]
		switch {
		case d.complete[path]:
			if told || a.StatusCode != 200 || a.Header.Get("Upload-Offset") != strconv.Itoa(shortLength) {
				d.Errorf("the complete upload %s: HEAD %d, expiry told: %t", path, a.StatusCode, told)
			}
		case a.StatusCode != 404 || !told || event.Upload.Offset != offset:
			d.Errorf("%s: HEAD %d, expiry told: %t with offset %d, acknowledged were %d", path, a.StatusCode, told, event.Upload.Offset, offset)
		}
	}
}
