package pluginhook

import (
	"fmt"
	"net/rpc"
	"os"
	"runtime/debug"

	"github.com/hashicorp/go-plugin"

	"github.com/tus/tusd/hooks"
)

// Handler is what a plugin implements. Its methods may be called concurrently, Setup first. An
// error or a panic of InvokeHook is a failure.
type Handler interface {
	Setup() error
	InvokeHook(request hooks.HookRequest) (hooks.HookResponse, error)
}

// Serve runs a plugin: a program whose main function calls it. It returns when tusd asks the
// plugin to end.
func Serve(h Handler) {
	plugin.Serve(&plugin.ServeConfig{HandshakeConfig: Handshake, Plugins: plugin.PluginSet{pluginName: &handlerPlugin{h}}})
}

// Handshake is what tusd and its plugins agree on.
var Handshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "TUSD_PLUGIN", MagicCookieValue: "yes"}

const pluginName = "hookHandler"

// handlerPlugin is the plugin for both sides.
type handlerPlugin struct{ handler Handler }

// Server implements plugin.Plugin.
func (p *handlerPlugin) Server(*plugin.MuxBroker) (any, error) { return &service{p.handler}, nil }

// Client implements plugin.Plugin.
func (p *handlerPlugin) Client(_ *plugin.MuxBroker, client *rpc.Client) (any, error) {
	return client, nil
}

// service is the handler for net/rpc.
type service struct{ handler Handler }

// Setup is called once.
func (s *service) Setup(_ any, _ *any) error { return s.handler.Setup() }

// InvokeHook is called for each event. A panic does not end the calls for other events.
func (s *service) InvokeHook(request hooks.HookRequest, response *hooks.HookResponse) (err error) {
	defer func() {
		if r := recover(); r != nil {
			fmt.Fprintf(os.Stderr, "panic: %v\n%s", r, debug.Stack())
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	*response, err = s.handler.InvokeHook(request)
	return err
}
