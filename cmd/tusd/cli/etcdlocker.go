package cli

import (
	"errors"
	"flag"
	"log/slog"
	"net/url"
	"strings"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/tus/tusd"
	"github.com/tus/tusd/etcdlocker"
)

// etcdLockerKind locks uploads in etcd.
var etcdLockerKind = lockerKind{
	name:     "etcd",
	summary:  "those of all servers that use the same etcd",
	scope:    tusd.ScopeLease,
	settings: func() lockerSettings { return new(etcdLockerSettings) },
}

type etcdLockerSettings struct {
	servers      etcdServers
	prefix       string
	passwordFile string
	tls          serviceTLS
}

// etcdServers are the URLs of -etcd-url.
type etcdServers struct {
	endpoints          []string // without user and password
	username, password string
	tls                bool
}

func (s *etcdLockerSettings) declare(f *flag.FlagSet) {
	addFlag(f, "etcd-url", "http://localhost:2379", "`URLs` of the servers of etcd, separated by commas:\nhttp://host:port, or https:// with TLS. The first may have\na user and a password. A password belongs in\nTUSD_ETCD_URL or -etcd-password-file: every user of\nthe machine can read the command line", s.servers.parse)
	lockPrefixVar(f, &s.prefix, "etcd-prefix")
	secretVar(f, &s.passwordFile, "etcd-password-file", "the password of the user in -etcd-url")
	s.tls.declare(f, "etcd", "if the\nURLs say https://")
}

// parse sets e to a list of URLs. An error does not show them: they may have a password.
func (e *etcdServers) parse(text string) error {
	*e = etcdServers{}
	for i, text := range strings.Split(text, ",") {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" {
			return errors.New("must be a URL like https://host:2379, or several with commas between them")
		}
		if i == 0 {
			e.tls = u.Scheme == "https"
			e.username = u.User.Username()
			e.password, _ = u.User.Password()
		}
		switch {
		case e.tls != (u.Scheme == "https"):
			return errors.New("must have https in all URLs or in none")
		case i > 0 && u.User != nil:
			return errors.New("must have the user in the first URL only")
		}
		e.endpoints = append(e.endpoints, u.Scheme+"://"+u.Host)
	}
	return nil
}

func (s *etcdLockerSettings) open(_ config, logger *slog.Logger) (uploadLocker, error) {
	client, err := s.client()
	if err != nil {
		return nil, err
	}
	l := etcdlocker.Open(client, etcdlocker.Options{Prefix: s.prefix, Logger: logger})
	return serviceLocker{l, etcdLockerKind.name, func() error { return nil }}, nil
}

func (s *etcdLockerSettings) validate(cfg config) error {
	if s.passwordFile != "" && s.servers.password != "" {
		return passwordTwice(cfg, "etcd-url", "etcd-password-file")
	}
	if err := s.tls.validate(cfg, "etcd", s.servers.tls, "https:// URLs in -etcd-url"); err != nil {
		return err
	}
	_, err := s.client()
	return err
}

// client returns the settings of the client, and refuses a user without a password. A connection
// without answers is closed after 13 s: etcd takes no more frequent pings. The client logs
// nothing: the locker logs an outage in one line.
func (s *etcdLockerSettings) client() (c clientv3.Config, err error) {
	c = clientv3.Config{
		Endpoints: s.servers.endpoints, Username: s.servers.username, Password: s.servers.password,
		DialKeepAliveTime: 10 * time.Second, DialKeepAliveTimeout: 3 * time.Second,
		Logger: zap.NewNop(),
	}
	password, err := readSecret(s.passwordFile, "etcd-password-file")
	if err != nil {
		return c, err
	}
	if password != "" {
		c.Password = password
	}
	if (c.Username == "") != (c.Password == "") {
		return c, errors.New("a user in -etcd-url and a password, there or in -etcd-password-file, need each other")
	}
	if s.servers.tls {
		c.TLS, err = s.tls.config("etcd")
	}
	return c, err
}
