//go:build unix

package hooktest

import (
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"google.golang.org/grpc"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/filehook"
	"github.com/tus/tusd/hooks/grpchook"
	"github.com/tus/tusd/hooks/grpchook/proto"
	"github.com/tus/tusd/hooks/httphook"
	"github.com/tus/tusd/hooks/pluginhook"
	"github.com/tus/tusd/internal/leaktest"
)

// pluginProgram is the plugin, once it is built.
var pluginProgram string

func TestMain(m *testing.M) {
	code := leaktest.Main(m)
	if pluginProgram != "" {
		os.RemoveAll(filepath.Dir(pluginProgram))
	}
	os.Exit(code)
}

// transports connect an application to a hook that is not set up.
var transports = []struct {
	name    string
	connect func(t *testing.T, a Application) hooks.Hook
}{
	{"file", connectFile}, {"http", connectHTTP}, {"grpc", connectGRPC}, {"plugin", connectPlugin},
}

// connectFile writes a shell script for each event.
func connectFile(t *testing.T, a Application) hooks.Hook {
	const script = `#!/bin/sh
message=$(cat)
printf '%s\n' "$message" >> ../log
answer=../answers/${0##*/}
if [ -e "$answer" ]; then cat "$answer"; fi
`
	dir := filepath.Join(a.Dir, "hooks")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, event := range hooks.AllEvents {
		if err := os.WriteFile(filepath.Join(dir, string(event)), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	return &filehook.Hook{Dir: dir}
}

// connectHTTP starts an endpoint.
func connectHTTP(t *testing.T, a Application) hooks.Hook {
	endpoint := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		message, err := io.ReadAll(r.Body)
		var request hooks.HookRequest
		if err == nil {
			err = json.Unmarshal(message, &request)
		}
		var answer []byte
		if err == nil {
			answer, err = a.Answer(string(request.Type), message)
		}
		if err != nil {
			t.Error(err)
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		w.Write(answer)
	}))
	t.Cleanup(endpoint.Close)
	return &httphook.Hook{URL: endpoint.URL}
}

// connectGRPC starts a service.
func connectGRPC(t *testing.T, a Application) hooks.Hook {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	proto.RegisterHookHandlerServer(server, service{application: a})
	done := make(chan struct{})
	go func() {
		defer close(done)
		server.Serve(listener)
	}()
	t.Cleanup(func() { server.Stop(); <-done })
	return &grpchook.Hook{Target: listener.Addr().String()}
}

// service is an application behind gRPC.
type service struct {
	proto.UnimplementedHookHandlerServer
	application Application
}

func (s service) InvokeHook(_ context.Context, m *proto.HookRequest) (*proto.HookResponse, error) {
	u, q := m.Event.Upload, m.Event.HttpRequest
	header := make(map[string][]string)
	for name, value := range q.Header {
		header[name] = []string{value}
	}
	message, err := json.Marshal(hooks.HookRequest{Type: tusd.EventType(m.Type), Event: hooks.Event{
		Upload: hooks.Upload{
			ID: u.Id, Size: u.Size, SizeIsDeferred: u.SizeIsDeferred, Offset: u.Offset, MetaData: u.MetaData,
			IsPartial: u.IsPartial, IsFinal: u.IsFinal, PartialUploads: u.PartialUploads, Storage: u.Storage, Owner: u.Owner,
		},
		HTTPRequest: hooks.HTTPRequest{Method: q.Method, URI: q.Uri, RemoteAddr: q.RemoteAddr, Header: header},
		ID:          m.Event.Id, Sequence: int(m.Event.Sequence), Attempt: int(m.Event.Attempt), Reason: tusd.RemovalReason(m.Event.Reason),
	}})
	if err != nil {
		return nil, err
	}
	text, err := s.application.Answer(m.Type, message)
	if err != nil {
		return nil, err
	}
	r, err := hooks.ParseResponse(text)
	if err != nil {
		return nil, err
	}
	c := r.ChangeFileInfo
	changes := &proto.FileInfoChanges{Id: c.ID, MetaData: c.MetaData, ClearMetaData: c.MetaData != nil, Storage: c.Storage, Owner: c.Owner}
	if !c.Expires.IsZero() {
		changes.Expires = c.Expires.Format(time.RFC3339)
	}
	return &proto.HookResponse{
		HttpResponse: &proto.HTTPResponse{StatusCode: int64(r.HTTPResponse.StatusCode), Body: r.HTTPResponse.Body, Header: r.HTTPResponse.Header},
		RejectUpload: r.RejectUpload, RejectTermination: r.RejectTermination, RejectAccess: r.RejectAccess, AllowSeconds: int32(r.AllowSeconds),
		StopUpload: r.StopUpload, ChangeFileInfo: changes,
	}, nil
}

// connectPlugin builds the plugin.
func connectPlugin(t *testing.T, a Application) hooks.Hook {
	if pluginProgram == "" {
		dir, err := os.MkdirTemp("", "hooktest")
		if err != nil {
			t.Fatal(err)
		}
		pluginProgram = filepath.Join(dir, "plugin")
		if output, err := exec.Command("go", "build", "-o", pluginProgram, "./testdata/plugin").CombinedOutput(); err != nil {
			t.Fatalf("go build: %v\n%s", err, output)
		}
	}
	t.Setenv("TUSD_TEST_APPLICATION", a.Dir)
	return &pluginhook.Hook{Path: pluginProgram, Logger: slog.New(slog.DiscardHandler)}
}
