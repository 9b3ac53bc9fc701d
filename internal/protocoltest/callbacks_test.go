package protocoltest

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/storetest"
)

func TestPreCreateChangesTheUpload(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
		PreCreate: func(_ context.Context, event tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
			if event.Upload.Size != 5 || event.Upload.ID != "" || event.HTTPRequest.Method != "POST" || event.HTTPRequest.URI != "/files/" {
				t.Errorf("the callback saw %+v", event)
			}
			return tusd.HTTPResponse{Header: map[string]string{"X-Mine": "1"}},
				tusd.FileInfoChanges{ID: "team/a+b%2F", MetaData: tusd.MetaData{"by": "hook"}}, nil
		},
	}})
	a := e.post("Upload-Length: 5", "Upload-Metadata: by Y2xpZW50").status(201)
	if a.location() != "/files/team/a+b%252F" || a.Header.Get("X-Mine") != "1" {
		t.Fatalf("Location %q, X-Mine %q", a.location(), a.Header.Get("X-Mine"))
	}
	if got := e.head(a.location()).status(200).Header.Get("Upload-Metadata"); got != "by aG9vaw==" {
		t.Errorf("Upload-Metadata %q, want the hook's", got)
	}
}

func TestPreCreateRefuses(t *testing.T) {
	var failWith error
	var id string
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
		PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
			return tusd.HTTPResponse{}, tusd.FileInfoChanges{ID: id}, failWith
		},
	}})
	post := func() *answer { return e.post("Upload-Length: 5") }

	failWith = tusd.ErrUploadRejected.Refuse(tusd.HTTPResponse{StatusCode: 402, Body: "pay first", Header: map[string]string{"X-Price": "1"}})
	if a := e.raw("POST", "/files/", nil, version, "Upload-Length: 5").status(402); string(a.Body) != "pay first" || a.Header.Get("X-Price") != "1" || a.Header.Get("Location") != "" {
		t.Errorf("refusal with own answer: %q, %v", a.Body, a.Header)
	}
	failWith = tusd.ErrUploadRejected
	if a := post().status(400); !strings.HasPrefix(string(a.Body), "ERR_UPLOAD_REJECTED: ") {
		t.Errorf("plain refusal: %q", a.Body)
	}
	failWith = errors.New("hook server secret-host unreachable")
	if a := post().status(500); a.Header.Get("Retry-After") == "" || strings.Contains(string(a.Body), "secret-host") {
		t.Errorf("hook failure: %q, Retry-After %q", a.Body, a.Header.Get("Retry-After"))
	}
	for _, id = range []string{"../etc/passwd", "a.info", ".tusd.locks", "a//b", "ä", strings.Repeat("x", 241)} {
		failWith = nil
		if a := post().status(400); !strings.HasPrefix(string(a.Body), "ERR_INVALID_UPLOAD_NAME: ") || strings.Contains(string(a.Body), id) || a.Header.Get("Retry-After") != "" {
			t.Errorf("an id that cannot be: %q, Retry-After %q", a.Body, a.Header.Get("Retry-After"))
		}
	}
	failWith, id = nil, "taken"
	post().status(201)
	if a := post().status(409); !strings.HasPrefix(string(a.Body), "ERR_UPLOAD_EXISTS: ") {
		t.Errorf("an id that exists: %q", a.Body)
	}
}

func TestPreAccessGuardsEveryRequest(t *testing.T) {
	var deny atomic.Bool
	var asked []string
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
		PreAccess: func(_ context.Context, event tusd.Event) error {
			asked = append(asked, event.HTTPRequest.Method)
			if deny.Load() {
				return tusd.ErrAccessDenied
			}
			return nil
		},
	}})
	path := e.create(5, "Upload-Concat: partial")
	e.patch(path, 0, []byte("hello")).status(204)
	deny.Store(true)
	e.head(path).status(403)
	e.patch(path, 5, nil).status(403)
	e.get(path, version).status(403)
	e.terminate(path).status(403)
	e.postFinal(path).status(403)
	e.head("/files/unknown").status(403)
	if want := []string{"PATCH", "HEAD", "PATCH", "GET", "DELETE", "POST", "HEAD"}; !slices.Equal(asked, want) {
		t.Errorf("asked for %v, want %v", asked, want)
	}
}

// What a callback changes passes the checks of a client's metadata.
func TestPreCreateChoosesMetadata(t *testing.T) {
	var chosen tusd.MetaData
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
		PreCreate: func(context.Context, tusd.Event) (tusd.HTTPResponse, tusd.FileInfoChanges, error) {
			return tusd.HTTPResponse{}, tusd.FileInfoChanges{MetaData: chosen}, nil
		},
	}})
	for _, key := range []string{"", "a b", "a,b", "é", "a\nb", "\x7f"} {
		chosen = tusd.MetaData{"good": "1", key: "2"}
		if a := e.post("Upload-Length: 5").status(400); !strings.HasPrefix(string(a.Body), "ERR_INVALID_METADATA: ") {
			t.Errorf("key %q: %q", key, a.Body)
		}
	}
	chosen = tusd.MetaData{"long": strings.Repeat("x", 20_000)}
	e.post("Upload-Length: 5").status(431)
	chosen = tusd.MetaData{"a/b": "ü\n"}
	if a := e.head(e.post("Upload-Length: 5").status(201).location()); a.Header.Get("Upload-Metadata") != "a/b w7wK" {
		t.Errorf("Upload-Metadata is %q", a.Header.Get("Upload-Metadata"))
	}
}

