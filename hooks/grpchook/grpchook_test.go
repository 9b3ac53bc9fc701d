package grpchook_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/grpchook"
	"github.com/tus/tusd/hooks/grpchook/proto"
	"github.com/tus/tusd/internal/leaktest"
)

func TestMain(m *testing.M) { os.Exit(leaktest.Main(m)) }

// service answers as a function.
type service struct {
	proto.UnimplementedHookHandlerServer
	answer func(ctx context.Context, r *proto.HookRequest) (*proto.HookResponse, error)
}

func (s service) InvokeHook(ctx context.Context, r *proto.HookRequest) (*proto.HookResponse, error) {
	return s.answer(ctx, r)
}

type answer = func(context.Context, *proto.HookRequest) (*proto.HookResponse, error)

func nothing(context.Context, *proto.HookRequest) (*proto.HookResponse, error) {
	return &proto.HookResponse{}, nil
}

// serve starts a service and returns its address.
func serve(t *testing.T, a answer, options ...grpc.ServerOption) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	serveOn(t, listener, a, options...)
	return listener.Addr().String()
}

func serveOn(t *testing.T, listener net.Listener, a answer, options ...grpc.ServerOption) *grpc.Server {
	server := grpc.NewServer(options...)
	proto.RegisterHookHandlerServer(server, service{answer: a})
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener)
	}()
	t.Cleanup(func() { server.Stop(); <-done })
	return server
}

func setUp(t *testing.T, h *grpchook.Hook) *grpchook.Hook {
	t.Helper()
	if err := h.Setup(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

var request = hooks.HookRequest{Type: tusd.EventPostFinish, Event: hooks.Event{Upload: hooks.Upload{ID: "a"}}}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer *proto.HookResponse
		want   hooks.HookResponse
		fails  string
	}{
		"nothing": {answer: &proto.HookResponse{}},
		"all": {
			answer: &proto.HookResponse{
				HttpResponse: &proto.HTTPResponse{StatusCode: 413, Body: "no", Header: map[string]string{"X-Why": "quota"}},
				RejectUpload: true, RejectTermination: true, RejectAccess: true, AllowSeconds: 60, StopUpload: true,
				ChangeFileInfo: &proto.FileInfoChanges{
					Id: "b", MetaData: map[string]string{"c": "d"}, Storage: map[string]string{"Path": "e"}, Owner: "f", Expires: "2026-11-30T12:00:00Z",
				},
			},
			want: hooks.HookResponse{
				HTTPResponse: hooks.HTTPResponse{StatusCode: 413, Body: "no", Header: map[string]string{"X-Why": "quota"}},
				RejectUpload: true, RejectTermination: true, RejectAccess: true, AllowSeconds: 60, StopUpload: true,
				ChangeFileInfo: hooks.FileInfoChanges{
					ID: "b", MetaData: map[string]string{"c": "d"}, Storage: map[string]string{"Path": "e"}, Owner: "f", Expires: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC),
				},
			},
		},
		"no change of the metadata": {answer: &proto.HookResponse{ChangeFileInfo: &proto.FileInfoChanges{MetaData: map[string]string{}}}},
		"no metadata": {
			answer: &proto.HookResponse{ChangeFileInfo: &proto.FileInfoChanges{ClearMetaData: true}},
			want:   hooks.HookResponse{ChangeFileInfo: hooks.FileInfoChanges{MetaData: map[string]string{}}},
		},
		"a status that wraps around to 200": {answer: &proto.HookResponse{HttpResponse: &proto.HTTPResponse{StatusCode: 1<<32 + 200}}, fails: "status 4294967496"},
		"a negative status":                 {answer: &proto.HookResponse{HttpResponse: &proto.HTTPResponse{StatusCode: -200}}, fails: "status -200"},
		"no time":                           {answer: &proto.HookResponse{ChangeFileInfo: &proto.FileInfoChanges{Expires: "tomorrow"}}, fails: "expires"},
	} {
		t.Run(name, func(t *testing.T) {
			h := setUp(t, &grpchook.Hook{Target: serve(t, func(context.Context, *proto.HookRequest) (*proto.HookResponse, error) { return c.answer, nil })})
			got, err := h.InvokeHook(t.Context(), request)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("%+v, %v", got, err)
				}
				return
			}
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}

