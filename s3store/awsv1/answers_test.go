package awsv1_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
)

// scriptedService is a service whose answers the test writes.
type scriptedService struct {
	*httptest.Server
	api *s3.S3

	mu       sync.Mutex
	requests []*http.Request
}

const (
	testBucket = "testBucket" // the bucket; no other test has one of this name
	accessKey  = "AKIDEXAMPLE"
	secretKey  = "wJalrXUtnFEMI"
	token      = "session-token-value"
)

// startService serves with handler until the test ends. The SDK's client has
// its default settings: three retries. A request for another bucket comes from
// another test binary whose server had this port before: it is not counted.
func startService(t *testing.T, handler http.HandlerFunc) *scriptedService {
	t.Helper()
	a := &scriptedService{}
	a.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !strings.HasPrefix(r.URL.Path, "/"+testBucket) {
			http.NotFound(w, r)
			return
		}
		a.mu.Lock()
		a.requests = append(a.requests, r)
		a.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(a.Close)
	a.api = newAPI(t, a.URL, credentials.NewStaticCredentials(accessKey, secretKey, token))
	return a
}

func newAPI(t *testing.T, endpoint string, c *credentials.Credentials) *s3.S3 {
	t.Helper()
	connection, err := session.NewSession(&aws.Config{
		Endpoint:         &endpoint,
		Region:           aws.String("eu-central-1"),
		Credentials:      c,
		S3ForcePathStyle: aws.Bool(true),
		HTTPClient:       &http.Client{Transport: &http.Transport{DisableKeepAlives: true}},
	})
	if err != nil {
		t.Fatal(err)
	}
	return s3.New(connection)
}

func (a *scriptedService) client(options ...awsv1.Option) *awsv1.Client {
	return awsv1.New(testBucket, a.api, options...)
}

// seen returns the requests so far.
func (a *scriptedService) seen() []*http.Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.requests)
}

func wantOne(t *testing.T, what string, seen []*http.Request) {
	t.Helper()
	if len(seen) == 1 {
		return
	}
	t.Errorf("%s: %d requests, want 1", what, len(seen))
	for _, r := range seen {
		t.Logf("%s %s from %s, %s", r.Method, r.URL, r.RemoteAddr, r.UserAgent())
	}
}

// calls are the methods of s3store.Client that send a request.
var calls = map[string]func(context.Context, *awsv1.Client) error{
	"PutObject": func(ctx context.Context, c *awsv1.Client) error {
		_, err := c.PutObject(ctx, s3store.PutObject{Key: "k", Body: strings.NewReader("content"), Size: 7})
		return err
	},
	"GetObject": func(ctx context.Context, c *awsv1.Client) error {
		o, err := c.GetObject(ctx, s3store.GetObject{Key: "k"})
		if err == nil {
			defer o.Body.Close()
			_, err = io.Copy(io.Discard, o.Body)
		}
		return err
	},
	"HeadObject":    func(ctx context.Context, c *awsv1.Client) error { _, err := c.HeadObject(ctx, "k"); return err },
	"DeleteObject":  func(ctx context.Context, c *awsv1.Client) error { return c.DeleteObject(ctx, "k") },
	"DeleteObjects": func(ctx context.Context, c *awsv1.Client) error { return c.DeleteObjects(ctx, []string{"k"}) },
	"ListObjectsV2": func(ctx context.Context, c *awsv1.Client) error {
		_, err := c.ListObjects(ctx, s3store.ListObjects{Prefix: "k", Max: 10})
		return err
	},
	"CreateMultipartUpload": func(ctx context.Context, c *awsv1.Client) error {
		_, err := c.CreateMultipart(ctx, "k", s3store.Attributes{})
		return err
	},
	"UploadPart": func(ctx context.Context, c *awsv1.Client) error {
		_, err := c.UploadPart(ctx, s3store.UploadPart{Key: "k", Multipart: "m", Number: 1, Body: strings.NewReader("content"), Size: 7})
		return err
	},
	"UploadPartCopy": func(ctx context.Context, c *awsv1.Client) error {
		_, err := c.CopyPart(ctx, s3store.CopyPart{Key: "k", Multipart: "m", Number: 1, Source: "s", Size: -1})
		return err
	},
	"ListMultipartUploads": func(ctx context.Context, c *awsv1.Client) error {
		_, err := c.ListMultiparts(ctx, s3store.ListMultiparts{})
		return err
	},
	"ListParts": func(ctx context.Context, c *awsv1.Client) error { _, err := c.ListParts(ctx, "k", "m", 0); return err },
	"CompleteMultipartUpload": func(ctx context.Context, c *awsv1.Client) error {
		_, err := c.CompleteMultipart(ctx, "k", "m", []s3store.Part{{Number: 1, ETag: `"e"`}})
		return err
	},
	"AbortMultipartUpload": func(ctx context.Context, c *awsv1.Client) error { return c.AbortMultipart(ctx, "k", "m") },
}

