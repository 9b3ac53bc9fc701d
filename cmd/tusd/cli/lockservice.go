package cli

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lease"
)

// The lockers of lock services have this in common.

// lockServiceCloseTimeout bounds the release of locks at the end of the server.
const lockServiceCloseTimeout = 2 * time.Second

// serviceLocker is the uploadLocker of a lock service.
type serviceLocker struct {
	lockService
	name        string // of -locker
	closeClient func() error
}

// lockService is what the lockers of lock services can do.
type lockService interface {
	tusd.Locker
	Stats() lease.Stats
	Close(context.Context) error
}

func (l serviceLocker) probes() []*probe { return []*probe{lockerProbe(l.lockService)} }

func (l serviceLocker) collectors() []prometheus.Collector {
	return []prometheus.Collector{newLeaseCollector(l.name, l.Stats)}
}

// close releases what is still held. A service that is unreachable is no error: the locks
// expire.
func (l serviceLocker) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), lockServiceCloseTimeout)
	defer cancel()
	l.Close(ctx)
	return l.closeClient()
}

// serviceTLS are the flags for TLS with a lock service or a hook.
type serviceTLS struct {
	ca, certificate, key string // files; "": the system's, none
}

// declare adds the flags, whose names begin with service.
func (t *serviceTLS) declare(f *flag.FlagSet, service, used string) {
	f.StringVar(&t.ca, service+"-tls-ca", "", "`file` with the certificates of the authorities that sign\nthe server's, in place of the system's; TLS is used "+used)
	f.StringVar(&t.certificate, service+"-tls-certificate", "", "`file` with the certificate of this client, if the server\nwants one")
	f.StringVar(&t.key, service+"-tls-key", "", "`file` with its key")
}

// validate refuses flags that are set if the URLs do not ask for TLS, and files that cannot
// be used.
func (t serviceTLS) validate(cfg config, service string, used bool, need string) error {
	if !used {
		for _, name := range []string{"-tls-ca", "-tls-certificate", "-tls-key"} {
			if cfg.isSet(service + name) {
				return fmt.Errorf("%s needs %s", cfg.sources.name(service+name), need)
			}
		}
		return nil
	}
	_, err := t.config(service)
	return err
}

// tlsFlags are the names of the flags of a serviceTLS.
type tlsFlags struct{ ca, certificate, key string }

// config reads the files.
func (t serviceTLS) config(service string) (*tls.Config, error) {
	return t.configOf(tlsFlags{service + "-tls-ca", service + "-tls-certificate", service + "-tls-key"})
}

// configOf is config for flags with other names.
func (t serviceTLS) configOf(flags tlsFlags) (*tls.Config, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if t.ca != "" {
		text, err := os.ReadFile(t.ca)
		if err != nil {
			return nil, fmt.Errorf("-%s: %w", flags.ca, err)
		}
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM(text) {
			return nil, fmt.Errorf("-%s: %s has no certificate in PEM", flags.ca, t.ca)
		}
	}
	switch {
	case t.certificate == "" && t.key == "":
		return config, nil
	case t.certificate == "" || t.key == "":
		return nil, fmt.Errorf("-%s and -%s need each other", flags.certificate, flags.key)
	}
	// The files are read again for each connection, so that a new certificate needs no restart.
	if _, err := tls.LoadX509KeyPair(t.certificate, t.key); err != nil {
		return nil, fmt.Errorf("-%s: %w", flags.certificate, err)
	}
	config.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(t.certificate, t.key)
		return &pair, err
	}
	return config, nil
}

// secretVar adds a flag for a file with a secret. The secret itself is no flag, because
// every user of the machine can read the arguments of a process.
func secretVar(f *flag.FlagSet, p *string, name, what string) {
	f.StringVar(p, name, "", "`file` with "+what)
}

// readSecret returns the first line of a file; "" if path is empty.
func readSecret(path, flagName string) (string, error) {
	if path == "" {
		return "", nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("-%s: %w", flagName, err)
	}
	line, _, _ := strings.Cut(string(text), "\n")
	line = strings.TrimSuffix(line, "\r")
	if line == "" {
		return "", fmt.Errorf("-%s: %w", flagName, errors.New(path+" is empty"))
	}
	return line, nil
}

// passwordTwice returns the error for a password in a URL and in a file.
func passwordTwice(cfg config, urlFlag, fileFlag string) error {
	return fmt.Errorf("%s has a password, and %s names another: remove one", cfg.sources.name(urlFlag), cfg.sources.name(fileFlag))
}

// commandLinePassword returns a sentence for a URL with a password on the command line; "":
// the URL is not there, or has none.
func (cfg config) commandLinePassword(urlFlag, fileFlag, password string) string {
	if password == "" || cfg.sources[urlFlag] != "-"+urlFlag {
		return ""
	}
	return fmt.Sprintf("-%s has a password, and every user of this machine can read the command line: set %s, or use -%s", urlFlag, variableOf(urlFlag), fileFlag)
}

// lockPrefixVar adds a flag for the prefix of the names of all keys in a lock service.
func lockPrefixVar(f *flag.FlagSet, p *string, name string) {
	addFlag(f, name, "tusd", "`prefix` of the names of all keys. Servers of one bucket have\nthe same, others another one", func(text string) error {
		*p = text
		if text == "" || strings.ContainsAny(text, "{}") || strings.TrimFunc(text, isPrintableASCII) != "" {
			return errors.New("must be printable ASCII without braces, and not empty")
		}
		return nil
	})
	*p = "tusd"
}

func isPrintableASCII(r rune) bool { return r > ' ' && r < 0x7f }
