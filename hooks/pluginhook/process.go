package pluginhook

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/rpc"
	"os/exec"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/go-plugin"
)

// process is a plugin from its start to its end.
type process struct {
	client *plugin.Client
	kill   context.CancelFunc // ends the process without asking
	begun  time.Time

	ready chan struct{} // closed when calls or err is set
	calls *rpc.Client
	err   error // it could not be started

	answers atomic.Uint64 // how many calls it has answered
	broken  atomic.Bool   // its connection has failed, or it answers no call
	stopped chan struct{} // closed to end it
	stop    func()        // closes stopped; may be called several times
}

const (
	// startTimeout limits the start of a plugin with its Setup.
	startTimeout = time.Minute
	// closeTimeout is how long a plugin may take to end.
	closeTimeout = 3 * time.Second
)

// newProcess returns a process that run will start.
func newProcess(path string, log *slog.Logger) *process {
	ctx, kill := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, path)
	dieWithParent(cmd)
	p := &process{kill: kill, begun: time.Now(), ready: make(chan struct{}), stopped: make(chan struct{})}
	p.stop = sync.OnceFunc(func() {
		close(p.stopped)
		select {
		case <-p.ready:
		default:
			kill() // it may start for a long time
		}
	})
	p.client = plugin.NewClient(&plugin.ClientConfig{
		HandshakeConfig: Handshake, Plugins: plugin.PluginSet{pluginName: &handlerPlugin{}}, Cmd: cmd,
		AllowedProtocols: []plugin.Protocol{plugin.ProtocolNetRPC}, StartTimeout: startTimeout,
		Logger: newLogger(log), SyncStdout: &lines{log: log}, SyncStderr: &lines{log: log},
	})
	return p
}

// run starts the process and ends it after stop. It keeps the thread that has started the
// process: with that thread the process would end, see dieWithParent.
func (p *process) run() {
	runtime.LockOSThread()
	limit := time.AfterFunc(startTimeout, p.kill)
	p.calls, p.err = p.connect()
	if !limit.Stop() {
		p.err = errors.Join(fmt.Errorf("the plugin was not ready within %v", startTimeout), p.err)
	}
	close(p.ready)
	if p.err == nil {
		<-p.stopped
	}
	limit = time.AfterFunc(closeTimeout, p.kill)
	p.client.Kill() // also waits for all that the client has started
	limit.Stop()
	p.kill()
}

// connect starts the process, connects to its handler and calls Setup.
func (p *process) connect() (*rpc.Client, error) {
	protocol, err := p.client.Client()
	if err != nil {
		return nil, err
	}
	raw, err := protocol.Dispense(pluginName)
	if err != nil {
		return nil, err
	}
	calls := raw.(*rpc.Client)
	var none any
	if err := calls.Call("Plugin.Setup", new(any), &none); err != nil {
		return nil, fmt.Errorf("the plugin cannot be set up: %w", err)
	}
	return calls, nil
}

// dead reports whether the process accepts no calls, and never will again.
func (p *process) dead() bool {
	select {
	case <-p.ready:
		return p.err != nil || p.broken.Load() || p.client.Exited()
	default:
		return false // it is starting
	}
}
