// Package httphook sends events to an HTTP endpoint. The messages are those of tusd v2.
package httphook

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/tus/tusd/hooks"
	"github.com/tus/tusd/internal/retry"
)

// Hook posts events to an endpoint, as JSON. The endpoint answers with a status of 200 to 299
// and a hooks.HookResponse of the type application/json, or with an empty body. All else is a
// failure. Network errors and statuses from 500 are tried again, after a growing wait. A
// redirection is followed if it repeats the POST (307, 308) on the same host and scheme.
//
// The zero value of each field but URL means its default.
type Hook struct {
	URL string
	// ForwardHeaders names fields of the client's request that the call repeats, with the
	// names in this spelling.
	ForwardHeaders []string
	// Attempts is how often an event is sent at most, in one call of InvokeHook; 0: 3.
	Attempts int
	// Backoff is the wait before the second attempt; 0: 1 s. It doubles, and varies by a
	// quarter.
	Backoff time.Duration
	// Timeout limits all attempts and the waits between them; 0: 15 s.
	Timeout time.Duration
	// AttemptTimeout limits each attempt; 0: only Timeout does.
	AttemptTimeout time.Duration
	// SizeLimit is the length of the longest answer, in bytes; 0: 5120.
	SizeLimit int64
	// TLS is for https; nil: the default of Go.
	TLS *tls.Config
	// Secret signs the calls, see Sign; nil: they are not signed. It must not be empty.
	Secret []byte

	client *http.Client
}

var _ hooks.Hook = (*Hook)(nil)

const (
	defaultAttempts  = 3
	defaultBackoff   = time.Second
	defaultTimeout   = 15 * time.Second
	defaultSizeLimit = 5120
	// maxIdle is how many connections stay open between calls.
	maxIdle = 64
	// maxRedirects is how many redirections of one attempt are followed.
	maxRedirects = 5
)

// The fields of a signed call.
const (
	TimestampField = "Tusd-Timestamp" // Unix time in seconds, decimal
	SignatureField = "Tusd-Signature" // "sha256=" and the result of Sign
)

// Sign returns the signature of a call in hexadecimal digits: HMAC-SHA256 over the timestamp as
// it is in TimestampField, a dot, and the body. A receiver computes it too, compares in
// constant time, and refuses old timestamps.
func Sign(secret []byte, timestamp string, body []byte) string {
	mac := hmac.New(sha256.New, secret)
	mac.Write([]byte(timestamp + "."))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// Name returns "http".
func (h *Hook) Name() string { return "http" }

// Setup returns an error if the URL is none of HTTP, or Secret is empty. It sends nothing.
func (h *Hook) Setup(context.Context) error {
	u, err := url.Parse(h.URL)
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return errors.New("the URL of the endpoint is not one of HTTP") // without the URL, which may have a password
	}
	if h.Secret != nil && len(h.Secret) == 0 {
		return errors.New("the secret of the endpoint is empty")
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConnsPerHost, transport.TLSClientConfig = maxIdle, h.TLS
	h.client = &http.Client{Transport: transport, CheckRedirect: keepsCall}
	return nil
}

// keepsCall refuses a redirection after which the event would not be sent: the answer of a GET
// does not say that the endpoint has it. It also refuses one to another host or scheme, which
// would get the credentials of clients.
func keepsCall(next *http.Request, earlier []*http.Request) error {
	first := earlier[0]
	if next.Method != http.MethodPost || next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host || len(earlier) >= maxRedirects {
		return http.ErrUseLastResponse
	}
	return nil
}

// Close closes the connections.
func (h *Hook) Close() error {
	h.client.CloseIdleConnections()
	return nil
}

// InvokeHook sends one event.
func (h *Hook) InvokeHook(ctx context.Context, request hooks.HookRequest) (hooks.HookResponse, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return hooks.HookResponse{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, cmp.Or(h.Timeout, defaultTimeout))
	defer cancel()
	return retry.Call(ctx, cmp.Or(h.Attempts, defaultAttempts), cmp.Or(h.Backoff, defaultBackoff), isTransient, func() (hooks.HookResponse, error) {
		return h.post(ctx, request, body)
	})
}

// transientError is a failure after which the call is tried again.
type transientError struct{ error }

func (e *transientError) Unwrap() error { return e.error }

func isTransient(err error) bool {
	var transient *transientError
	return errors.As(err, &transient)
}

// post makes one attempt.
func (h *Hook) post(ctx context.Context, request hooks.HookRequest, body []byte) (hooks.HookResponse, error) {
	if h.AttemptTimeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, h.AttemptTimeout)
		defer cancel()
	}
	r, err := h.newCall(ctx, request, body)
	if err != nil {
		return hooks.HookResponse{}, err
	}
	res, err := h.client.Do(r)
	if err != nil {
		return hooks.HookResponse{}, &transientError{withoutURL(err)}
	}
	defer res.Body.Close()
	limit := cmp.Or(h.SizeLimit, defaultSizeLimit)
	answer, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	switch {
	case res.StatusCode >= 500:
		return hooks.HookResponse{}, &transientError{fmt.Errorf("the endpoint answers with status %d", res.StatusCode)}
	case res.StatusCode < 200 || res.StatusCode > 299:
		return hooks.HookResponse{}, fmt.Errorf("the endpoint answers with status %d", res.StatusCode)
	case err != nil:
		return hooks.HookResponse{}, &transientError{fmt.Errorf("the answer of the endpoint cannot be read: %w", err)}
	case int64(len(answer)) > limit:
		return hooks.HookResponse{}, fmt.Errorf("%w: it is longer than %d bytes", hooks.ErrUnreadable, limit)
	case len(bytes.TrimSpace(answer)) == 0:
		return hooks.HookResponse{}, nil
	}
	if kind, _, err := mime.ParseMediaType(res.Header.Get("Content-Type")); err != nil || kind != "application/json" {
		return hooks.HookResponse{}, fmt.Errorf("%w: its Content-Type is %q, not application/json", hooks.ErrUnreadable, res.Header.Get("Content-Type"))
	}
	return hooks.ParseResponse(answer)
}

// newCall returns the request to the endpoint.
func (h *Hook) newCall(ctx context.Context, request hooks.HookRequest, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return nil, withoutURL(err)
	}
	for _, name := range h.ForwardHeaders {
		if values := request.Event.HTTPRequest.Header[http.CanonicalHeaderKey(name)]; len(values) > 0 {
			r.Header[name] = values
		}
	}
	r.Header.Set("Content-Type", "application/json")
	if h.Secret != nil {
		timestamp := strconv.FormatInt(time.Now().Unix(), 10)
		r.Header.Set(TimestampField, timestamp)
		r.Header.Set(SignatureField, "sha256="+Sign(h.Secret, timestamp, body))
	}
	return r, nil
}

// withoutURL removes the URL from an error of net/http: it may have a password.
func withoutURL(err error) error {
	var urlError *url.Error
	if errors.As(err, &urlError) {
		return urlError.Err
	}
	return err
}
