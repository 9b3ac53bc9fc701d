//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

package cli

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/service/s3"
)

// cleanAWS removes all settings of the SDK but the given variables.
func cleanAWS(t *testing.T, variables ...string) {
	t.Helper()
	for _, assignment := range os.Environ() {
		if name, _, _ := strings.Cut(assignment, "="); strings.HasPrefix(name, "AWS_") {
			t.Setenv(name, "")
		}
	}
	nowhere := filepath.Join(t.TempDir(), "none")
	for _, assignment := range append([]string{
		"AWS_CONFIG_FILE=" + nowhere, "AWS_SHARED_CREDENTIALS_FILE=" + nowhere, "AWS_EC2_METADATA_DISABLED=true",
		"AWS_ACCESS_KEY_ID=ours", "AWS_SECRET_ACCESS_KEY=secret",
	}, variables...) {
		name, value, _ := strings.Cut(assignment, "=")
		t.Setenv(name, value)
	}
}

// bucketAddress returns the URL of an object, and the region that a call is signed for.
func bucketAddress(t *testing.T, connection s3Connection) string {
	t.Helper()
	client, err := newS3Client(connection)
	if err != nil {
		t.Fatal(err)
	}
	r, _ := client.GetObjectRequest(&s3.GetObjectInput{Bucket: aws.String("uploads"), Key: aws.String("k")})
	if err := r.Sign(); err != nil {
		t.Fatal(err)
	}
	scope := strings.Split(r.HTTPRequest.Header.Get("Authorization"), "/")
	return fmt.Sprint(r.HTTPRequest.URL, " in ", scope[2])
}

func TestS3Addresses(t *testing.T) {
	for _, c := range []struct {
		name       string
		region     string
		connection s3Connection
		want       string
	}{
		{"AWS", "eu-west-1", s3Connection{}, "https://uploads.s3.eu-west-1.amazonaws.com/k in eu-west-1"},
		{"AWS us-east-1", "us-east-1", s3Connection{}, "https://uploads.s3.us-east-1.amazonaws.com/k in us-east-1"},
		{"AWS without TLS", "eu-west-1", s3Connection{disableSSL: true}, "http://uploads.s3.eu-west-1.amazonaws.com/k in eu-west-1"},
		{"accelerated", "eu-west-1", s3Connection{acceleration: true}, "https://uploads.s3-accelerate.amazonaws.com/k in eu-west-1"},
		{"endpoint", "", s3Connection{endpoint: "https://s3.example.org:9000"}, "https://s3.example.org:9000/uploads/k in us-east-1"},
		{"endpoint with region", "garage", s3Connection{endpoint: "http://s3.example.org"}, "http://s3.example.org/uploads/k in garage"},
		{"endpoint without scheme", "", s3Connection{endpoint: "s3.example.org"}, "https://s3.example.org/uploads/k in us-east-1"},
		{"the same without TLS", "", s3Connection{endpoint: "s3.example.org", disableSSL: true}, "http://s3.example.org/uploads/k in us-east-1"},
		{"endpoint below a path", "", s3Connection{endpoint: "https://example.org/s3/"}, "https://example.org/s3/uploads/k in us-east-1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cleanAWS(t, "AWS_REGION="+c.region)
			if got := bucketAddress(t, c.connection); got != c.want {
				t.Errorf("an object is at %s, want %s", got, c.want)
			}
		})
	}
}

func TestS3ClientRefuses(t *testing.T) {
	cleanAWS(t, "AWS_REGION=")
	for name, c := range map[string]struct {
		connection s3Connection
		want       string
	}{
		"no region":              {s3Connection{}, "AWS_REGION"},
		"acceleration elsewhere": {s3Connection{endpoint: "https://s3.example.org", acceleration: true}, "acceleration"},
		"no host":                {s3Connection{endpoint: "https://"}, "endpoint"},
		"other scheme":           {s3Connection{endpoint: "ftp://s3.example.org"}, "endpoint"},
		"password":               {s3Connection{endpoint: "https://user:hidden@s3.example.org"}, "endpoint"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := newS3Client(c.connection)
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("error: %v, want one about %s", err, c.want)
			}
		})
	}
}

func TestS3OverTLS(t *testing.T) {
	protocols := make(chan string, 1)
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		protocols <- r.Proto
	}))
	service.EnableHTTP2 = true
	service.Config.ErrorLog = log.New(io.Discard, "", 0) // its certificate is refused
	service.StartTLS()
	defer service.Close()
	bundle := filepath.Join(t.TempDir(), "bundle.pem")
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: service.Certificate().Raw})
	if err := os.WriteFile(bundle, certificate, 0o666); err != nil {
		t.Fatal(err)
	}

	cleanAWS(t)
	if err := deleteOver(t, service.URL); err == nil {
		t.Error("an untrusted certificate is accepted")
	}
	cleanAWS(t, "AWS_CA_BUNDLE="+bundle)
	if err := deleteOver(t, service.URL); err != nil {
		t.Fatalf("with its certificate: %v", err)
	}
	if protocol := <-protocols; protocol != "HTTP/1.1" {
		t.Errorf("protocol %s, want HTTP/1.1", protocol)
	}
}

// deleteOver sends a request to the service at endpoint.
func deleteOver(t *testing.T, endpoint string) error {
	t.Helper()
	client, err := newS3Client(s3Connection{endpoint: endpoint})
	if err != nil {
		t.Fatal(err)
	}
	return deleteWith(t.Context(), client)
}

func deleteWith(ctx context.Context, client *s3.S3) error {
	_, err := client.DeleteObjectWithContext(ctx, &s3.DeleteObjectInput{Bucket: aws.String("b"), Key: aws.String("k")})
	return err
}

// A second round of parallel calls reuses the connections of the first.
func TestS3KeepsConnections(t *testing.T) {
	cleanAWS(t)
	const parallel = 20
	var opened atomic.Int64
	var arrived sync.WaitGroup // requests of a round
	service := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		arrived.Wait()
	}))
	service.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	service.Start()
	defer service.Close()
	client, err := newS3Client(s3Connection{endpoint: service.URL})
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		arrived.Add(parallel)
		var calls sync.WaitGroup
		for range parallel {
			calls.Go(func() {
				if err := deleteWith(t.Context(), client); err != nil {
					t.Error(err)
				}
			})
		}
		calls.Wait()
	}
	if n := opened.Load(); n != parallel {
		t.Errorf("%d connections for two rounds of %d parallel calls, want %d", n, parallel, parallel)
	}
}
