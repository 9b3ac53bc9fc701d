package cli

import (
	"errors"
	"flag"
	"log/slog"
	"strings"
	"time"

	"google.golang.org/grpc/credentials"

	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/hooks/grpchook"
)

// grpcHookSettings are the flags of the hook that is a gRPC service.
type grpcHookSettings struct {
	target         string // "": none
	attempts       int
	backoff        time.Duration
	timeout        time.Duration
	secure         bool
	tls            serviceTLS
	forwardHeaders []string
}

// grpcTLSFlags are the names of the flags of tls, as in tusd v2.
var grpcTLSFlags = tlsFlags{
	ca: "hooks-grpc-server-tls-certificate", certificate: "hooks-grpc-client-tls-certificate", key: "hooks-grpc-client-tls-key",
}

func (s *grpcHookSettings) declare(f *flag.FlagSet) {
	grpcTargetVar(f, &s.target, "hooks-grpc", "`host:port` of a gRPC service that is a hook")
	countVar(f, &s.attempts, "hooks-grpc-retry", 3, 0, "how often an event is sent at most before its delivery\nhas failed (a `number`)")
	durationOrZeroVar(f, &s.backoff, "hooks-grpc-backoff", time.Second, "the wait before the second time, which doubles\n(`duration`)")
	durationVar(f, &s.timeout, "hooks-grpc-timeout", 15*time.Second, "how long all of that may take (`duration`)")
	f.BoolVar(&s.secure, "hooks-grpc-secure", false, "use TLS")
	f.StringVar(&s.tls.ca, grpcTLSFlags.ca, "", "`file` with the certificate of the service, or of the\nauthority that has signed it")
	f.StringVar(&s.tls.certificate, grpcTLSFlags.certificate, "", "`file` with the certificate of this client, if the service\nwants one")
	f.StringVar(&s.tls.key, grpcTLSFlags.key, "", "`file` with its key")
	headersVar(f, &s.forwardHeaders, "hooks-grpc-forward-headers", "`headers` of the client's request that calls of the\nservice have as metadata, separated by commas")
}

// grpcTargetVar adds a flag for the address of a service, or none.
func grpcTargetVar(flags *flag.FlagSet, p *string, name, usage string) {
	addFlag(flags, name, "", usage, func(text string) error {
		*p = text
		if lower := strings.ToLower(text); strings.HasPrefix(lower, "http:") || strings.HasPrefix(lower, "https:") {
			return errors.New("must be host:port, and no URL of HTTP; -hooks-grpc-secure is for TLS")
		}
		return nil
	})
}

func (s *grpcHookSettings) used() bool { return s.target != "" }

func (s *grpcHookSettings) validate(cfg config) error {
	if !s.used() {
		return cfg.needHook("hooks-grpc", "hooks-grpc-timeout", grpcTLSFlags.ca, grpcTLSFlags.certificate, grpcTLSFlags.key)
	}
	if !s.secure {
		return cfg.needHook("hooks-grpc-secure", grpcTLSFlags.ca, grpcTLSFlags.certificate, grpcTLSFlags.key)
	}
	if s.tls.ca == "" {
		return cfg.need("hooks-grpc-secure", grpcTLSFlags.ca)
	}
	_, err := s.tls.configOf(grpcTLSFlags)
	return err
}

func (s *grpcHookSettings) open(hookSettings, *slog.Logger) (hooks.Hook, error) {
	hook := &grpchook.Hook{
		Target: s.target, ForwardHeaders: s.forwardHeaders, Attempts: max(s.attempts, 1), Backoff: max(s.backoff, time.Nanosecond), Timeout: s.timeout,
	}
	if s.secure {
		config, err := s.tls.configOf(grpcTLSFlags)
		if err != nil {
			return nil, err
		}
		hook.Credentials = credentials.NewTLS(config)
	}
	return hook, nil
}
