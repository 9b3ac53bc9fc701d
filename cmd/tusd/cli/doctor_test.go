package cli

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/s3server"
)

// diagnose runs tusd doctor, with a free port unless args name one.
func diagnose(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*testTimeout)
	defer cancel()
	var out, errs bytes.Buffer
	if !slices.Contains(args, "-port") && !slices.Contains(args, "-unix-sock") {
		args = append([]string{"-port", "0"}, args...)
	}
	code = Run(ctx, append([]string{"doctor"}, args...), nil, &out, &errs)
	return code, out.String(), errs.String()
}

// doctorOf runs tusd doctor for a bucket.
func doctorOf(t *testing.T, service *s3server.Server, args ...string) (code int, stdout string) {
	t.Helper()
	cleanAWS(t, credentialsFor(service)...)
	args = append([]string{"-s3-bucket", service.Bucket(), "-s3-endpoint", service.URL}, args...)
	code, stdout, stderr := diagnose(t, args...)
	if stderr != "" {
		t.Errorf("stderr: %s", stderr)
	}
	for _, secret := range []string{secretKey, "Signature", service.AccessKey() + "/"} {
		if strings.Contains(stdout, secret) {
			t.Errorf("the report has the secret %s:\n%s", secret, stdout)
		}
	}
	return code, stdout
}

func TestDoctorOfABucket(t *testing.T) {
	service := s3server.Start(t, s3server.Options{})
	code, text := doctorOf(t, service, "-s3-object-prefix", "up", "-s3-redirect-downloads", "-s3-tags", "a=b")
	if code != exitOK || strings.Contains(text, "missing") || !strings.HasSuffix(text, "\nUploads can be stored there.\n") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	for _, want := range []string{
		"ok       bucket s3://bucket/up/: at " + service.URL + ", region us-east-1, -s3-profile aws\n",
		"ok       credentials: found by the SDK's EnvConfigCredentials\n",
		"ok       multipart uploads with parts of 5242880 bytes: parts of several sizes, gaps in their numbers\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %s:\n%s", want, text)
		}
	}
	if keys := keysIn(service); len(keys) > 0 {
		t.Errorf("left: %q", keys)
	}
}

func TestDoctorOfABadBucket(t *testing.T) {
	service := s3server.Start(t, s3server.Options{})
	service.Fault(func(c s3server.Call) s3server.Outcome {
		if c.Operation == s3server.CreateMultipartUpload {
			return s3server.Refuse(http.StatusForbidden, "AccessDenied")
		}
		return s3server.Outcome{}
	})
	code, text := doctorOf(t, service)
	if code != exitFailed || !strings.Contains(text, "\nmissing  multipart uploads with parts of") || !strings.Contains(text, "(1).\n") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
}

// Errors that are found before the first call are reported, too.
func TestDoctorWithoutConnection(t *testing.T) {
	for name, c := range map[string]struct {
		variables []string
		args      []string
		want      string
	}{
		"credentials": {[]string{"AWS_ACCESS_KEY_ID=", "AWS_SECRET_ACCESS_KEY="}, []string{"-s3-endpoint", "http://127.0.0.1:1"}, "missing  credentials: none are found: set AWS_ACCESS_KEY_ID"},
		"region":      {[]string{"AWS_REGION="}, nil, "missing  bucket s3://b/: S3: no region: set AWS_REGION"},
		"no listener": {nil, []string{"-s3-endpoint", "http://127.0.0.1:1"}, "missing  list objects: nothing listens at the endpoint"},
		"password":    {nil, []string{"-s3-endpoint", "http://user:" + secretKey + "@host"}, "missing  bucket s3://b/: S3: the endpoint is no URL"},
	} {
		cleanAWS(t, c.variables...)
		code, text, stderr := diagnose(t, append([]string{"-s3-bucket", "b"}, c.args...)...)
		if code != exitFailed || !strings.Contains(text, c.want) || strings.Contains(text+stderr, secretKey) {
			t.Errorf("%s: exit code %d, %s\n%s", name, code, stderr, text)
		}
	}
}

// The doctor reads the settings of the server, from the same sources.
func TestDoctorOfADirectory(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "conf")
	if err := os.WriteFile(file, []byte("upload-dir "+dir+"\nmin-rate-time 3s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	code, text, stderr := diagnose(t, "-config", file)
	if code != exitOK || stderr != "" {
		t.Errorf("exit code %d, %s\n%s", code, stderr, text)
	}
	for _, want := range []string{"warning  settings: -min-rate-time", "ok       directory " + dir + "\n", "ok       locks between processes\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %s:\n%s", want, text)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("left: %v, %v", entries, err)
	}
	code, text, _ = diagnose(t, "-upload-dir", file)
	if code != exitFailed || !strings.Contains(text, "is no directory") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
}

func TestDoctorUsage(t *testing.T) {
	code, text, _ := diagnose(t, "-help")
	if code != exitOK || !strings.Contains(text, "  -upload-dir directory\n") || !strings.Contains(text, "  -s3-bucket bucket\n") || strings.Contains(text, "-cors-") {
		t.Errorf("exit code %d:\n%s", code, text)
	}
	for line := range strings.Lines(text) {
		if len(line) > 81 {
			t.Errorf("too wide for a terminal: %s", line)
		}
	}
	for _, args := range [][]string{{"-nonsense"}, {"-s3-part-size", "1"}, {"doctor"}} {
		code, _, stderr := diagnose(t, args...)
		if code != exitUsage || !strings.Contains(stderr, "Run tusd doctor -help") {
			t.Errorf("%q: exit code %d, %s", args, code, stderr)
		}
	}
}

// An interrupted doctor reports nothing as missing, and leaves nothing.
func TestDoctorInterrupted(t *testing.T) {
	service := s3server.Start(t, s3server.Options{})
	cleanAWS(t, credentialsFor(service)...)
	ctx, stop := context.WithCancelCause(t.Context())
	service.Fault(func(c s3server.Call) s3server.Outcome {
		if c.Operation == s3server.UploadPart {
			stop(errors.New("signal: interrupt"))
		}
		return s3server.Outcome{}
	})
	var stdout, stderr bytes.Buffer
	code := Run(ctx, []string{"doctor", "-s3-bucket", service.Bucket(), "-s3-endpoint", service.URL}, nil, &stdout, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "ended before it was done: signal: interrupt") || strings.Contains(stdout.String(), "missing") {
		t.Errorf("exit code %d: %s%s", code, stdout.String(), stderr.String())
	}
	if len(keysIn(service)) > 0 || len(service.Uploads()) > 0 {
		t.Errorf("left: %q, %v", keysIn(service), service.Uploads())
	}
}
