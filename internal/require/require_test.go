package require

import (
	"runtime"
	"testing"
)

// verdict records how Need ended a test.
type verdict struct {
	testing.TB
	failed, skipped bool
}

func (v *verdict) Helper() {}

func (v *verdict) Fatalf(string, ...any) {
	v.failed = true
	runtime.Goexit()
}

func (v *verdict) Skipf(string, ...any) {
	v.skipped = true
	runtime.Goexit()
}

// need calls Need like a test, and reports whether it returned.
func need(v *verdict, component string, available bool) (returned bool) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		Need(v, component, available, "not here")
		returned = true
	}()
	<-done
	return returned
}

func TestNeed(t *testing.T) {
	for _, c := range []struct {
		name, env string
		available bool
		want      verdict
	}{
		{name: "available", available: true},
		{name: "available and required", env: "mounts", available: true},
		{name: "missing", want: verdict{skipped: true}},
		{name: "missing, others required", env: "strace,mountshadow", want: verdict{skipped: true}},
		{name: "missing and required", env: "mounts", want: verdict{failed: true}},
		{name: "missing and required among others", env: "strace, mounts ,s3", want: verdict{failed: true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Setenv(Env, c.env)
			t.Setenv(Bare, "")
			var got verdict
			returned := need(&got, "mounts", c.available)
			if got != c.want || returned != c.available {
				t.Errorf("Need: %+v, returned %v; want %+v, %v", got, returned, c.want, c.available)
			}
		})
	}
}
