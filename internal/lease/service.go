// Package lease is what the lockers of lock services have in common. A locker there holds
// each lock for a time to live, and renews it while it needs it. Locker does everything
// that does not depend on the service: the order of the requests of this process, waiting,
// renewal, the loss of a lease, releases that failed, and outages of the service. The
// service itself is behind the small interface Service.
//
// # Time
//
// A lease is valid until the time at which its last renewal was sent, plus the time to
// live, less a margin. The service counts from the time at which it received that renewal,
// which is later. So a lease is lost here at least a margin before another process can get
// its lock, as long as the clocks of both count seconds of the same length up to the
// margin. A process that was stopped, or whose machine was suspended, and that runs again
// after the end of its lease, notices that at the next call of Lease.Context().Err: it looks at
// the clock, and every store calls it, by tusd.CheckLease, before it writes. Contexts that are derived from
// the lease's end by a timer, which can be late then. What it wrote just before
// it was stopped may still arrive at a bucket afterwards: stores have to refuse that by
// other means, as s3store does by conditional writes.
package lease

import (
	"context"
	"errors"
	"time"

	"github.com/tus/tusd"
)

// Request is a call of Lock, as the service sees it: first it waits, then it holds the
// lock.
type Request struct {
	ID   string
	Mode tusd.LockMode
	// Token is unique among the requests of all processes.
	Token string
	// Session belongs to the Service. Locker does not read it. Try may set it until it
	// returns a grant; other methods only read it, and allow for nil. No two methods but
	// Renew and Release run for one Request at the same time.
	Session any

	unanswered bool // a Try got no answer, and may be carried out later
}

// Grant numbers a grant: see tusd.Lease.Fence.
type Grant struct {
	N, Before uint64
	// Since is the time from which the time to live of the lock counts, with a monotonic
	// clock; zero: from the call of Try. A service whose locks live as long as a session of
	// the process sets it to the time at which the last renewal of the session was sent.
	Since time.Time
}

// The results of Service.Try, besides a grant.
var (
	// ErrHeld means that another request has the lock, or goes first.
	ErrHeld = errors.New("lease: another request has the lock")
	// ErrOvertaken means that a LockPreempt newer than this one waits in another process.
	ErrOvertaken = errors.New("lease: a newer request waits for the lock")
	// ErrSettling means that the service gives out no locks yet, because it does not know
	// which ones are held.
	ErrSettling = errors.New("the lock service has started, and gives out locks when all holders must have renewed theirs")
)

// ErrNotCalled is returned by a Service that had nothing to ask of the lock service. It is
// no error, and tells nothing of an outage.
var ErrNotCalled = errors.New("lease: the service was not called")

// Service is a client of a lock service. Its methods are called concurrently. They return
// when ctx ends at the latest, and a method that returned an error may still have had its
// effect on the service.
type Service interface {
	// Try takes the lock of r.ID for r if it is free. It is called for the same r again,
	// until r has the lock or gives up. If r has the lock already, because the answer to an
	// earlier call was lost or late, Try returns its grant; unless it sets Grant.Since, it
	// renews the lock. It does not wait for the lock.
	//
	// If another request has the lock, a LockPreempt becomes the newest request for it: the
	// process of the holder learns of it, and calls Locker.Preempt. A LockPreempt whose
	// request was the newest before and is not any more gets ErrOvertaken. A LockWait and
	// a LockTry get ErrHeld also if the lock is free, but a LockPreempt waits for it.
	//
	// An error other than these and ErrSettling means that the service is unreachable, or
	// refuses this process.
	Try(ctx context.Context, r *Request) (Grant, error)

	// Release removes everything of r from the service: its lock, and its wish for the lock.
	// If there is nothing, that is no error. If a request of another process waits for the
	// lock, that process learns that it is free, and calls Locker.Wake.
	Release(ctx context.Context, r *Request) error

	// Renew extends the locks of held by the time to live, counted from a time after the
	// call. It returns the requests that have lost their locks. After an error any of the
	// others may have been extended, but none of them has been lost. held can be empty:
	// then it only renews what the service has of this process, if there is such.
	Renew(ctx context.Context, held []*Request) (lost []*Request, err error)
}

// AllReleaser is a Service that releases everything of this process by one call. It is
// optional. Locker.Close calls it in place of Release for each lock that is still held.
type AllReleaser interface {
	// ReleaseAll removes all locks and wishes of this process from the service. Nothing
	// but Release and Renew is called afterwards, except calls of Try that are under way:
	// they must not take a lock any more.
	ReleaseAll(ctx context.Context) error
}
