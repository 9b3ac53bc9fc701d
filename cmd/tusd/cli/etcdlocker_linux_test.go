package cli

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/lockservices"
	"github.com/tus/tusd/internal/s3server"
)

// A server with locks in etcd uploads, and goes on after an outage of etcd, which has one
// line in its log.
func TestServerWithEtcd(t *testing.T) {
	etcd := lockservices.Etcd(t)
	d := startInBucket(t, s3server.Start(t, s3server.Options{}), "-locker", "etcd", "-etcd-url", etcd.URL())
	location := create(t, http.DefaultClient, d.url, "5")
	tus(t, "PATCH", location, "he", "Upload-Offset: 0").want(t, 204)
	fetch(t, "http://"+d.address(t)+"/readyz") // from now on, an outage concerns all servers

	etcd.Stop()
	tus(t, "PATCH", location, "llo", "Upload-Offset: 2").want(t, 503)
	await(t, "/readyz to tell the outage", func() bool {
		status, text := fetch(t, "http://"+d.address(t)+"/readyz")
		return status == 200 && strings.Contains(text, "lock: no lock can be acquired (for all servers")
	})
	etcd.Start()
	await(t, "a lock after the outage", func() bool {
		return tus(t, "HEAD", location, "").status == 200
	})
	tus(t, "PATCH", location, "llo", "Upload-Offset: 2").want(t, 204)
	if code := d.end(t); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	log, line := d.stdout.String()+d.stderr.String(), "the lock service is unreachable"
	if n := strings.Count(log, line); n != 1 {
		t.Errorf("the log has %d lines %q, want 1:\n%s", n, line, log)
	}
}
