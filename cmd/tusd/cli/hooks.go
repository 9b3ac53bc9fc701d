package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
)

// hookSettings are the flags about hooks.
type hookSettings struct {
	file   fileHookSettings
	http   httpHookSettings
	grpc   grpcHookSettings
	plugin pluginHookSettings

	order       []string         // the hooks that are called first; nil: all as in transports
	events      []tusd.EventType // nil: hooks.DefaultEvents
	interval    time.Duration
	delivery    string // one of hookDeliveries
	giveUpAfter time.Duration
	keepHeaders []string
}

// hookTransport are the flags of one transport.
type hookTransport interface {
	declare(*flag.FlagSet)
	// used reports whether the flags name a hook.
	used() bool
	// validate finds flags that contradict each other. It may read files.
	validate(config) error
	// open makes the hook.
	open(hookSettings, *slog.Logger) (hooks.Hook, error)
}

// namedTransport is a hookTransport with the name of its hook.
type namedTransport struct {
	name string
	hookTransport
}

// transports returns all transports, in the order in which hooks are called. It is the order in
// which tusd v2 chooses one of them. To add one, write its file and add a line here.
func (s *hookSettings) transports() []namedTransport {
	return []namedTransport{{"file", &s.file}, {"http", &s.http}, {"grpc", &s.grpc}, {"plugin", &s.plugin}}
}

// hookNames returns the names of all hooks in that order.
func hookNames() (names []string) {
	for _, t := range new(hookSettings).transports() {
		names = append(names, t.name)
	}
	return names
}

// The values of -hooks-delivery; the first is the default.
const (
	atLeastOnce = "at-least-once"
	bestEffort  = "best-effort"
)

func (s *hookSettings) declare(f *flag.FlagSet) {
	s.events = []tusd.EventType{tusd.EventPreCreate, tusd.EventPostCreate, tusd.EventPostReceive, tusd.EventPostTerminate, tusd.EventPostFinish} // as in tusd v2
	eventsVar(f, &s.events, "hooks-enabled-events", "`events` that hooks get, separated by commas: pre-create,\npost-create, post-receive, post-finish, post-terminate\n(these are the default), pre-finish, pre-terminate,\npost-expire, pre-access; empty: the first seven")
	durationVar(f, &s.interval, "progress-hooks-interval", time.Second, "how long after a post-receive the next one of the same\nrequest follows (`duration`)")
	choiceVar(f, &s.delivery, "hooks-delivery", []string{atLeastOnce, bestEffort}, "how post-* events are delivered: the `way` is\nat-least-once, also after a crash, or best-effort, which\nloses them when a hook fails or the server ends")
	durationVar(f, &s.giveUpAfter, "hooks-give-up-after", 24*time.Hour, "how long the delivery of an event is repeated that fails\n(`duration`); then it waits for tusd hooks replay")
	listVar(f, &s.order, "hooks-order", "`hooks` that are called first, separated by commas: file,\nhttp, grpc, plugin. The others follow in this order, which\nis the default", oneOf(hookNames()))
	listVar(f, &s.keepHeaders, "hooks-keep-headers", "further `headers` of requests, separated by commas, that\nevents have which are delivered after a restart. Never\nkept are Authorization, Cookie and Proxy-Authorization", parseKeptHeader)
	for _, t := range s.transports() {
		t.declare(f)
	}
}

// eventsVar adds a flag for types of events. An empty list is nil.
func eventsVar(flags *flag.FlagSet, p *[]tusd.EventType, name, usage string) {
	flags.Var(&parsedValue{set: func(text string) error {
		*p = nil
		if strings.TrimSpace(text) == "" {
			return nil
		}
		for word := range strings.SplitSeq(text, ",") {
			event := tusd.EventType(strings.TrimSpace(word))
			if !slices.Contains(hooks.AllEvents, event) {
				return errors.New("must be a list of " + enumeration(eventNames()) + ", separated by commas")
			}
			*p = append(*p, event)
		}
		return nil
	}}, name, usage)
}

func eventNames() (names []string) {
	for _, event := range hooks.AllEvents {
		names = append(names, string(event))
	}
	return names
}

// oneOf returns a function for listVar that accepts words.
func oneOf(words []string) func(string) (string, error) {
	return func(text string) (string, error) {
		if !slices.Contains(words, text) {
			return "", errors.New("must be " + enumeration(words))
		}
		return text, nil
	}
}

