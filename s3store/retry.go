package s3store

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"
)

// A failed call is repeated after a backoff that doubles, within these limits.
const (
	firstBackoff     = 50 * time.Millisecond
	maxBackoff       = 5 * time.Second
	maxTries         = 8
	wrongObjectTries = 3 // if the answer is about another object
	retryLimit       = 30 * time.Second
)

// retry repeats a call until it succeeds or fails permanently, within limits.
// It starts no attempt after ctx has ended. size is how many bytes the call
// sends.
func retry[T any](ctx context.Context, b *bucket, operation string, size int64, call func(context.Context) (T, error)) (T, error) {
	started := time.Now()
	for try, backoff := 1, firstBackoff; ; try, backoff = try+1, min(2*backoff, maxBackoff) {
		answer, err := tryOnce(ctx, b, size, b.isUninterruptible(operation, size), call)
		if err == nil || !isTransient(err) || errors.Is(err, errWrongObject) && try == wrongObjectTries {
			return answer, err
		}
		if ctx.Err() != nil || try == maxTries || time.Since(started)+backoff > retryLimit {
			return answer, err
		}
		b.retried(operation)
		if err := sleep(ctx, backoff/2+rand.N(backoff/2)); err != nil {
			return answer, err
		}
	}
}

// uninterruptibleSize is the size, in bytes, up to which a call that has
// started is not aborted when the request ends: most of it is sent already, and
// without its answer the state of the upload is not known.
const uninterruptibleSize = 1 << 20

// isUninterruptible reports whether a call that has started is not aborted.
// If the service supports no conditions, an aborted object could arrive
// later and replace a newer one.
func (b *bucket) isUninterruptible(operation string, size int64) bool {
	return size <= uninterruptibleSize || operation == "PutObject" && !b.conditions.create
}

// tryOnce makes one attempt.
func tryOnce[T any](ctx context.Context, b *bucket, size int64, uninterruptible bool, call func(context.Context) (T, error)) (T, error) {
	var none T
	if ctx.Err() != nil {
		return none, context.Cause(ctx)
	}
	if lease, ok := ctx.Value(leaseKey{}).(context.Context); ok && lease.Err() != nil {
		return none, context.Cause(lease)
	}
	if uninterruptible {
		ctx = context.WithoutCancel(ctx)
	}
	timed, cancel := context.WithTimeout(ctx, b.timeout+time.Duration(size/mib)*time.Second)
	defer cancel()
	answer, err := call(timed)
	if err != nil && ctx.Err() != nil {
		err = errors.Join(context.Cause(ctx), err)
	}
	return answer, err
}

// sleep waits until the time is over or ctx ends, and then returns its cause.
func sleep(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
