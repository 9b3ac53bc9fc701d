package cli

import (
	"flag"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"time"

	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/filehook"
)

// fileHookSettings are the flags of hooks that are executables.
type fileHookSettings struct {
	dir     string // "": none
	timeout time.Duration
}

func (s *fileHookSettings) declare(f *flag.FlagSet) {
	f.StringVar(&s.dir, "hooks-dir", "", "`directory` with executables that are named like events:\neach is a hook")
	durationVar(f, &s.timeout, "hooks-file-timeout", 10*time.Minute, "how long an executable may run before it is killed\n(`duration`)")
}

func (s *fileHookSettings) used() bool { return s.dir != "" }

func (s *fileHookSettings) validate(cfg config) error {
	if s.used() {
		return nil
	}
	return cfg.needHook("hooks-dir", "hooks-file-timeout")
}

// eachUseless calls f for each file that is a hook without an effect, or one that always fails.
func (s *fileHookSettings) eachUseless(all hookSettings, f func(path, problem string)) {
	for _, event := range hooks.AllEvents {
		path := filepath.Join(s.dir, string(event))
		if _, err := os.Lstat(path); err != nil {
			continue
		}
		switch info, err := os.Stat(path); {
		case !all.wants(event):
			f(path, "a hook is never called: -hooks-enabled-events lacks its event")
		case err != nil:
			f(path, "a hook fails whenever it is called: its file is a broken symbolic link")
		case !isExecutable(info):
			f(path, "a hook fails whenever it is called: its file is not executable")
		}
	}
}

// isExecutable reports whether anyone may execute a file. On Windows every file may be.
func isExecutable(info fs.FileInfo) bool {
	return runtime.GOOS == "windows" || info.Mode().IsRegular() && info.Mode().Perm()&0o111 != 0
}

func (s *fileHookSettings) open(all hookSettings, logger *slog.Logger) (hooks.Hook, error) {
	s.eachUseless(all, func(path, problem string) { logger.Warn(problem, "file", path) })
	return &filehook.Hook{Dir: s.dir, Timeout: s.timeout}, nil
}
