package s3store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
)

// openLogged opens a store, and returns its log and the error of Open.
func openLogged(t *testing.T, store *s3store.Store) (logged string, err error) {
	t.Helper()
	var log bytes.Buffer
	store.Log = slog.New(slog.NewTextHandler(&log, nil))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	err = store.Open(ctx, tusd.Env{Locker: &tusd.LocalLocker{}})
	return log.String(), err
}

func wantNothingLeft(t *testing.T, server *s3server.Server) {
	t.Helper()
	if left := server.Left(); len(left) > 0 {
		t.Errorf("%q are left", left)
	}
}

// Open fails if a permission is missing that the server needs later, and names it.
func TestOpenNeedsPermissions(t *testing.T) {
	t.Parallel()
	for operation, want := range map[s3server.Operation]string{
		s3server.ListObjectsV2:         "the bucket cannot be listed: the credentials are not allowed to do this (s3:ListBucket)",
		s3server.PutObject:             "no object can be stored: the credentials are not allowed to do this (s3:PutObject)",
		s3server.GetObject:             "no object can be read: the credentials are not allowed to do this (s3:GetObject)",
		s3server.CreateMultipartUpload: "a multipart upload cannot be begun and aborted: the credentials are not allowed to do this (s3:PutObject)",
		s3server.AbortMultipartUpload:  "a multipart upload cannot be begun and aborted: the credentials are not allowed to do this (s3:AbortMultipartUpload)",
		s3server.DeleteObject:          "no object can be removed: the credentials are not allowed to do this (s3:DeleteObject)",
	} {
		server := smallServer(t, s3server.Quirks{})
		refuse(server, operation)
		_, err := openLogged(t, testStore(server.Bucket(), clientOf(t, server)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("without %s: %v\nwant %s", operation, err, want)
		}
		server.Fault(nil)
		if operation != s3server.DeleteObject && operation != s3server.AbortMultipartUpload {
			wantNothingLeft(t, server)
		}
	}
}

func refuse(server *s3server.Server, operation s3server.Operation) {
	server.Fault(func(c s3server.Call) s3server.Outcome {
		if c.Operation == operation {
			return s3server.Refuse(http.StatusForbidden, "AccessDenied")
		}
		return s3server.Outcome{}
	})
}

// Open makes few calls and leaves nothing. It removes old probe objects of killed
// processes.
func TestCallsOfOpen(t *testing.T) {
	var ago atomic.Int64
	ago.Store(int64(2 * time.Hour))
	server := s3server.Start(t, s3server.Options{Now: func() time.Time { return time.Now().Add(-time.Duration(ago.Load())) }})
	server.Put(".tusd.d/probe", nil)
	ago.Store(0)
	server.Put(".tusd.d/probe-of-another", nil)
	if _, err := openLogged(t, testStore(server.Bucket(), clientOf(t, server))); err != nil {
		t.Fatal(err)
	}
	if n := server.Counts().Total().Calls; n > 14 {
		t.Errorf("%d calls: %v", n, server.Counts())
	}
	if keys := fmt.Sprint(keysOf(server)); keys != "[.tusd.d/probe-of-another]" {
		t.Errorf("left: %s", keys)
	}
}

func keysOf(server *s3server.Server) (keys []string) {
	for _, o := range server.Objects() {
		keys = append(keys, o.Key)
	}
	return keys
}

// A transient error of a call does not fail Open. A service that is down fails it
// after few calls.
func TestOpenRetries(t *testing.T) {
	require.Long(t)
	t.Parallel()
	server := smallServer(t, s3server.Quirks{})
	server.Fault(func(c s3server.Call) s3server.Outcome {
		if c.Number%2 == 1 {
			return s3server.Refuse(http.StatusServiceUnavailable, "SlowDown")
		}
		return s3server.Outcome{}
	})
	if _, err := openLogged(t, testStore(server.Bucket(), clientOf(t, server))); err != nil {
		t.Error(err)
	}
	server.Fault(func(s3server.Call) s3server.Outcome {
		return s3server.Refuse(http.StatusServiceUnavailable, "SlowDown")
	})
	server.Recount()
	if _, err := openLogged(t, testStore(server.Bucket(), clientOf(t, server))); err == nil || !strings.Contains(err.Error(), "SlowDown") {
		t.Errorf("error %v", err)
	}
	if n := server.Counts().Total().Calls; n > 3 {
		t.Errorf("%d calls of a service that is down", n)
	}
}

func TestOpenEndsWithContext(t *testing.T) {
	t.Parallel()
	server := smallServer(t, s3server.Quirks{})
	server.Fault(func(s3server.Call) s3server.Outcome { return s3server.Stall(make(chan struct{})) })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	err := testStore(server.Bucket(), clientOf(t, server)).Open(ctx, tusd.Env{Locker: &tusd.LocalLocker{}})
	if err == nil || !strings.Contains(err.Error(), "does not answer in time") {
		t.Errorf("error %v", err)
	}
}

// Each usual mistake of a configuration has its own error message.
func TestOpenExplains(t *testing.T) {
	t.Parallel()
	server := s3server.Start(t, s3server.Options{})
	skewed := s3server.Start(t, s3server.Options{Now: func() time.Time { return time.Now().Add(time.Hour) }})
	foreign := s3server.Start(t, s3server.Options{AccessKey: "another"})
	elsewhere := s3server.Start(t, s3server.Options{})
	elsewhere.Fault(func(s3server.Call) s3server.Outcome {
		return s3server.Refuse(http.StatusBadRequest, "AuthorizationHeaderMalformed")
	})
	for want, store := range map[string]*s3store.Store{
		"the service has no bucket of that name":     s3store.New("other", clientAt(t, server.URL, "other", server.AccessKey())),
		"the service does not know the access key":   s3store.New("bucket", clientAt(t, foreign.URL, "bucket", "access")),
		"is too far from the service's":              s3store.New("bucket", clientOf(t, skewed)),
		"the region is not that of the bucket (as t": s3store.New("bucket", clientOf(t, elsewhere)),
		"not as an S3 service does: its":             s3store.New("bucket", clientAt(t, startWebsite(t, http.StatusOK), "bucket", "access")),
		"but not as an S3 service":                   s3store.New("bucket", clientAt(t, startWebsite(t, http.StatusNotFound), "bucket", "access")),
		"nothing listens at the endpoint":            s3store.New("bucket", clientAt(t, "http://127.0.0.1:1", "bucket", "access")),
		"the certificate of the endpoint":            s3store.New("bucket", clientAt(t, startTLSServer(t), "bucket", "access")),
		"the endpoint speaks plain HTTP":             s3store.New("bucket", clientAt(t, "https"+strings.TrimPrefix(server.URL, "http"), "bucket", "access")),
		"no credentials are found: set AWS_":         s3store.New("bucket", clientAt(t, server.URL, "bucket", "")),
	} {
		if _, err := openLogged(t, store); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v\nwant %s", err, want)
		}
	}
}