// parseHeaderName accepts the name of a field of requests, and keeps its spelling.
func parseHeaderName(text string) (string, error) {
	const others = "!#$%&'*+-.^_`|~"
	isToken := func(r rune) bool {
		return r < 0x80 && (r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || strings.ContainsRune(others, r))
	}
	if text == "" || strings.TrimFunc(text, isToken) != "" {
		return "", errors.New("must be the name of a header, like X-Tenant")
	}
	return text, nil
}

func parseKeptHeader(text string) (string, error) {
	name, err := parseHeaderName(text)
	switch http.CanonicalHeaderKey(name) {
	case "Authorization", "Cookie", "Proxy-Authorization":
		return "", errors.New("may have credentials, which are never kept")
	}
	return name, err
}

// validateHooks finds flags about hooks that contradict each other. Commands call no hooks.
func (cfg config) validateHooks() error {
	if cfg.isCommand {
		return nil
	}
	s := cfg.hooks
	for i, name := range s.order {
		if slices.Contains(s.order[:i], name) {
			return fmt.Errorf("%s names %s twice", cfg.sources.name("hooks-order"), name)
		}
	}
	for _, t := range s.transports() {
		if err := t.validate(cfg); err != nil {
			return err
		}
	}
	return nil
}

// needHook returns the error for one of settings that is set without the hook of another one.
func (cfg config) needHook(hook string, settings ...string) error {
	for _, name := range settings {
		if cfg.isSet(name) {
			return cfg.need(name, hook)
		}
	}
	return nil
}

// partners returns what settings need to have an effect. Those that only this server has are
// refused without a hook of their transport.
func (s *hookSettings) partners() (all []partner) {
	for _, setting := range []string{"hooks-delivery", "hooks-order"} {
		all = append(all, partner{setting, "a hook", len(s.ordered()) > 0})
	}
	for _, setting := range []string{"hooks-give-up-after", "hooks-keep-headers"} {
		all = append(all, partner{setting, "a hook and -hooks-delivery " + atLeastOnce, len(s.ordered()) > 0 && s.delivery == atLeastOnce})
	}
	for _, setting := range []string{"forward-headers", "retry", "backoff", "timeout", "size-limit", "skip-verify"} {
		all = append(all, partner{"hooks-http-" + setting, "-hooks-http", s.http.used()})
	}
	for _, setting := range []string{"forward-headers", "retry", "backoff", "secure"} {
		all = append(all, partner{"hooks-grpc-" + setting, "-hooks-grpc", s.grpc.used()})
	}
	return all
}

// ordered returns the transports that are used, in the order of the calls.
func (s *hookSettings) ordered() []namedTransport {
	place := func(t namedTransport) int {
		if i := slices.Index(s.order, t.name); i >= 0 {
			return i
		}
		return len(s.order)
	}
	used := slices.DeleteFunc(s.transports(), func(t namedTransport) bool { return !t.used() })
	slices.SortStableFunc(used, func(a, b namedTransport) int { return place(a) - place(b) })
	return used
}

// summary lists the hooks that are used, and the events that they get.
func (s *hookSettings) summary() (kinds, events string) {
	var names, types []string
	for _, t := range s.ordered() {
		names = append(names, t.name)
	}
	for _, event := range hooks.AllEvents {
		if s.wants(event) {
			types = append(types, string(event))
		}
	}
	return strings.Join(names, ", "), strings.Join(types, ", ")
}

// open sets the hooks up; nil: there are none. ctx limits that.
func (s hookSettings) open(ctx context.Context, logger *slog.Logger) (*hooks.Hooks, error) {
	c, err := s.config(logger)
	if err != nil || len(c.Hooks) == 0 {
		return nil, err
	}
	return hooks.New(ctx, c)
}

// config makes the hooks that are used, and returns the settings for them.
func (s hookSettings) config(logger *slog.Logger) (hooks.Config, error) {
	c := hooks.Config{
		Events: s.events, BestEffort: s.delivery == bestEffort, GiveUpAfter: s.giveUpAfter, KeepHeaders: s.keepHeaders, Logger: logger,
	}
	for _, t := range s.ordered() {
		hook, err := t.open(s, logger)
		if err != nil {
			return c, err
		}
		c.Hooks = append(c.Hooks, hook)
	}
	return c, nil
}

// wants reports whether hooks get events of this type.
func (s hookSettings) wants(event tusd.EventType) bool {
	if len(s.events) == 0 {
		return slices.Contains(hooks.DefaultEvents, event)
	}
	return slices.Contains(s.events, event)
}
