package doctor

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
)

// A step that hangs, like a call of a network file system, ends with a timeout.
func TestStepTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		i := &inspection{ctx: t.Context()}
		err := i.bounded(func() error { <-release; return nil })
		if !errors.Is(err, errStepTimeout) {
			t.Errorf("error %v, want %v", err, errStepTimeout)
		}
		close(release)
	})
}

func TestNoStepAfterCancellation(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	i := &inspection{ctx: ctx}
	if err := i.bounded(func() error { t.Error("a step is run"); return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
}
