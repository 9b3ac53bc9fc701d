package protocoltest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/loglimit"
	"github.com/tus/tusd/storetest"
)

// logging returns a handler over store, and its log.
func logging(t *testing.T, store tusd.DataStore, format func(*bytes.Buffer) slog.Handler) (*tusd.Handler, *bytes.Buffer) {
	t.Helper()
	return loggingWith(t, store, nil, format)
}

// loggingWith is logging with a locker.
func loggingWith(t *testing.T, store tusd.DataStore, locker tusd.Locker, format func(*bytes.Buffer) slog.Handler) (*tusd.Handler, *bytes.Buffer) {
	t.Helper()
	out := new(bytes.Buffer)
	config := tusd.Config{BasePath: "/files/", StoreComposer: tusd.NewStoreComposer(), Logger: slog.New(format(out))}
	config.StoreComposer.UseCore(store)
	config.StoreComposer.Locker = locker
	handler, err := tusd.NewHandler(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { handler.Shutdown(t.Context()) })
	return handler, out
}

// recorder is a ResponseRecorder with deadlines, as the writer of a server.
type recorder struct{ *httptest.ResponseRecorder }

func (recorder) SetReadDeadline(time.Time) error  { return nil }
func (recorder) SetWriteDeadline(time.Time) error { return nil }

func asText(out *bytes.Buffer) slog.Handler { return slog.NewTextHandler(out, nil) }
func asJSON(out *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(out, nil) }

// Whatever a client sends, the log of a request is one line of bounded length without control
// characters.
func TestLogLinesOfRequestsAreBounded(t *testing.T) {
	long := strings.Repeat("x", 200<<10)
	nasty := "\x1b[2J\r\n\x00\u202e\u2028\xff" + long
	set := func(method, name, value string) func(*http.Request) {
		return func(r *http.Request) { r.Method = method; r.Header[name] = []string{value} }
	}
	for name, change := range map[string]func(*http.Request){
		"path":           func(r *http.Request) { r.RequestURI += long },
		"query":          func(r *http.Request) { r.RequestURI += "?" + nasty },
		"id":             func(r *http.Request) { r.URL.Path += long },
		"method":         func(r *http.Request) { r.Method = nasty },
		"override":       set("POST", "X-Http-Method-Override", nasty),
		"request id":     set("POST", "X-Request-Id", nasty),
		"host":           func(r *http.Request) { r.Host = nasty },
		"metadata key":   set("POST", "Upload-Metadata", nasty+" !"),
		"long key":       set("POST", "Upload-Metadata", strings.Repeat("\x01", 15<<10)+" !"),
		"metadata twice": set("POST", "Upload-Metadata", strings.Repeat("k", 7<<10)+","+strings.Repeat("k", 7<<10)),
		"metadata value": set("POST", "Upload-Metadata", "k "+base64.StdEncoding.EncodeToString([]byte(nasty))[:8<<10]+"!"),
		"partials":       set("POST", "Upload-Concat", "final;http://"+nasty),
		"concat":         set("POST", "Upload-Concat", nasty),
		"length":         set("POST", "Upload-Length", nasty),
		"checksum":       set("PATCH", "Upload-Checksum", nasty),
		"content type":   set("PATCH", "Content-Type", nasty),
		"offset":         set("PATCH", "Upload-Offset", nasty),
		"version":        set("PATCH", "Tus-Resumable", nasty),
		"origin":         set("POST", "Origin", nasty),
		"forwarded":      set("GET", "Forwarded", "for="+nasty),
		"forwarded for":  set("GET", "X-Forwarded-For", "fe80::1%"+long),
		"range":          set("GET", "Range", nasty),
		"digest":         set("POST", "Repr-Digest", "sha-256=:"+nasty+":"),
		"complete":       set("POST", "Upload-Complete", nasty),
		"draft":          set("POST", "Upload-Draft-Interop-Version", nasty),
	} {
		t.Run(name, func(t *testing.T) {
			for _, format := range []func(*bytes.Buffer) slog.Handler{asText, asJSON} {
				handler, out := logging(t, storetest.NewMemory(), format)
				r := httptest.NewRequest("POST", "/files/", nil)
				if r.Header.Set("Tus-Resumable", "1.0.0"); name != "length" {
					r.Header.Set("Upload-Length", "1")
				}
				change(r)
				if r.Method != http.MethodPost {
					r.URL.Path += "some"
				}
				handler.ServeHTTP(recorder{httptest.NewRecorder()}, r)
				line := out.String()
				if strings.Count(line, "\n") != 1 || strings.ContainsFunc(strings.TrimSuffix(line, "\n"), func(c rune) bool { return c < ' ' }) {
					t.Errorf("not one line without control characters: %.300q", line)
				}
				// Each byte has at most six in JSON (\u0000).
				if limit := 6*2*loglimit.Text + 1<<10; len(line) > limit {
					t.Errorf("the line has %d bytes, want at most %d: %.200s", len(line), limit, line)
				}
				if !strings.Contains(line, "INFO") {
					t.Errorf("want what a client does to be information: %.200s", line)
				}
			}
		})
	}
}

