//go:build linux

package faulttest

import (
	"os"
	"testing"
)

// builder has the daemons that the tests of this package drive.
var builder Builder

func TestMain(m *testing.M) {
	code := m.Run()
	if err := builder.Remove(); err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
	}
	os.Exit(code)
}
