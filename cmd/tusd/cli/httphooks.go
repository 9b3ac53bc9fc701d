package cli

import (
	"errors"
	"flag"
	"log/slog"
	"net/url"
	"strings"
	"time"

	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/httphook"
)

// httpHookSettings are the flags of the hook that is an HTTP endpoint.
type httpHookSettings struct {
	url            string // "": none
	forwardHeaders []string
	attempts       int
	backoff        time.Duration
	timeout        time.Duration
	attemptTimeout time.Duration // 0: only timeout
	sizeLimit      int64         // bytes
	skipVerify     bool
	tls            serviceTLS
	secretFile     string // "": calls are not signed
}

func (s *httpHookSettings) declare(f *flag.FlagSet) {
	httpHookVar(f, &s.url, "hooks-http", "`URL` of an endpoint that is a hook")
	headersVar(f, &s.forwardHeaders, "hooks-http-forward-headers", "`headers` of the client's request that calls of the\nendpoint have, too, separated by commas")
	countVar(f, &s.attempts, "hooks-http-retry", 3, 0, "how often an event is sent at most before its delivery\nhas failed (a `number`)")
	durationOrZeroVar(f, &s.backoff, "hooks-http-backoff", time.Second, "the wait before the second time, which doubles\n(`duration`)")
	durationVar(f, &s.timeout, "hooks-http-timeout", 15*time.Second, "how long all of that may take (`duration`)")
	durationOrZeroVar(f, &s.attemptTimeout, "hooks-http-attempt-timeout", 0, "how long each call may take (`duration`); 0: as\n-hooks-http-timeout")
	bytesVar(f, &s.sizeLimit, "hooks-http-size-limit", 5120, "longest answer of the endpoint in `bytes`")
	f.BoolVar(&s.skipVerify, "hooks-http-skip-verify", false, "trust every certificate of the endpoint")
	s.tls.declare(f, "hooks-http", "if the\nURL says https://")
	secretVar(f, &s.secretFile, "hooks-http-secret-file", "a secret that signs the calls, by HMAC-SHA256")
}

// headersVar adds a flag for names of headers. An empty list is allowed, as in tusd v2.
func headersVar(flags *flag.FlagSet, p *[]string, name, usage string) {
	listVar(flags, p, name, usage, parseHeaderName)
	f := flags.Lookup(name).Value.(*parsedValue)
	set := f.set
	f.set = func(text string) error {
		if strings.TrimSpace(text) == "" {
			*p = nil
			return nil
		}
		return set(text)
	}
}

// httpHookVar adds a flag for the URL of an endpoint, or none. An error does not repeat it: it
// may have a password.
func httpHookVar(flags *flag.FlagSet, p *string, name, usage string) {
	addFlag(flags, name, "", usage, func(text string) error {
		*p = text
		if text == "" {
			return nil
		}
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" {
			return errors.New("must be a URL like https://host/path")
		}
		return nil
	})
}

func (s *httpHookSettings) used() bool { return s.url != "" }

func (s *httpHookSettings) usesTLS() bool { return strings.HasPrefix(strings.ToLower(s.url), "https:") }

// password returns the password in the URL; "": there is none.
func (s *httpHookSettings) password() string {
	u, err := url.Parse(s.url)
	if err != nil || u.User == nil {
		return ""
	}
	password, _ := u.User.Password()
	return password
}

func (s *httpHookSettings) validate(cfg config) error {
	if !s.used() {
		return cfg.needHook("hooks-http", "hooks-http-attempt-timeout", "hooks-http-tls-ca", "hooks-http-tls-certificate", "hooks-http-tls-key", "hooks-http-secret-file")
	}
	if s.skipVerify && s.tls.ca != "" {
		return cfg.exclude("hooks-http-skip-verify", "hooks-http-tls-ca")
	}
	if err := s.tls.validate(cfg, "hooks-http", s.usesTLS(), "an https:// URL in -hooks-http"); err != nil {
		return err
	}
	_, err := readSecret(s.secretFile, "hooks-http-secret-file")
	return err
}

func (s *httpHookSettings) open(hookSettings, *slog.Logger) (hooks.Hook, error) {
	hook := &httphook.Hook{
		URL: s.url, ForwardHeaders: s.forwardHeaders, Attempts: max(s.attempts, 1), Backoff: max(s.backoff, time.Nanosecond),
		Timeout: s.timeout, AttemptTimeout: s.attemptTimeout, SizeLimit: s.sizeLimit,
	}
	if s.usesTLS() {
		var err error
		if hook.TLS, err = s.tls.config("hooks-http"); err != nil {
			return nil, err
		}
		hook.TLS.InsecureSkipVerify = s.skipVerify
	}
	secret, err := readSecret(s.secretFile, "hooks-http-secret-file")
	if err != nil {
		return nil, err
	}
	if secret != "" {
		hook.Secret = []byte(secret)
	}
	return hook, nil
}