// Without credentials Open searches them only once, as a search may take long.
func TestOpenWithoutCredentials(t *testing.T) {
	server := s3server.Start(t, s3server.Options{})
	var none noCredentials
	client := clientWith(t, server.URL, "bucket", credentials.NewChainCredentials([]credentials.Provider{&none}))
	if _, err := openLogged(t, s3store.New("bucket", client)); !errors.Is(err, s3store.ErrNoCredentials) || none.asked.Load() != 1 {
		t.Errorf("asked %d times: %v", none.asked.Load(), err)
	}
}

// noCredentials is a provider without credentials.
type noCredentials struct{ asked atomic.Int64 }

func (n *noCredentials) Retrieve() (credentials.Value, error) {
	n.asked.Add(1)
	return credentials.Value{}, errors.New("none")
}

func (n *noCredentials) IsExpired() bool { return true }

// clientAt returns a client of a bucket. Without an access key it has no credentials.
func clientAt(t *testing.T, endpoint, bucket, accessKey string) s3store.Client {
	t.Helper()
	signer := credentials.NewChainCredentials(nil)
	if accessKey != "" {
		signer = credentials.NewStaticCredentials(accessKey, "secret", "")
	}
	return clientWith(t, endpoint, bucket, signer)
}

func clientWith(t *testing.T, endpoint, bucket string, signer *credentials.Credentials) s3store.Client {
	t.Helper()
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	s, err := session.NewSession(&aws.Config{
		Region: aws.String("us-east-1"), Endpoint: &endpoint, S3ForcePathStyle: aws.Bool(true), Credentials: signer,
		HTTPClient: &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	return awsv1.New(bucket, s3.New(s))
}

// startWebsite starts a server of web pages, and returns its URL.
func startWebsite(t *testing.T, status int) (url string) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		fmt.Fprint(w, "<!doctype html><html><title>Welcome</title><p>no <br> S3 & more</html>")
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func startTLSServer(t *testing.T) (url string) {
	t.Helper()
	server := httptest.NewUnstartedServer(http.NotFoundHandler())
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelInfo) // its certificate is refused
	server.StartTLS()
	t.Cleanup(server.Close)
	return server.URL
}

// Open warns of clocks that differ by less than what the service refuses.
func TestOpenComparesClocks(t *testing.T) {
	for skew, warned := range map[time.Duration]bool{0: false, 10 * time.Minute: true, -10 * time.Minute: true} {
		server := s3server.Start(t, s3server.Options{Now: func() time.Time { return time.Now().Add(skew) }})
		logged, err := openLogged(t, testStore(server.Bucket(), clientOf(t, server)))
		if err != nil || strings.Contains(logged, "clocks") != warned {
			t.Errorf("skew %v: %v, log %q", skew, err, logged)
		}
	}
}

// oddPrefixes are prefixes that services with objects as files store under
// another name. The values are the prefixes that the error proposes.
var oddPrefixes = map[string]string{
	"/lead": `"lead/"`, "//lead/": `"lead/"`, "lead//": `"lead/"`, "a//b": `"a/b/"`, "a/../b": `"b/"`, "./x": `"x/"`, "a/.": `"a/"`,
	"/": `"uploads/"`, "a/..": `"uploads/"`, "../x": `"x/"`,
}

// Open fails if the service does not list objects under the prefix: no upload
// under it could be resumed.
func TestOpenWithOddPrefixes(t *testing.T) {
	for prefix, better := range oddPrefixes {
		t.Run(prefix, func(t *testing.T) {
			t.Parallel()
			server := smallServer(t, s3server.Quirks{CleansKeys: true})
			store := testStore(server.Bucket(), clientOf(t, server))
			store.ObjectPrefix = prefix
			_, err := openLogged(t, store)
			with := strconv.Quote(strings.TrimSuffix(prefix, "/") + "/")
			if err == nil || !strings.Contains(err.Error(), "does not list what it stores under the prefix "+with+": set another one, such as "+better) {
				t.Error(err)
			}
			wantNothingLeft(t, server)
		})
	}
}

// Services that store keys as they are accept such prefixes.
func TestOddPrefixesOfKeys(t *testing.T) {
	for prefix := range oddPrefixes {
		server := smallServer(t, s3server.Quirks{})
		store := testStore(server.Bucket(), clientOf(t, server))
		store.ObjectPrefix = prefix
		n := startNode(t, store, &tusd.LocalLocker{})
		path := n.create(200)
		n.patch(path, 0, 100)
		if n.offset(path) != 100 {
			t.Errorf("prefix %s: the offset is %d", prefix, n.offset(path))
		}
		n.patch(path, 100, 200)
		n.wantContent(path, 200)
	}
}

// The error names a prefix that the service refuses.
func TestOpenWithRefusedPrefix(t *testing.T) {
	for _, operation := range []s3server.Operation{s3server.ListObjectsV2, s3server.PutObject} {
		server := smallServer(t, s3server.Quirks{})
		server.Fault(func(c s3server.Call) s3server.Outcome {
			if c.Operation == operation {
				return s3server.Refuse(http.StatusBadRequest, "XMinioInvalidObjectName")
			}
			return s3server.Outcome{}
		})
		store := testStore(server.Bucket(), clientOf(t, server))
		store.ObjectPrefix = "a//b"
		_, err := openLogged(t, store)
		if err == nil || !strings.Contains(err.Error(), `the service may not take the prefix "a//b/": set another one, such as "a/b/"`) {
			t.Errorf("%s is refused: %v", operation, err)
		}
	}
}

func TestCheckPrefix(t *testing.T) {
	for prefix, good := range map[string]bool{
		"": true, "a": true, "a/b/": true, "/lead": true, "a//b": true, "हिन्दी": true, "a b+c%2F": true, strings.Repeat("x", 800): true,
		"a\x01b": false, "a\nb": false, "a\x7f": false, "\u0085": false, "\ufffe": false, "\xff": false, strings.Repeat("x", 801): false,
	} {
		if err := s3store.CheckPrefix(prefix); (err == nil) != good {
			t.Errorf("%q: %v", prefix, err)
		}
		store := s3store.New("bucket", newFakeService(1, 10, func(string) bool { return false }))
		store.ObjectPrefix = prefix
		if _, err := openLogged(t, store); (err == nil) != good {
			t.Errorf("open with %q: %v", prefix, err)
		}
	}
}

// lateListings is a service whose first listings are empty.
type lateListings struct {
	*fakeService
	late int // calls; -1: all
}

func (f *lateListings) ListObjects(ctx context.Context, in s3store.ListObjects) (*s3store.ObjectPage, error) {
	if f.late != 0 {
		f.late--
		return new(s3store.ObjectPage), nil
	}
	return f.fakeService.ListObjects(ctx, in)
}

// Open repeats a listing that does not have the new object yet, and fails if it
// never has it.
func TestOpenWithLateListings(t *testing.T) {
	for late, good := range map[int]bool{2: true, 3: true, -1: false} {
		_, err := openLogged(t, s3store.New("bucket", &lateListings{newFakeService(1, 10, func(string) bool { return false }), late}))
		if (err == nil) != good || !good && !strings.Contains(err.Error(), "does not list what it has stored a moment ago") {
			t.Errorf("%d listings are late: %v", late, err)
		}
	}
}

func TestCheckKey(t *testing.T) {
	for template, good := range map[string]bool{
		"": true, "{id}": true, "raw/{date}/{id}/{filename}": true, "a{id}b": true,
		"{date}": false, "{id}/{name}": false, "/{id}": false, "{id}/": false, "a/../{id}": false, "{id}.info": false,
		"{id}.part": false, ".tusd.d/{id}": false, "a/{id}/..": false, "{id}/.": false, "a//{id}": false, `a\{id}`: false, "a\x01{id}": false,
		"{id}.lock": false, "con/{id}": false, "{id}.": false, strings.Repeat("x", 224) + "{id}": false, "हिन्दी/{id}": true,
	} {
		if err := s3store.CheckKey(template); (err == nil) != good {
			t.Errorf("%s: %v", template, err)
		}
	}
}

// A store that only reads makes no call to open but one that lists.
func TestOpenReadOnly(t *testing.T) {
	t.Parallel()
	server := smallServer(t, s3server.Quirks{})
	err := testStore(server.Bucket(), clientOf(t, server)).Open(t.Context(), tusd.Env{Locker: &tusd.LocalLocker{}, ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	if calls := server.Calls(); len(calls) != 1 || calls[0].Operation != s3server.ListObjectsV2 {
		t.Errorf("the calls are %+v", calls)
	}
	refuse(server, s3server.ListObjectsV2)
	err = testStore(server.Bucket(), clientOf(t, server)).Open(t.Context(), tusd.Env{Locker: &tusd.LocalLocker{}, ReadOnly: true})
	if err == nil || !strings.Contains(err.Error(), "s3:ListBucket") {
		t.Errorf("without the permission to list: %v", err)
	}
}
