// Command v2 is a plugin as those for tusd v2 are: with its types and its handshake, and nothing
// of this module. It answers with the JSON of the request.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/rpc"

	"github.com/hashicorp/go-plugin"
)

type HookType string

type HookRequest struct {
	Type  HookType
	Event HookEvent
}

type HookEvent struct {
	Context     context.Context `json:"-"`
	Upload      FileInfo
	HTTPRequest HTTPRequest
}

type MetaData map[string]string

type FileInfo struct {
	ID             string
	Size           int64
	SizeIsDeferred bool
	Offset         int64
	MetaData       MetaData
	IsPartial      bool
	IsFinal        bool
	PartialUploads []string
	Storage        map[string]string

	stopUpload func(HTTPResponse)
}

type HTTPRequest struct {
	Method     string
	URI        string
	RemoteAddr string
	Header     http.Header
}

type HookResponse struct {
	HTTPResponse      HTTPResponse
	RejectUpload      bool
	RejectTermination bool
	ChangeFileInfo    FileInfoChanges
	StopUpload        bool
}

type HTTPHeader map[string]string

type HTTPResponse struct {
	StatusCode int
	Body       string
	Header     HTTPHeader
}

type FileInfoChanges struct {
	ID       string
	MetaData MetaData
	Storage  map[string]string
}

type server struct{ setUp bool }

func (s *server) Setup(args any, resp *any) error {
	s.setUp = true
	return nil
}

func (s *server) InvokeHook(r HookRequest, resp *HookResponse) error {
	if !s.setUp || r.Event.Context != nil {
		return errors.New("Setup was not called, or there is a Context")
	}
	if r.Event.Upload.ID == "panic" {
		panic("boom")
	}
	message, err := json.Marshal(r)
	*resp = HookResponse{
		HTTPResponse:   HTTPResponse{StatusCode: 413, Body: string(message), Header: HTTPHeader{"X-Why": "quota"}},
		RejectUpload:   true,
		ChangeFileInfo: FileInfoChanges{ID: "b", MetaData: MetaData{"c": "d"}},
		StopUpload:     true,
	}
	return err
}

type handlerPlugin struct{}

func (handlerPlugin) Server(*plugin.MuxBroker) (any, error)              { return new(server), nil }
func (handlerPlugin) Client(*plugin.MuxBroker, *rpc.Client) (any, error) { return nil, nil }

func main() {
	plugin.Serve(&plugin.ServeConfig{
		HandshakeConfig: plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "TUSD_PLUGIN", MagicCookieValue: "yes"},
		Plugins:         plugin.PluginSet{"hookHandler": handlerPlugin{}},
	})
}