// Another client that repeats the POST of a final is asked for as the first was, and refused.
func TestRepeatedFinalIsAuthorized(t *testing.T) {
	for name, access := range map[string]bool{"pre-access": true, "pre-create": false} {
		t.Run(name, func(t *testing.T) {
			check := func(event tusd.Event) error {
				if event.Upload.IsPartial || event.HTTPRequest.Method != "POST" || event.HTTPRequest.Header.Get("Authorization") == "ann" {
					return nil
				}
				return tusd.ErrUploadRejected
			}
			var partials sync.Map
			e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
				PreCreate: func(_ context.Context, event tusd.Event) (r tusd.HTTPResponse, c tusd.FileInfoChanges, err error) {
					if !access {
						err = check(event)
					}
					r.Header = map[string]string{"X-Asked": event.HTTPRequest.Header.Get("Authorization")}
					return r, c, err
				},
				PreAccess: func(_ context.Context, event tusd.Event) error {
					if _, ok := partials.Load(event.Upload.ID); ok || !access {
						return nil
					}
					return check(event)
				},
			}})
			partial := e.createPartial([]byte("ab"))
			partials.Store(idOf(partial), true)
			first := e.postFinal(partial, "Authorization: ann").status(201).header("X-Asked", "ann").location()
			again := e.postFinal(partial, "Authorization: ann").status(201).header("X-Asked", "ann").location()
			if first != again {
				t.Errorf("the repeated POST made %s, want %s", again, first)
			}
			if a := e.raw("POST", "/files/", nil, version, "Upload-Concat: final;"+partial, "Authorization: bob"); a.Status != 400 || a.Header.Get("Location") != "" {
				t.Errorf("another client gets status %d, Location %q", a.Status, a.Header.Get("Location"))
			}
		})
	}
}

// What a callback answers cannot break the header, and a cookie is for one client.
func TestHeaderOfARefusal(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
		PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			return tusd.HTTPResponse{}, tusd.ErrUploadRejected.Refuse(tusd.HTTPResponse{StatusCode: 403, Header: map[string]string{
				"X-Why": "a\x00b\x07\x7f\tc", "set-cookie": "session=1", "X-Content-Type-Options": "none",
			}})
		},
	}})
	path := e.create(2)
	first := e.patch(path, 0, []byte("ab")).status(403).header("X-Why", "a b  \tc").header("Set-Cookie", "session=1")
	if got := first.Header.Values("X-Content-Type-Options"); !slices.Equal(got, []string{"nosniff"}) {
		t.Errorf("X-Content-Type-Options is %q", got)
	}
	e.head(path).status(403).header("X-Why", "a b  \tc").without("Set-Cookie")
}

// Each method that the route table has for an upload asks pre-access first, in both dialects, and
// in place of another method.
func TestEveryRouteAsksPreAccess(t *testing.T) {
	var denied []string
	var deny atomic.Bool
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
		PreAccess: func(_ context.Context, event tusd.Event) error {
			if !deny.Load() {
				return nil
			}
			denied = append(denied, event.HTTPRequest.Method+" "+event.Upload.ID)
			return tusd.ErrAccessDenied
		},
	}})
	path := e.create(5)
	allow := e.raw("PUT", path, nil, version).status(405).Header.Get("Allow") // made from the route table
	methods := slices.DeleteFunc(strings.Split(allow, ", "), func(method string) bool { return method == "OPTIONS" })
	if len(methods) < 4 {
		t.Fatalf("the routes of an upload are %q", allow)
	}
	deny.Store(true)
	for _, method := range methods {
		for name, send := range map[string]func() *answer{
			"tus 1.0": func() *answer {
				return e.raw(method, path, nil, version, "Upload-Offset: 0", "Content-Type: application/offset+octet-stream")
			},
			"no dialect":     func() *answer { return e.raw(method, path, nil) },
			"in place of it": func() *answer { return e.raw("POST", path, nil, version, "X-HTTP-Method-Override: "+method) },
			"the draft": func() *answer {
				return e.raw(method, path, nil, "Upload-Draft-Interop-Version: 8", "Upload-Complete: ?1", "Upload-Offset: 0", "Content-Type: application/partial-upload")
			},
		} {
			denied = nil
			a := send()
			if want := method + " " + idOf(path); a.Status == 403 && slices.Equal(denied, []string{want}) {
				continue
			}
			if name == "no dialect" && a.Status == 412 && len(denied) == 0 { // it is no request on an upload
				continue
			}
			t.Errorf("%s, %s: status %d, asked for %q", method, name, a.Status, denied)
		}
	}
}

func TestPreTerminateRefuses(t *testing.T) {
	e := serve(t, storetest.NewMemory(), tusd.Config{Callbacks: tusd.Callbacks{
		PreTerminate: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			return tusd.HTTPResponse{}, tusd.ErrTerminationRejected
		},
	}})
	path := e.create(5)
	e.terminate(path).status(400)
	e.head(path).status(200)
}

func TestPanickingCallbackLocksNothing(t *testing.T) {
	store := storetest.NewMemory()
	var asked atomic.Int32
	e := serve(t, store, tusd.Config{Callbacks: tusd.Callbacks{
		PreFinish: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) {
			if asked.Add(1) <= 2 { // in the request, and once in the background
				panic("boom")
			}
			return tusd.HTTPResponse{}, nil
		},
		PreTerminate: func(context.Context, tusd.Event) (tusd.HTTPResponse, error) { panic("boom") },
	}})
	path := e.create(5)
	if a := e.patch(path, 0, []byte("hello")).status(503); strings.Contains(string(a.Body), "boom") {
		t.Errorf("the panic is in the answer: %q", a.Body)
	}
	e.eventually("it is finished all the same", func() bool { return e.head(path).Status == 200 })
	e.terminate(path).status(500)
	e.head(path).status(200)
}
