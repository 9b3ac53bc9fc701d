package cli

import (
	"flag"
	"log/slog"
	"time"

	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/pluginhook"
)

// pluginHookSettings are the flags of the hook that is a plugin.
type pluginHookSettings struct {
	path    string // "": none
	timeout time.Duration
}

func (s *pluginHookSettings) declare(f *flag.FlagSet) {
	f.StringVar(&s.path, "hooks-plugin", "", "`path` of a plugin that is a hook")
	durationVar(f, &s.timeout, "hooks-plugin-timeout", 10*time.Minute, "how long a call of the plugin may take (`duration`)")
}

func (s *pluginHookSettings) used() bool { return s.path != "" }

func (s *pluginHookSettings) validate(cfg config) error {
	if s.used() {
		return nil
	}
	return cfg.needHook("hooks-plugin", "hooks-plugin-timeout")
}

func (s *pluginHookSettings) open(_ hookSettings, logger *slog.Logger) (hooks.Hook, error) {
	return &pluginhook.Hook{Path: s.path, Timeout: s.timeout, Logger: logger}, nil
}