// eachCall runs test for every call.
func eachCall(t *testing.T, test func(t *testing.T, operation string, call func(context.Context, *awsv1.Client) error)) {
	for operation, call := range calls {
		t.Run(operation, func(t *testing.T) { test(t, operation, call) })
	}
}

// refuse answers with an error in XML.
func refuse(status int, code string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>in words</Message><AWSAccessKeyId>%s</AWSAccessKeyId></Error>", code, accessKey)
	}
}

func TestRefusalIsNotRetried(t *testing.T) {
	eachCall(t, func(t *testing.T, operation string, call func(context.Context, *awsv1.Client) error) {
		for _, refusal := range []struct {
			status int
			code   string
		}{
			{503, "SlowDown"}, {500, "InternalError"}, {403, "AccessDenied"}, {404, "NoSuchUpload"}, {400, "ExpiredToken"},
			{307, "TemporaryRedirect"}, {429, "TooManyRequests"}, {501, "NotImplemented"},
		} {
			a := startService(t, refuse(refusal.status, refusal.code))
			code := refusal.code
			if operation == "HeadObject" {
				code = ""
			}
			wantError(t, call(testContext(t), a.client()), operation, code, refusal.status)
			wantOne(t, refusal.code, a.seen())
		}
	})
}

func TestAnswerOfAProxyHasNoCode(t *testing.T) {
	eachCall(t, func(t *testing.T, operation string, call func(context.Context, *awsv1.Client) error) {
		a := startService(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusBadGateway)
			io.WriteString(w, "<html><h1>Bad gateway</h1></html>")
		})
		wantError(t, call(testContext(t), a.client()), operation, "", http.StatusBadGateway)
	})
}

func TestRedirectIsNotFollowed(t *testing.T) {
	var elsewhere atomic.Int64
	other := startService(t, func(http.ResponseWriter, *http.Request) { elsewhere.Add(1) })
	eachCall(t, func(t *testing.T, operation string, call func(context.Context, *awsv1.Client) error) {
		a := startService(t, func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL, http.StatusTemporaryRedirect)
		})
		wantStatus(t, call(testContext(t), a.client()), http.StatusTemporaryRedirect)
	})
	if n := elsewhere.Load(); n != 0 {
		t.Errorf("%d requests followed the redirect", n)
	}
}

func TestErrorInsideStatus200(t *testing.T) {
	for _, operation := range []string{"CompleteMultipartUpload", "UploadPartCopy"} {
		t.Run(operation, func(t *testing.T) {
			a := startService(t, func(w http.ResponseWriter, r *http.Request) {
				// Services send white space to keep the connection alive.
				io.WriteString(w, "  \n<Error><Code>InternalError</Code><Message>in words</Message></Error>")
			})
			err := calls[operation](testContext(t), a.client())
			wantError(t, err, operation, "InternalError", http.StatusInternalServerError)
		})
	}
}

// An unreadable answer does not tell whether the call was executed.
func TestUnreadableAnswerIsNoRefusal(t *testing.T) {
	for name, body := range map[string]string{
		"empty":   "",
		"cut":     `<?xml version="1.0"?><Result><Key>`,
		"no XML":  "ok",
		"partial": `<?xml version="1.0"?><Result></Result>`,
	} {
		t.Run(name, func(t *testing.T) {
			eachCall(t, func(t *testing.T, operation string, call func(context.Context, *awsv1.Client) error) {
				switch operation {
				case "GetObject", "HeadObject", "DeleteObject", "AbortMultipartUpload":
					return // the status is the whole answer
				case "DeleteObjects":
					if name != "cut" {
						return // the answer may be empty on success
					}
				}
				a := startService(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, body) })
				wantUnknownResult(t, call(testContext(t), a.client()))
			})
		})
	}
}

func TestNetworkErrorIsNoRefusal(t *testing.T) {
	for name, handler := range map[string]http.HandlerFunc{
		"cut before the answer": func(w http.ResponseWriter, r *http.Request) { hijack(w).close() },
		"cut in the header":     func(w http.ResponseWriter, r *http.Request) { hijack(w).write("HTTP/1.1 200 OK\r\nConte").close() },
		"cut in the body": func(w http.ResponseWriter, r *http.Request) {
			hijack(w).write("HTTP/1.1 200 OK\r\nETag: \"e\"\r\nContent-Length: 100\r\n\r\n<?xml ").close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			eachCall(t, func(t *testing.T, operation string, call func(context.Context, *awsv1.Client) error) {
				if name == "cut in the body" {
					switch operation {
					case "HeadObject", "PutObject", "UploadPart", "DeleteObject", "AbortMultipartUpload":
						return // the header is the whole answer
					}
				}
				a := startService(t, handler)
				wantUnknownResult(t, call(testContext(t), a.client()))
				wantOne(t, name, a.seen())
			})
		})
	}
}

