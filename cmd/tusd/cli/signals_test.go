//go:build unix

package cli

import (
	"strings"
	"syscall"
	"testing"
)

// SIGHUP does not end the daemon. It makes it read the certificate again.
func TestHangup(t *testing.T) {
	t.Parallel()
	files := newPair(t, t.TempDir(), "a")
	p := launchUploads(t, t.TempDir(), []string{"-tls-certificate", files.cert, "-tls-key", files.key})
	url := p.url(t)
	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await(t, "the certificate to be read", func() bool {
		return strings.Contains(p.stdout.String(), "certificate was read again")
	})
	create(t, overTLS(), url, "1")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	p.mustEnd(t, exitOK)
}