func TestAttempts(t *testing.T) {
	for name, c := range map[string]struct {
		code     codes.Code
		until    int // the call that succeeds; 0: none
		attempts int
		calls    int
	}{
		"unavailable":            {code: codes.Unavailable, calls: 3},
		"resource exhausted":     {code: codes.ResourceExhausted, calls: 3},
		"unavailable twice":      {code: codes.Unavailable, until: 3, calls: 3},
		"one attempt":            {code: codes.Unavailable, attempts: 1, calls: 1},
		"five attempts":          {code: codes.Unavailable, attempts: 5, calls: 5},
		"internal":               {code: codes.Internal, calls: 1},
		"unknown":                {code: codes.Unknown, calls: 1},
		"permission denied":      {code: codes.PermissionDenied, calls: 1},
		"aborted":                {code: codes.Aborted, calls: 1},
		"its deadline":           {code: codes.DeadlineExceeded, calls: 1},
		"the method is not here": {code: codes.Unimplemented, calls: 1},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int32
			h := setUp(t, &grpchook.Hook{Attempts: c.attempts, Backoff: time.Millisecond, Target: serve(t, func(context.Context, *proto.HookRequest) (*proto.HookResponse, error) {
				if int(calls.Add(1)) == c.until {
					return &proto.HookResponse{RejectUpload: true}, nil
				}
				return nil, status.Error(c.code, "not now")
			})})
			response, err := h.InvokeHook(t.Context(), request)
			if status.Code(err) != c.code && c.until == 0 || int(calls.Load()) != c.calls || response.RejectUpload != (c.until > 0) {
				t.Errorf("%+v, %v after %d calls, want %d", response, err, calls.Load(), c.calls)
			}
		})
	}
}

// The service learns of the deadline, which ends the call also if the service hangs.
func TestTimeout(t *testing.T) {
	hang := func(ctx context.Context, _ *proto.HookRequest) (*proto.HookResponse, error) {
		if _, ok := ctx.Deadline(); !ok {
			t.Error("the service sees no deadline")
		}
		<-ctx.Done()
		return nil, ctx.Err()
	}
	h := setUp(t, &grpchook.Hook{Target: serve(t, hang), Timeout: 50 * time.Millisecond})
	if _, err := h.InvokeHook(t.Context(), request); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("timeout: %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	h = setUp(t, &grpchook.Hook{Timeout: time.Hour, Target: serve(t, func(ctx context.Context, r *proto.HookRequest) (*proto.HookResponse, error) {
		cancel()
		return hang(ctx, r)
	})})
	if _, err := h.InvokeHook(ctx, request); status.Code(err) != codes.Canceled {
		t.Errorf("the end of the context: %v", err)
	}
	// Timeout limits the waits between attempts, too.
	h = setUp(t, &grpchook.Hook{Backoff: time.Hour, Target: serve(t, func(context.Context, *proto.HookRequest) (*proto.HookResponse, error) {
		return nil, status.Error(codes.Unavailable, "not now")
	})})
	if _, err := h.InvokeHook(t.Context(), request); status.Code(err) != codes.Unavailable {
		t.Errorf("a wait that is too long: %v", err)
	}
}

// Setup needs no service. Calls succeed as soon as there is one, also after an outage.
func TestServiceComesAndGoes(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "s")
	h := setUp(t, &grpchook.Hook{Target: "unix:" + socket, Attempts: 1, Timeout: 10 * time.Second})
	for round := range 2 {
		if _, err := h.InvokeHook(t.Context(), request); status.Code(err) != codes.Unavailable {
			t.Fatalf("round %d, no service: %v", round, err)
		}
		listener, err := net.Listen("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		server := serveOn(t, listener, nothing)
		deadline := time.After(30 * time.Second)
		tick := time.NewTicker(5 * time.Millisecond)
		for err = errors.New("not connected"); err != nil; { // until gRPC connects again
			select {
			case <-tick.C:
				_, err = h.InvokeHook(t.Context(), request)
			case <-deadline:
				t.Fatalf("round %d: %v", round, err)
			}
		}
		tick.Stop()
		server.Stop()
	}
}

