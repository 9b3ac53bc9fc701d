package cli

import (
	"crypto/tls"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"time"
)

// tlsModes are the values of -tls-mode, as in tusd v2.
func tlsModes() []string { return []string{"tls12", "tls12-strong", "tls13"} }

// newTLSConfig returns the configuration for a mode of -tls-mode.
func newTLSConfig(mode string, certificates *certificates) *tls.Config {
	c := &tls.Config{GetCertificate: certificates.get, NextProtos: []string{"h2", "http/1.1"}}
	switch mode {
	case "tls13":
		c.MinVersion = tls.VersionTLS13
	case "tls12-strong":
		c.MinVersion, c.MaxVersion = tls.VersionTLS12, tls.VersionTLS12
		c.CipherSuites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384}
	default:
		c.MinVersion = tls.VersionTLS12
		c.CipherSuites = []uint16{ // of TLS 1.2; those of 1.3 are not to be chosen
			tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
			tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
			tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
		}
	}
	return c
}

// certificates is a certificate and its key, which are read again when their
// files change. While the two files do not fit together, as between the writing
// of one and the other, the last pair that did is used.
type certificates struct {
	certFile, keyFile string
	logger            *slog.Logger

	mu        sync.Mutex
	current   *tls.Certificate
	seen      [2]fs.FileInfo // the files of current
	checked   time.Time
	lastError string // of the newest files, as it was logged; "": none
}

// certificateCheckInterval is how often the files are checked for changes.
const certificateCheckInterval = time.Second

func newCertificates(certFile, keyFile string, logger *slog.Logger) (*certificates, error) {
	c := &certificates{certFile: certFile, keyFile: keyFile, logger: logger}
	if err := c.read(); err != nil {
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return c, nil
}

// get is the tls.Config's GetCertificate.
func (c *certificates) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); now.Sub(c.checked) >= certificateCheckInterval {
		c.checked = now
		c.refresh()
	}
	return c.current, nil
}

// refresh reads the files if they have changed. The caller holds c.mu.
func (c *certificates) refresh() {
	if c.changed() {
		c.reloadLocked()
		return
	}
	c.lastError = "" // the files are those of current again
}

// reload reads the files even if they seem unchanged.
func (c *certificates) reload() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reloadLocked()
}

// reloadLocked reads the files. An error is logged once: the files are read
// again until they can be used, as a file may become readable without a change
// of its own. The caller holds c.mu.
func (c *certificates) reloadLocked() {
	if err := c.read(); err != nil {
		if c.lastError != err.Error() {
			c.logger.Error("the new TLS certificate cannot be used, the old one stays", "err", err)
		}
		c.lastError = err.Error()
		return
	}
	c.lastError = ""
	c.logger.Info("the TLS certificate was read again", "file", c.certFile)
}

func (c *certificates) changed() bool {
	now := c.stat()
	for i, info := range now {
		before := c.seen[i]
		if (info == nil) != (before == nil) {
			return true
		}
		if info != nil && (!os.SameFile(info, before) || info.Size() != before.Size() || !info.ModTime().Equal(before.ModTime())) {
			return true
		}
	}
	return false
}

// read loads the pair. It calls stat first: if the files change while they are
// read, they are read again.
func (c *certificates) read() error {
	seen := c.stat()
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("%s and %s: %w", c.certFile, c.keyFile, err)
	}
	c.current, c.seen = &pair, seen
	return nil
}

// stat describes the files; nil is a file that cannot be described.
func (c *certificates) stat() (seen [2]fs.FileInfo) {
	seen[0], _ = os.Stat(c.certFile)
	seen[1], _ = os.Stat(c.keyFile)
	return seen
}
