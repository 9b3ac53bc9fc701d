// Package pluginhook runs a plugin as a hook: a program in Go that tusd starts and calls over a
// pipe, by github.com/hashicorp/go-plugin. Handshake and calls are those of tusd v2.
//
// A plugin is a program with this main function:
//
//	func main() { pluginhook.Serve(handler{}) }
package pluginhook

import (
	"context"
	"errors"
	"net/rpc"
	"os/exec"
	"sync"
	"time"

	"github.com/hashicorp/go-hclog"
	"github.com/hashicorp/go-plugin"

	"github.com/tus/tusd/hooks"
)

// Handler is what a plugin implements. Its methods may be called concurrently, Setup first.
type Handler interface {
	Setup() error
	InvokeHook(request hooks.HookRequest) (hooks.HookResponse, error)
}

// Serve runs a plugin. It ends the process when tusd has ended.
func Serve(h Handler) {
	plugin.Serve(&plugin.ServeConfig{HandshakeConfig: Handshake, Plugins: plugin.PluginSet{pluginName: &handlerPlugin{h}}})
}

// Handshake is what tusd and its plugins agree on.
var Handshake = plugin.HandshakeConfig{ProtocolVersion: 1, MagicCookieKey: "TUSD_PLUGIN", MagicCookieValue: "yes"}

const pluginName = "hookHandler"

// Hook calls a plugin. When its process ends, the next call starts it again.
type Hook struct {
	Path string // of the program
	// Timeout limits a call; 0: 10 min. The plugin does not learn that it has passed.
	Timeout time.Duration

	mu     sync.Mutex
	client *plugin.Client // nil: it does not run
	calls  *rpc.Client    // of client
	last   time.Time      // when it was started
	closed bool
}

var _ hooks.Hook = (*Hook)(nil)

const (
	defaultTimeout = 10 * time.Minute
	// restartDelay is the least time between two starts of a plugin.
	restartDelay = time.Second
)

// Name returns "plugin".
func (h *Hook) Name() string { return "plugin" }

// Setup starts the plugin and calls its Setup.
func (h *Hook) Setup(context.Context) error {
	_, err := h.running()
	return err
}

// Close ends the plugin.
func (h *Hook) Close() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.closed = true
	if h.client != nil {
		h.client.Kill()
		h.client = nil
	}
	return nil
}

// InvokeHook calls the plugin.
func (h *Hook) InvokeHook(ctx context.Context, request hooks.HookRequest) (hooks.HookResponse, error) {
	calls, err := h.running()
	if err != nil {
		return hooks.HookResponse{}, err
	}
	timeout := h.Timeout
	if timeout == 0 {
		timeout = defaultTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	var response hooks.HookResponse
	call := calls.Go("Plugin.InvokeHook", request, &response, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
		return response, call.Error
	case <-ctx.Done():
		return hooks.HookResponse{}, context.Cause(ctx)
	}
}

// running returns the plugin, which it starts if it does not run.
func (h *Hook) running() (*rpc.Client, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	switch {
	case h.closed:
		return nil, errors.New("the plugin was closed")
	case h.client != nil && !h.client.Exited():
		return h.calls, nil
	case time.Since(h.last) < restartDelay:
		return nil, errors.New("the plugin has ended, and is started again soon")
	}
	h.last = time.Now()
	client := plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: Handshake, Plugins: plugin.PluginSet{pluginName: &handlerPlugin{}}, Cmd: exec.Command(h.Path),
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolNetRPC}, Logger: hclog.NewNullLogger(),
	})
	calls, err := dispense(client)
	if err == nil {
		var none any
		err = calls.Call("Plugin.Setup", new(any), &none)
	}
	if err != nil {
		client.Kill()
		return nil, err
	}
	h.client, h.calls = client, calls
	return calls, nil
}

// dispense starts the process of a client and returns the connection to its handler.
func dispense(client *plugin.Client) (*rpc.Client, error) {
	protocol, err := client.Client()
	if err != nil {
		return nil, err
	}
	raw, err := protocol.Dispense(pluginName)
	if err != nil {
		return nil, err
	}
	return raw.(*rpc.Client), nil
}

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

// InvokeHook is called for each event.
func (s *service) InvokeHook(request hooks.HookRequest, response *hooks.HookResponse) (err error) {
	*response, err = s.handler.InvokeHook(request)
	return err
}
