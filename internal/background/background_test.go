package background_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"

	"github.com/tus/tusd/internal/background"
)

func TestWaitWaitsForAllWork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g background.Group
		var ended atomic.Int64
		release := make(chan struct{})
		for range 3 {
			if !g.Start(func() { <-release; ended.Add(1) }) {
				t.Fatal("Start of an open group returns false")
			}
		}
		waited := make(chan int64, 1)
		go func() {
			if err := g.Wait(t.Context()); err != nil {
				t.Errorf("Wait: %v", err)
			}
			waited <- ended.Load()
		}()
		synctest.Wait()
		if len(waited) > 0 {
			t.Fatal("Wait returns while work is running")
		}
		close(release)
		if n := <-waited; n != 3 {
			t.Errorf("Wait returns after the end of %d functions, want 3", n)
		}
	})
}

func TestWaitForNoWork(t *testing.T) {
	var g background.Group
	for range 2 {
		if err := g.Wait(t.Context()); err != nil {
			t.Errorf("Wait: %v", err)
		}
	}
}

// Start refuses work after Wait was called, also while older work is running.
func TestStartAfterWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g background.Group
		release := make(chan struct{})
		g.Start(func() { <-release })
		waited := make(chan error, 1)
		go func() { waited <- g.Wait(t.Context()) }()
		synctest.Wait()
		refused := func() { t.Error("refused work is run") }
		if g.Start(refused) {
			t.Error("Start returns true while Wait waits")
		}
		close(release)
		if err := <-waited; err != nil {
			t.Errorf("Wait: %v", err)
		}
		if g.Start(refused) {
			t.Error("Start returns true after Wait")
		}
		synctest.Wait()
	})
}

// Wait waits for callers of Enter, too, and a closed group refuses them.
func TestEnterAndLeave(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g background.Group
		if !g.Enter() {
			t.Fatal("Enter of an open group returns false")
		}
		waited := make(chan error, 1)
		go func() { waited <- g.Wait(t.Context()) }()
		synctest.Wait()
		if len(waited) > 0 {
			t.Error("Wait returns before Leave")
		}
		if g.Enter() {
			t.Error("Enter returns true after Wait")
		}
		g.Leave()
		if err := <-waited; err != nil {
			t.Errorf("Wait: %v", err)
		}
	})
}

// Wait ends with the cause of its context. A second Wait waits for the same work.
func TestWaitEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var g background.Group
		release := make(chan struct{})
		g.Start(func() { <-release })
		reason := errors.New("the shutdown timeout has passed")
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(reason)
		if err := g.Wait(ctx); !errors.Is(err, reason) {
			t.Errorf("Wait: %v, want %v", err, reason)
		}
		if g.Start(func() {}) {
			t.Error("Start returns true after Wait")
		}
		close(release)
		if err := g.Wait(t.Context()); err != nil {
			t.Errorf("the second Wait: %v", err)
		}
	})
}

// A panic ends only its own work, and is passed to Panicked.
func TestPanic(t *testing.T) {
	var values []any
	g := background.Group{Panicked: func(v any) { values = append(values, v) }}
	var ended atomic.Bool
	g.Start(func() { panic("boom") })
	if !g.Start(func() { ended.Store(true) }) {
		t.Error("Start returns false after a panic")
	}
	if err := g.Wait(t.Context()); err != nil {
		t.Errorf("Wait: %v", err)
	}
	if len(values) != 1 || values[0] != "boom" || !ended.Load() {
		t.Errorf("Panicked has received %v, the other work has ended: %t", values, ended.Load())
	}
}
