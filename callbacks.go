package tusd

import (
	"context"
	"fmt"
	"net/http"
	"runtime/debug"
	"time"
)

// guard calls a callback and turns a panic into an error: trouble that
// passes, which leaves no lock behind and takes nothing else down.
func guard(ask func() error) (err error) {
	defer func() {
		switch r := recover(); r {
		case nil:
		case http.ErrAbortHandler:
			panic(r)
		default:
			err = ErrInternal.With(fmt.Errorf("a callback panicked: %v\n%s", r, debug.Stack()))
		}
	}()
	return ask()
}

// outlive returns a context that ends grace after ctx has. The caller calls
// stop when it is done with it.
func outlive(ctx context.Context, grace time.Duration) (longer context.Context, stop func()) {
	longer, cancel := context.WithCancel(context.WithoutCancel(ctx))
	detach := context.AfterFunc(ctx, func() {
		timer := time.AfterFunc(grace, cancel)
		context.AfterFunc(longer, func() { timer.Stop() })
	})
	return longer, func() {
		detach()
		cancel()
	}
}