func TestConnectionRefused(t *testing.T) {
	a := startService(t, nil)
	a.Close()
	eachCall(t, func(t *testing.T, operation string, call func(context.Context, *awsv1.Client) error) {
		err := call(testContext(t), a.client())
		wantUnknownResult(t, err)
		if !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("error: %v, want it to be ECONNREFUSED", err)
		}
	})
}

func TestCancelledContextEndsACall(t *testing.T) {
	eachCall(t, func(t *testing.T, operation string, call func(context.Context, *awsv1.Client) error) {
		for name, begin := range map[string]func(http.ResponseWriter){
			"before the answer": func(http.ResponseWriter) {},
			"in the body": func(w http.ResponseWriter) {
				w.Header().Set("Content-Length", "100")
				io.WriteString(w, "<?xml ")
				w.(http.Flusher).Flush()
			},
		} {
			if name == "in the body" && strings.Contains("HeadObject PutObject UploadPart DeleteObject AbortMultipartUpload", operation) {
				continue // the header is the whole answer
			}
			t.Run(name, func(t *testing.T) {
				errWhy := errors.New("why it was cancelled")
				ctx, cancel := context.WithCancelCause(testContext(t))
				release := make(chan struct{})
				a := startService(t, func(w http.ResponseWriter, r *http.Request) {
					begin(w)
					cancel(errWhy)
					<-release
				})
				defer close(release)
				err := call(ctx, a.client())
				ofBody := operation == "GetObject" && errors.Is(err, errWhy) // net/http's own
				if !errors.Is(err, context.Canceled) && !ofBody {
					t.Errorf("error: %v, want context.Canceled", err)
				}
			})
		}
	})
}

func TestDeadlineExceededIsReturned(t *testing.T) {
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	a := startService(t, refuse(200, ""))
	eachCall(t, func(t *testing.T, operation string, call func(context.Context, *awsv1.Client) error) {
		if err := call(ctx, a.client()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error: %v, want context.DeadlineExceeded", err)
		}
	})
}

func TestErrorsOfDeletedKeysAreJoined(t *testing.T) {
	a := startService(t, func(w http.ResponseWriter, r *http.Request) {
		io.WriteString(w, `<DeleteResult>
			<Error><Key>gone</Key><Code>NoSuchKey</Code><Message>is not there</Message></Error>
			<Error><Key>a</Key><Code>AccessDenied</Code><Message>is not yours</Message></Error>
			<Error><Key>b</Key><Code>InternalError</Code><Message>try again</Message></Error>
		</DeleteResult>`)
	})
	err := a.client().DeleteObjects(testContext(t), []string{"gone", "a", "b", "c"})
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok || len(joined.Unwrap()) != 2 {
		t.Fatalf("error: %v, want two joined", err)
	}
	wantError(t, joined.Unwrap()[0], "DeleteObjects", "AccessDenied", http.StatusOK)
	wantError(t, joined.Unwrap()[1], "DeleteObjects", "InternalError", http.StatusOK)
	if detail := errors.Unwrap(joined.Unwrap()[1]); detail == nil || !strings.Contains(detail.Error(), `"b"`) {
		t.Errorf("detail: %v, want the key in it", detail)
	}
}

func TestDeletingMissingObjectSucceeds(t *testing.T) {
	a := startService(t, refuse(http.StatusNotFound, "NoSuchKey"))
	if err := a.client().DeleteObject(testContext(t), "k"); err != nil {
		t.Errorf("DeleteObject: %v, want no error", err)
	}
	a = startService(t, refuse(http.StatusNotFound, "NoSuchBucket"))
	wantError(t, a.client().DeleteObject(testContext(t), "k"), "DeleteObject", "NoSuchBucket", http.StatusNotFound)
}

func TestNoSecretIsInAnError(t *testing.T) {
	broken := startService(t, nil)
	broken.Close()
	for name, a := range map[string]*scriptedService{
		"refused": startService(t, refuse(403, "SignatureDoesNotMatch")),
		"garbage": startService(t, func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(500)
			fmt.Fprint(w, r.Header) // an error that echoes the request
		}),
		"unreadable": startService(t, func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<", r.Header) }),
		"broken":     broken,
	} {
		t.Run(name, func(t *testing.T) {
			eachCall(t, func(t *testing.T, operation string, call func(context.Context, *awsv1.Client) error) {
				for err := call(testContext(t), a.client()); err != nil; err = errors.Unwrap(err) {
					wantNoSecret(t, err.Error())
				}
			})
		})
	}
}

func wantNoSecret(t *testing.T, text string) {
	t.Helper()
	for _, secret := range []string{accessKey, secretKey, token, "Signature="} {
		if strings.Contains(text, secret) {
			t.Errorf("%q has %s", text, secret)
		}
	}
}

// wantUnknownResult fails unless err is an error that is no answer of the service.
func wantUnknownResult(t *testing.T, err error) {
	t.Helper()
	var e *s3store.Error
	if err == nil || errors.As(err, &e) {
		t.Errorf("error: %v (%T), want one that is no *s3store.Error", err, err)
	}
}