// refusingStore refuses creations and has no uploads.
type refusingStore struct {
	tusd.DataStore
	create, find error
}

func (s *refusingStore) NewUpload(context.Context, tusd.Lease, tusd.FileInfo) (tusd.Upload, error) {
	return nil, s.create
}

func (s *refusingStore) GetUpload(context.Context, tusd.Lease, string) (tusd.Upload, error) {
	return nil, s.find
}

// refusingLocker refuses every lock.
type refusingLocker struct {
	tusd.LocalLocker
	err error
}

func (l *refusingLocker) Lock(context.Context, string, tusd.LockMode) (tusd.Lease, error) {
	return nil, l.err
}

// logged is the part of a line that is checked.
type logged struct{ Level, Code string }

func levels(t *testing.T, out *bytes.Buffer) (lines []logged) {
	t.Helper()
	for line := range strings.Lines(out.String()) {
		var l logged
		if err := json.Unmarshal([]byte(line), &l); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, l)
	}
	out.Reset()
	return lines
}

// alarmed counts the warnings and errors.
func alarmed(lines []logged) (n int) {
	for _, l := range lines {
		if l.Level != "INFO" {
			n++
		}
	}
	return n
}

// Clients cannot cause an unlimited number of warnings and errors.
func TestClientsCauseNoAlarms(t *testing.T) {
	runParallel(t)
	announced := tusd.ErrNoSpace.With(fmt.Errorf("%w: 8 bytes do not fit", tusd.ErrAnnouncedOnly))
	full := tusd.ErrNoSpace.With(syscall.ENOSPC)
	broken := tusd.ErrNotFound.With(fmt.Errorf("%w: cut", tusd.ErrBroken))
	for name, c := range map[string]struct {
		store  refusingStore
		method string
		paths  []string
		want   int // alarms for 20 requests of each path
	}{
		"too much announced":  {refusingStore{create: announced}, "POST", []string{"/files/"}, 0},
		"full when creating":  {refusingStore{create: full}, "POST", []string{"/files/"}, 1},
		"full when appending": {refusingStore{find: full}, "HEAD", []string{"/files/a", "/files/b"}, 1},
		"broken records":      {refusingStore{find: broken}, "GET", []string{"/files/a", "/files/b"}, 2},
		"lost locks":          {refusingStore{find: tusd.ErrLockLost}, "HEAD", []string{"/files/a", "/files/b"}, 1},
		"faults of ours":      {refusingStore{find: errors.New("no disk")}, "HEAD", []string{"/files/a"}, 20},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.store.DataStore = storetest.NewMemory()
			handler, out := logging(t, &c.store, asJSON)
			for range 20 {
				for _, path := range c.paths {
					r := httptest.NewRequest(c.method, path, nil)
					r.Header.Set("Tus-Resumable", "1.0.0")
					r.Header.Set("Upload-Length", "8")
					handler.ServeHTTP(recorder{httptest.NewRecorder()}, r)
				}
			}
			lines := levels(t, out)
			if got := alarmed(lines); len(lines) != 20*len(c.paths) || got != c.want {
				t.Errorf("%d of %d lines are alarms, want %d: %v", got, len(lines), c.want, lines)
			}
		})
	}
}

// An outage of the lock service has no line for each request: the locker logs it, or the
// handler once a minute if the locker returns an error that has no code.
func TestLockServiceOutageIsLoggedOnce(t *testing.T) {
	runParallel(t)
	for name, c := range map[string]struct {
		err  error
		want int // lines
	}{
		"logged by the locker": {tusd.ErrLockServiceUnavailable.With(errSecret), 0},
		"unknown error":        {errSecret, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			handler, out := loggingWith(t, storetest.NewMemory(), &refusingLocker{err: c.err}, asJSON)
			for range 20 {
				r := httptest.NewRequest("HEAD", "/files/a", nil)
				r.Header.Set("Tus-Resumable", "1.0.0")
				handler.ServeHTTP(recorder{httptest.NewRecorder()}, r)
			}
			if lines := levels(t, out); len(lines) != c.want || alarmed(lines) != c.want {
				t.Errorf("20 requests that could not lock have the lines %v, want %d", lines, c.want)
			}
		})
	}
}
