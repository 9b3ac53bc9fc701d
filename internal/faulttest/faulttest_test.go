//go:build linux

package faulttest

import (
	"flag"
	"os"
	"testing"
)

// builder has the daemons that the tests of this package drive.
var builder Builder

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "4") // the tests wait for daemons most of the time
	code := m.Run()
	if err := builder.Remove(); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
	}
	os.Exit(code)
}
