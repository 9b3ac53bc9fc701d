package bench

import (
	"context"
	"errors"
	"os"
	"time"

	"github.com/tus/tusd/cmd/tusd-bench/endpoint"
)

// hookedEvents are those that no request waits for.
const hookedEvents = "post-create,post-receive,post-finish,post-terminate"

// hookDelay is the value of -hooks: how long the endpoint takes to answer.
type hookDelay struct {
	set   bool
	hangs bool // it never answers
	time.Duration
}

// String implements flag.Value.
func (d *hookDelay) String() string {
	switch {
	case !d.set:
		return ""
	case d.hangs:
		return "hang"
	}
	return d.Duration.String()
}

// Set implements flag.Value.
func (d *hookDelay) Set(text string) (err error) {
	d.set, d.hangs = true, text == "hang"
	if d.hangs {
		return nil
	}
	if d.Duration, err = time.ParseDuration(text); err != nil || d.Duration < 0 {
		return errors.New("this is neither hang nor a duration")
	}
	return nil
}

// arguments returns the command line of the endpoint, behind its name.
func (d *hookDelay) arguments() []string {
	if d.hangs {
		return []string{"-hang"}
	}
	return []string{"-delay", d.Duration.String()}
}

// withHooks starts the endpoint, and -server four times: with both ways of delivery, and twice
// without hooks. What a server delivers after a run does not disturb the others.
func (o options) withHooks(ctx context.Context, place *workDir) (servers []*server, err error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	hook, err := place.startIn(ctx, launch{name: "endpoint", command: append([]string{self, endpoint.Command}, o.hooks.arguments()...)})
	if err != nil {
		return nil, err
	}
	for _, l := range []launch{
		{name: "at-least-once", works: true},
		{name: "best-effort", works: true},
		{name: "off"},
		{name: "off'"},
	} {
		l.command, l.verifyInDir = o.command(), !o.byGet
		if l.works {
			l.command = append(l.command, "-hooks-http", hook.url, "-hooks-enabled-events", hookedEvents, "-hooks-delivery", l.name)
		}
		s, err := place.startNew(ctx, l)
		if err != nil {
			return nil, err
		}
		servers = append(servers, s)
	}
	return servers, nil
}
