//go:build linux

//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

// Package s3services runs S3 servers of other projects, for tests against real
// services. They differ from each other in ways that a store must support.
package s3services

import (
	"context"
	"crypto/rand"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd/internal/loopback"
	"github.com/tus/tusd/internal/require"
)

// Service is a running S3 server without buckets.
type Service struct {
	Name      string // of the program
	Endpoint  string // http://host:port
	Region    string
	AccessKey string
	SecretKey string

	buckets atomic.Int64
}

// Each runs test as a subtest with every service. A service that is not installed is
// skipped, or fails if it is required.
func Each(t *testing.T, test func(t *testing.T, s *Service)) {
	t.Helper()
	t.Run("versitygw", func(t *testing.T) { test(t, Versitygw(t)) })
	t.Run("minio", func(t *testing.T) { test(t, MinIO(t)) })
}

// Versitygw runs versitygw on a temporary folder until the test ends.
func Versitygw(t testing.TB) *Service {
	t.Helper()
	_, err := exec.LookPath("versitygw")
	require.Need(t, "versitygw", err == nil, "versitygw is not on the PATH")
	s := newService("versitygw")
	folder := t.TempDir()
	command := exec.Command("versitygw", "--port", s.address(), "--region", s.Region, "--quiet", "posix", folder)
	command.Env = []string{"ROOT_ACCESS_KEY=" + s.AccessKey, "ROOT_SECRET_KEY=" + s.SecretKey}
	s.run(t, command)
	return s
}

// MinIO runs MinIO on a temporary folder until the test ends.
func MinIO(t testing.TB) *Service {
	t.Helper()
	_, err := exec.LookPath("minio")
	require.Need(t, "minio", err == nil, "minio is not on the PATH")
	s := newService("minio")
	home := t.TempDir()
	command := exec.Command("minio", "server", "--address", s.address(), filepath.Join(home, "data"))
	command.Env = []string{
		"MINIO_ROOT_USER=" + s.AccessKey, "MINIO_ROOT_PASSWORD=" + s.SecretKey, "MINIO_REGION=" + s.Region,
		"MINIO_BROWSER=off", "MINIO_UPDATE=off", "HOME=" + home,
	}
	s.run(t, command)
	return s
}

func newService(name string) *Service {
	return &Service{
		Name:      name,
		Endpoint:  "http://" + loopback.Address(),
		Region:    "us-east-1",
		AccessKey: "test-access",
		SecretKey: "test-secret-that-must-not-appear",
	}
}

// address returns the address of the service: host:port.
func (s *Service) address() string { return strings.TrimPrefix(s.Endpoint, "http://") }

// run starts the service and returns when it answers.
func (s *Service) run(t testing.TB, command *exec.Cmd) {
	t.Helper()
	command.Env = append(command.Env, "PATH="+os.Getenv("PATH"), "TMPDIR="+os.TempDir())
	p := loopback.Run(t, command)
	client := s.Client(t)
	p.Await(t, func(ctx context.Context) error {
		_, err := client.ListBucketsWithContext(ctx, nil)
		return err
	})
}

// Client returns a client of the SDK for the service, as its root.
func (s *Service) Client(t testing.TB) *s3.S3 {
	t.Helper()
	transport := &http.Transport{} // its own: the SDK changes it for AWS_CA_BUNDLE
	t.Cleanup(transport.CloseIdleConnections)
	connection, err := session.NewSession(&aws.Config{
		HTTPClient:       &http.Client{Transport: transport},
		Endpoint:         &s.Endpoint,
		Region:           &s.Region,
		Credentials:      credentials.NewStaticCredentials(s.AccessKey, s.SecretKey, ""),
		S3ForcePathStyle: aws.Bool(true),
		MaxRetries:       aws.Int(0),
	})
	if err != nil {
		t.Fatal(err)
	}
	return s3.New(connection)
}

// NewBucket creates a bucket and returns its name, which no other run of the tests has
// used.
func (s *Service) NewBucket(t testing.TB) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	name := fmt.Sprintf("bucket-%d-%s", s.buckets.Add(1), strings.ToLower(rand.Text()))
	if _, err := s.Client(t).CreateBucketWithContext(ctx, &s3.CreateBucketInput{Bucket: &name}); err != nil {
		t.Fatalf("%s: %v", s.Name, err)
	}
	return name
}

// startLimit bounds the time until a service answers. It is long, for loaded machines.
const startLimit = 60 * time.Second
