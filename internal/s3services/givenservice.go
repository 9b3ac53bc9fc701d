//go:build linux

package s3services

import (
	"os"
	"testing"
)

// GivenEnv is the environment variable with the endpoint, http://host:port, of
// a service that is already running. _REGION, _ACCESS_KEY and
// _SECRET_KEY behind its name are those of the rest.
const GivenEnv = "TUSD_TEST_S3"

// Given returns the service that the environment names. Without one the test is
// skipped: swiftandceph.sh starts services that take too long for every run.
func Given(t testing.TB) *Service {
	t.Helper()
	endpoint := os.Getenv(GivenEnv)
	if endpoint == "" {
		t.Skipf("%s names no service", GivenEnv)
	}
	return &Service{
		Name:      endpoint,
		Endpoint:  endpoint,
		Region:    os.Getenv(GivenEnv + "_REGION"),
		AccessKey: os.Getenv(GivenEnv + "_ACCESS_KEY"),
		SecretKey: os.Getenv(GivenEnv + "_SECRET_KEY"),
	}
}
