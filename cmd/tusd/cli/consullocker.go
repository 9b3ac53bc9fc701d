package cli

import (
	"errors"
	"flag"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"

	"github.com/tus/tusd"
	"github.com/tus/tusd/consullocker"
)

// consulLockerKind locks uploads in Consul.
var consulLockerKind = lockerKind{
	name:     "consul",
	summary:  "those of all servers that use the same Consul",
	scope:    tusd.ScopeLease,
	settings: func() lockerSettings { return new(consulLockerSettings) },
}

type consulLockerSettings struct {
	url        string
	prefix     string
	datacenter string // "": the one of the agent
	tokenFile  string
	tls        serviceTLS
}

func (s *consulLockerSettings) declare(f *flag.FlagSet) {
	consulURLVar(f, &s.url, "consul-url", "http://localhost:8500", "`URL` of an agent of Consul: http://host:port, or https://.\nA token may come from CONSUL_HTTP_TOKEN in the\nenvironment")
	lockPrefixVar(f, &s.prefix, "consul-prefix")
	f.StringVar(&s.datacenter, "consul-datacenter", "", "`name` of the datacenter; the default is the one of the\nagent")
	secretVar(f, &s.tokenFile, "consul-token-file", "the token for Consul")
	s.tls.declare(f, "consul", "if the\nURL says https://")
}

// consulURLVar adds a flag for the URL of an agent.
func consulURLVar(f *flag.FlagSet, p *string, name, preset, usage string) {
	*p = preset
	addFlag(f, name, preset, usage, func(text string) error {
		*p = text
		u, err := url.Parse(text)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return errors.New("must be a URL like http://host:port, without a user") // it may have a password
		}
		return nil
	})
}

func (s *consulLockerSettings) open(_ config, logger *slog.Logger) (uploadLocker, error) {
	client, transport, err := s.client()
	if err != nil {
		return nil, err
	}
	l := consullocker.New(client, consullocker.Options{Prefix: s.prefix, Logger: logger})
	closeClient := func() error { transport.CloseIdleConnections(); return nil }
	return serviceLocker{l, consulLockerKind.name, closeClient}, nil
}

// consulConnections bounds the connections with the agent. An agent refuses more than 200
// from one address, unless it is set up otherwise.
const consulConnections = 100

func (s *consulLockerSettings) validate(cfg config) error {
	if err := s.tls.validate(cfg, "consul", s.usesTLS(), "an https:// URL in -consul-url"); err != nil {
		return err
	}
	_, _, err := s.client()
	return err
}

func (s *consulLockerSettings) usesTLS() bool { return strings.HasPrefix(s.url, "https:") }

// client returns a client and its transport.
func (s *consulLockerSettings) client() (*api.Client, *http.Transport, error) {
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		MaxConnsPerHost:     consulConnections,
		MaxIdleConnsPerHost: consulConnections,
		IdleConnTimeout:     90 * time.Second,
	}
	if s.usesTLS() {
		var err error
		if transport.TLSClientConfig, err = s.tls.config("consul"); err != nil {
			return nil, nil, err
		}
	}
	token, err := readSecret(s.tokenFile, "consul-token-file")
	if err != nil {
		return nil, nil, err
	}
	client, err := api.NewClient(&api.Config{ // without a Token it takes CONSUL_HTTP_TOKEN
		Address: s.url, Datacenter: s.datacenter, Token: token,
		HttpClient: &http.Client{Transport: transport},
	})
	return client, transport, err
}
