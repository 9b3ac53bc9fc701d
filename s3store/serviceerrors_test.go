package s3store_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
)

// Unreachable distinguishes outages from errors that an operator has to correct.
func TestUnreachable(t *testing.T) {
	require.Long(t)
	t.Parallel()
	server := s3server.Start(t, s3server.Options{})
	foreign := s3server.Start(t, s3server.Options{AccessKey: "another"})
	for name, c := range map[string]struct {
		store *s3store.Store
		want  bool
	}{
		"nothing listens": {s3store.New("bucket", clientAt(t, "http://127.0.0.1:1", "bucket", "access")), true},
		"no such host":    {s3store.New("bucket", clientAt(t, "http://no-such-host.invalid", "bucket", "access")), true},
		"gateway":         {s3store.New("bucket", clientAt(t, startWebsite(t, http.StatusBadGateway), "bucket", "access")), true},
		"no such bucket":  {s3store.New("other", clientAt(t, server.URL, "other", server.AccessKey())), false},
		"access key":      {s3store.New("bucket", clientAt(t, foreign.URL, "bucket", "access")), false},
		"no credentials":  {s3store.New("bucket", clientAt(t, server.URL, "bucket", "")), false},
		"page":            {s3store.New("bucket", clientAt(t, startWebsite(t, http.StatusOK), "bucket", "access")), false},
		"not found":       {s3store.New("bucket", clientAt(t, startWebsite(t, http.StatusNotFound), "bucket", "access")), false},
		"certificate":     {s3store.New("bucket", clientAt(t, startTLSServer(t), "bucket", "access")), false},
		"plain HTTP":      {s3store.New("bucket", clientAt(t, "https"+strings.TrimPrefix(server.URL, "http"), "bucket", "access")), false},
	} {
		_, err := openLogged(t, c.store)
		if got := s3store.Unreachable(err); err == nil || got != c.want {
			t.Errorf("%s: %t, want %t: %v", name, got, c.want, err)
		}
	}
	for _, err := range []error{nil, errors.New("a setting"), context.Canceled} {
		if s3store.Unreachable(err) {
			t.Errorf("%v", err)
		}
	}
}