func TestMetadata(t *testing.T) {
	var got metadata.MD
	h := setUp(t, &grpchook.Hook{
		ForwardHeaders: []string{"Authorization", "X-Tenant", "X-Missing", "X-Name", "X-Raw-Bin", "Host", "Content-Length", "User-Agent", "Content-Type"},
		Target: serve(t, func(ctx context.Context, _ *proto.HookRequest) (*proto.HookResponse, error) {
			got, _ = metadata.FromIncomingContext(ctx)
			return &proto.HookResponse{}, nil
		}),
	})
	r := request
	r.Event.HTTPRequest.Header = map[string][]string{
		"Authorization": {"Bearer a"}, "X-Tenant": {"b", "c"}, "X-Other": {"d"}, "X-Name": {"Zo\xc3\xab", "tab\t", "Zoe"}, "X-Raw-Bin": {"\x00\xff"},
		"Host": {"a.example"}, "Content-Length": {"100"}, "User-Agent": {"client/1"}, "Content-Type": {"application/offset+octet-stream"},
	}
	if _, err := h.InvokeHook(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string][]string{
		"authorization": {"Bearer a"}, "x-tenant": {"b", "c"}, "x-other": nil, "x-missing": nil, "x-name": {"Zoe"}, "x-raw-bin": {"\x00\xff"},
		"content-type": {"application/grpc"},
	} {
		if !reflect.DeepEqual(got[name], want) {
			t.Errorf("%s: %q, want %q", name, got[name], want)
		}
	}
}

// A name with which each call would fail is found at the start.
func TestForwardHeadersThatCannotBe(t *testing.T) {
	for _, name := range []string{"", "X Tenant", " X-Tenant", "X-Tenant!", "X-Ténant", ":path", "grpc-timeout", "Grpc-Status", "Connection", "TE", "Transfer-Encoding", "Keep-Alive"} {
		h := &grpchook.Hook{Target: "127.0.0.1:1", ForwardHeaders: []string{"X-Good", name}}
		if err := h.Setup(t.Context()); err == nil {
			t.Errorf("%q is accepted", name)
			h.Close()
		}
	}
	if err := (&grpchook.Hook{Target: "dns:///%zz"}).Setup(t.Context()); err == nil {
		t.Error("a malformed target is accepted")
	}
}

// What a client sends may be no UTF-8, which messages of proto3 cannot have.
func TestTextsThatAreNoUTF8(t *testing.T) {
	var got *proto.Event
	h := setUp(t, &grpchook.Hook{Target: serve(t, func(_ context.Context, r *proto.HookRequest) (*proto.HookResponse, error) {
		got = r.Event
		return &proto.HookResponse{}, nil
	})})
	r := request
	r.Event.Upload.MetaData = map[string]string{"name": "a\xffb", "\xff": "c"}
	r.Event.Upload.Storage = map[string]string{"Path": "/d/\xff"}
	r.Event.Upload.Owner = "\xff"
	r.Event.HTTPRequest = hooks.HTTPRequest{Method: "P\xff", URI: "/\xff", RemoteAddr: "\xff", Header: map[string][]string{"X-Name": {"Zo\xeb"}, "X-Empty": {}}}
	if _, err := h.InvokeHook(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	u, q := got.Upload, got.HttpRequest
	for _, c := range [][2]string{
		{u.MetaData["name"], "a\uFFFDb"}, {u.MetaData["\uFFFD"], "c"}, {u.Storage["Path"], "/d/\uFFFD"}, {u.Owner, "\uFFFD"},
		{q.Method, "P\uFFFD"}, {q.Uri, "/\uFFFD"}, {q.RemoteAddr, "\uFFFD"}, {q.Header["X-Name"], "Zo\uFFFD"},
	} {
		if c[0] != c[1] {
			t.Errorf("%q, want %q", c[0], c[1])
		}
	}
	if _, ok := q.Header["X-Empty"]; ok {
		t.Error("a field without value is sent")
	}
}
