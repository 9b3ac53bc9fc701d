package s3store_test

import (
	"flag"
	"os"
	"testing"
)

// TestMain runs more tests in parallel than there are processors: they mostly
// wait for the next retry of a call.
func TestMain(m *testing.M) {
	flag.Set("test.parallel", "8")
	os.Exit(m.Run())
}
