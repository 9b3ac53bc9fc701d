package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/tus/tusd"
	"github.com/tus/tusd/redislocker"
)

// redisLockerKind locks uploads in Redis.
var redisLockerKind = lockerKind{
	name:     "redis",
	summary:  "those of all servers that use the same Redis",
	scope:    tusd.ScopeLease,
	settings: func() lockerSettings { return new(redisLockerSettings) },
}

type redisLockerSettings struct {
	servers                            redisServers
	cluster                            bool
	sentinelMaster                     string // "": no Sentinel
	prefix                             string
	passwordFile, sentinelPasswordFile string
	tls                                serviceTLS
}

// redisServers are the URLs of -redis-url.
type redisServers struct {
	addresses          []string // host:port, or the path of a socket
	scheme             string
	username, password string
	database           int
	tls                bool
}

func (s *redisLockerSettings) declare(f *flag.FlagSet) {
	redisURLVar(f, &s.servers, "redis-url", "redis://localhost:6379", "`URL` of Redis: redis://host:port, rediss:// with TLS, or\nunix:// and a path; several for a cluster or Sentinel,\nseparated by commas. It may have a user, a password and\nthe number of a database. A password belongs in\nTUSD_REDIS_URL or -redis-password-file: every user of\nthe machine can read the command line")
	f.BoolVar(&s.cluster, "redis-cluster", false, "the servers of -redis-url are of a Redis Cluster")
	f.StringVar(&s.sentinelMaster, "redis-sentinel-master", "", "`name` of the primary, if the servers of -redis-url are\nSentinels")
	lockPrefixVar(f, &s.prefix, "redis-prefix")
	secretVar(f, &s.passwordFile, "redis-password-file", "the password of Redis")
	secretVar(f, &s.sentinelPasswordFile, "redis-sentinel-password-file", "the password of the Sentinels")
	s.tls.declare(f, "redis", "if the\nURL says rediss://")
}

// parseRedisURL returns a server. An error does not show the URL: it may have a password.
func parseRedisURL(text string) (redisServers, error) {
	u, err := url.Parse(text)
	if err != nil {
		return redisServers{}, errRedisURL
	}
	parameters, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return redisServers{}, errRedisURL
	}
	for parameter := range parameters {
		if parameter != "db" {
			return redisServers{}, errors.New("must have no parameters behind a question mark but db")
		}
	}
	options, err := redis.ParseURL(text)
	if err != nil {
		return redisServers{}, errRedisURL
	}
	return redisServers{
		addresses: []string{options.Addr}, scheme: u.Scheme, tls: options.TLSConfig != nil,
		username: options.Username, password: options.Password, database: options.DB,
	}, nil
}

var errRedisURL = errors.New("must be a URL like redis://host:port, or several with commas between them")

// add adds a further server. What its URL says beside the address must be what the first one
// says.
func (s *redisServers) add(server redisServers) error {
	switch {
	case server.scheme != s.scheme:
		return fmt.Errorf("must have %s:// in all URLs, as in the first one", s.scheme)
	case server.username+server.password != "" && (server.username != s.username || server.password != s.password):
		return errors.New("must have one user and password, in the first URL: they hold for all servers")
	case server.database != 0 && server.database != s.database:
		return errors.New("must have one database, in the first URL: it holds for all servers")
	}
	s.addresses = append(s.addresses, server.addresses...)
	return nil
}

// redisURLVar adds a flag for the URLs of Redis servers. All but the address comes from the
// first one.
func redisURLVar(f *flag.FlagSet, p *redisServers, name, preset, usage string) {
	parse := func(text string) error {
		*p = redisServers{}
		for i, text := range strings.Split(text, ",") {
			server, err := parseRedisURL(strings.TrimSpace(text))
			if err != nil {
				return err
			}
			if i == 0 {
				*p = server
			} else if err := p.add(server); err != nil {
				return err
			}
		}
		return nil
	}
	addFlag(f, name, preset, usage, parse)
	if err := parse(preset); err != nil {
		panic(err)
	}
}

func (s *redisLockerSettings) open(_ config, logger *slog.Logger) (uploadLocker, error) {
	options, err := s.options()
	if err != nil {
		return nil, err
	}
	redis.SetLogger(noRedisLog{}) // the locker logs an outage in one line
	options.Dialer, options.DialerRetries, options.OnConnect = dialRedis(options.TLSConfig), 1, greetRedis
	client := redis.NewUniversalClient(options)
	l := redislocker.New(client, redislocker.Options{Prefix: s.prefix, Logger: logger})
	return &redisLocker{serviceLocker: serviceLocker{l, redisLockerKind.name, client.Close}, locker: l, logger: logger}, nil
}

func (s *redisLockerSettings) validate(cfg config) error {
	switch {
	case s.cluster && s.sentinelMaster != "":
		return cfg.exclude("redis-cluster", "redis-sentinel-master")
	case len(s.servers.addresses) > 1 && !s.cluster && s.sentinelMaster == "":
		return errors.New(cfg.sources.name("redis-url") + " has several servers: -redis-cluster or -redis-sentinel-master says what they are")
	case s.cluster && s.servers.database != 0:
		return errors.New(cfg.sources.name("redis-url") + " has a database, and a Redis Cluster has none")
	case s.sentinelPasswordFile != "" && s.sentinelMaster == "":
		return cfg.need("redis-sentinel-password-file", "redis-sentinel-master")
	case s.passwordFile != "" && s.servers.password != "":
		return passwordTwice(cfg, "redis-url", "redis-password-file")
	}
	if err := s.tls.validate(cfg, "redis", s.servers.tls, "a rediss:// URL in -redis-url"); err != nil {
		return err
	}
	_, err := s.options()
	return err
}

// options returns the options of the client. Flags do not contradict each other.
func (s *redisLockerSettings) options() (*redis.UniversalOptions, error) {
	options := &redis.UniversalOptions{
		Addrs: s.servers.addresses, DB: s.servers.database, Username: s.servers.username, Password: s.servers.password,
		MasterName: s.sentinelMaster, IsClusterMode: s.cluster,
		ContextTimeoutEnabled: true, DisableIdentity: true,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	}
	password, err := readSecret(s.passwordFile, "redis-password-file")
	if err != nil {
		return nil, err
	}
	if password != "" {
		options.Password = password
	}
	if options.SentinelPassword, err = readSecret(s.sentinelPasswordFile, "redis-sentinel-password-file"); err != nil {
		return nil, err
	}
	if s.servers.tls {
		if options.TLSConfig, err = s.tls.config("redis"); err != nil {
			return nil, err
		}
	}
	return options, nil
}

// noRedisLog drops what the client logs.
type noRedisLog struct{}

func (noRedisLog) Printf(context.Context, string, ...any) {}

// redisLocker warns of dangerous settings of Redis when it is first reached.
type redisLocker struct {
	serviceLocker
	locker *redislocker.RedisLocker
	logger *slog.Logger
	warned sync.Once
}

func (l *redisLocker) probes() []*probe {
	p := lockerProbe(l.locker)
	check := p.check
	p.check = func(ctx context.Context) error {
		err := check(ctx)
		if err == nil {
			l.warned.Do(func() { l.warn(ctx) })
		}
		return err
	}
	return []*probe{p}
}

func (l *redisLocker) unsafe(ctx context.Context) ([]string, error) { return l.locker.Unsafe(ctx) }

func (l *redisLocker) warn(ctx context.Context) {
	problems, err := l.unsafe(ctx)
	if err != nil {
		return // some services do not tell their settings
	}
	for _, problem := range problems {
		l.logger.Warn(problem)
	}
}
