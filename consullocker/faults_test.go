//go:build linux

package consullocker

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/hashicorp/consul/api"
)

// recorder counts the requests to Consul, and lets a test fail or delay them.
type recorder struct {
	base       http.Transport
	requests   atomic.Int64
	heartbeats atomic.Int64
	watches    atomic.Int64
	// before runs before a heartbeat is sent. If it returns an error, that is not sent.
	before atomic.Pointer[func() error]
}

// newRecorder returns a client over a recorder.
func newRecorder(tb testing.TB, address string) (*recorder, *api.Client) {
	r := &recorder{base: http.Transport{MaxIdleConnsPerHost: 100}}
	return r, newClientOver(tb, address, r)
}

// RoundTrip implements http.RoundTripper.
func (r *recorder) RoundTrip(request *http.Request) (*http.Response, error) {
	r.requests.Add(1)
	if strings.HasSuffix(request.URL.Path, "/wish/") && request.URL.Query().Has("index") {
		r.watches.Add(1)
	}
	if isHeartbeat(request) {
		r.heartbeats.Add(1)
		if before := r.before.Load(); before != nil {
			if err := (*before)(); err != nil {
				return nil, err
			}
			// what was delayed arrives, also if the caller does not wait any more
			request = request.WithContext(context.WithoutCancel(request.Context()))
		}
	}
	return r.base.RoundTrip(request)
}

// CloseIdleConnections is called by http.Client.
func (r *recorder) CloseIdleConnections() { r.base.CloseIdleConnections() }

// isHeartbeat reports whether a request is a transaction of a process that exists which
// reads all processes.
func isHeartbeat(request *http.Request) bool {
	if !strings.HasSuffix(request.URL.Path, "/v1/txn") {
		return false
	}
	body, err := io.ReadAll(request.Body)
	request.Body = io.NopCloser(bytes.NewReader(body))
	return err == nil && bytes.Contains(body, []byte(api.KVGetTree)) && bytes.Contains(body, []byte(api.KVCheckIndex))
}
