package limitedstore

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"github.com/tus/tusd"
)

// holderID is the id whose lock the process holds that has the store open.
const holderID = "limitedstore-holder"

// Exclusive is a store that no two processes can have open at a time if the scope of their
// lockers is the process, like a directory that is locked. With another store, Open waits
// after a crash until it is clear that the former process does not run any more.
type Exclusive interface {
	ExcludesProcesses() bool
}

// timing has the durations and rates, which tests change.
type timing struct {
	beat                     time.Duration // between two changes of the holder's side record
	silence                  time.Duration // without a change, after which the holder is gone
	beatLimit                time.Duration // without a stored change, after which this process reserves nothing; below silence
	settle                   time.Duration // after the claim, until which another start that saw no holder has stored its own
	poll                     time.Duration // between two looks at the side record of another holder
	roomWait                 time.Duration // how long a creation waits for room
	recount                  time.Duration // between two counts, and at least 100 times as long as one takes
	refusedAge               time.Duration // the same if a request was refused, and 20 times
	vainPause                time.Duration // between two listings that find nothing to remove, and at least 20 times as long as one takes
	listAge                  time.Duration // how long a list of candidates is used
	openWait                 time.Duration // how long Open waits for a first count
	sameChange               time.Duration // how much later an unchanged upload may seem to have changed: object stores have a time for each object
	countRate                int           // records per second
	urgentRate               int           // the same while the sums are not exact
	ownersLimit              time.Duration // how long Open may read the sums of owners
	closeLimit, releaseLimit time.Duration // how long Close may take for the sums, and for each call for the holder
	onCount                  func()        // called when a count begins; nil: nothing
}

var defaultTiming = timing{
	beat: 10 * time.Second, silence: 25 * time.Second, beatLimit: 20 * time.Second, settle: 2 * time.Second, poll: time.Second,
	roomWait: 5 * time.Second, recount: time.Hour, refusedAge: 30 * time.Second, vainPause: time.Minute, listAge: 10 * time.Minute,
	openWait: time.Second, sameChange: time.Minute, countRate: 1000, urgentRate: 10000,
	ownersLimit: 10 * time.Second, closeLimit: 4 * time.Second, releaseLimit: 2 * time.Second,
}

// holder is the claim of this process on the store.
type holder struct {
	name  holderRecord
	lease tusd.Lease   // on holderID; nil: the locker works in one process only
	alone bool         // the wrapped store lets no other process in
	beat  atomic.Int64 // time of the last stored change, in Unix nanoseconds
	lost  atomic.Bool  // lease was lost, and that is logged
	taken atomic.Bool  // another process has the store
}

// holderRecord is the side record of the holder.
type holderRecord struct {
	Host  string
	PID   int
	Since time.Time
	Token string // of this Open
	Beat  int64  // changes while the process runs
}

func (r *holderRecord) String() string {
	return fmt.Sprintf("process %d on %s, since %s", r.PID, r.Host, r.Since.Format(time.RFC3339))
}

func newHolder() *holder {
	host, _ := os.Hostname() // for people
	return &holder{name: holderRecord{Host: host, PID: os.Getpid(), Since: time.Now().UTC().Truncate(time.Second), Token: rand.Text()}}
}

// claim claims the store for this process, or returns an error with the name of the process
// that has it.
func (s *LimitedStore) claim(ctx context.Context, locker tusd.Locker) (*holder, error) {
	h := newHolder()
	if locker.Scope() != tusd.ScopeProcess {
		lease, err := locker.Lock(ctx, holderID, tusd.LockTry)
		if errors.Is(err, tusd.ErrUploadLocked) {
			other, _, readErr := s.readHolder(ctx)
			if readErr != nil {
				return nil, errors.Join(err, readErr)
			}
			return nil, heldBy(other)
		}
		if err != nil {
			return nil, fmt.Errorf("lock the store: %w", err)
		}
		h.lease = lease
	} else if h.alone = s.isExclusive(); !h.alone {
		if err := s.waitForHolder(ctx); err != nil {
			return nil, err
		}
	}
	if err := s.putBeat(ctx, h); err != nil {
		h.release(ctx)
		return nil, err
	}
	if h.needsRecord() {
		if err := s.confirm(ctx, h); err != nil {
			return nil, err
		}
	}
	return h, nil
}

// needsRecord reports whether only the side record keeps other processes out.
func (h *holder) needsRecord() bool { return h.lease == nil && !h.alone }

// confirm waits for others that start at the same time. The last one whose side record is stored
// has the store.
func (s *LimitedStore) confirm(ctx context.Context, h *holder) error {
	if err := sleep(ctx, s.timing.settle); err != nil {
		return fmt.Errorf("wait whether another process opens the store: %w", err)
	}
	other, err := s.otherHolder(ctx, h)
	if err == nil && other != nil {
		err = heldBy(other)
	}
	return err
}

// otherHolder returns the holder of the side record, if that is not h. If there is no side
// record, or without a name, another process has had the store, and the result is empty.
func (s *LimitedStore) otherHolder(ctx context.Context, h *holder) (*holderRecord, error) {
	other, _, err := s.readHolder(ctx)
	switch {
	case err != nil:
		return nil, err
	case other == nil:
		return &holderRecord{}, nil
	case other.Token == h.name.Token:
		return nil, nil
	}
	return other, nil
}

func heldBy(other *holderRecord) error {
	if other == nil || other.Token == "" {
		return errors.New("another process has the store open")
	}
	return fmt.Errorf("another process has the store open: %s", other)
}

func (s *LimitedStore) isExclusive() bool {
	e, ok := s.inner.Core.(Exclusive)
	return ok && e.ExcludesProcesses()
}

// waitForHolder waits until the holder of the side record is gone. It returns an error if it
// is there.
func (s *LimitedStore) waitForHolder(ctx context.Context) error {
	_, first, err := s.readHolder(ctx)
	if err != nil || first == nil {
		return err
	}
	for end := time.Now().Add(s.timing.silence); time.Now().Before(end); {
		if err := sleep(ctx, s.timing.poll); err != nil {
			return fmt.Errorf("wait whether another process has the store open: %w", err)
		}
		other, now, err := s.readHolder(ctx)
		if err != nil || now == nil {
			return err
		}
		if !bytes.Equal(now, first) {
			return heldBy(other)
		}
	}
	return nil
}

// readHolder returns the side record of the holder; nil: there is none.
func (s *LimitedStore) readHolder(ctx context.Context) (*holderRecord, []byte, error) {
	text, err := s.inner.SideRecords.GetSideRecord(ctx, spaceKey(nameHolder))
	if errors.Is(err, tusd.ErrNotFound) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, err
	}
	var r holderRecord
	if err := json.Unmarshal(text, &r); err != nil {
		return nil, text, nil // still a holder, without a name
	}
	return &r, text, nil
}

// putBeat stores that this process holds the store.
func (s *LimitedStore) putBeat(ctx context.Context, h *holder) error {
	began := time.Now()
	h.name.Beat++
	if err := s.putRecord(ctx, nameHolder, &h.name); err != nil {
		return fmt.Errorf("store the name of the holder: %w", err)
	}
	h.beat.Store(began.UnixNano())
	return nil
}

// renew stores that this process still holds the store, unless another one has it.
func (s *LimitedStore) renew(ctx context.Context, h *holder) {
	switch {
	case h.alone || h.taken.Load():
		return
	case h.lease != nil:
		if h.lease.Context().Err() != nil && ctx.Err() == nil {
			s.reclaim(ctx, h)
		}
		return
	}
	ctx, cancel := context.WithTimeout(ctx, s.timing.beat)
	defer cancel()
	other, err := s.otherHolder(ctx, h)
	if err == nil && other != nil {
		h.taken.Store(true)
		s.log().Error("limitedstore: another process has taken over the store; nothing more is accepted", "holder", other.String())
		return
	}
	if err == nil {
		err = s.putBeat(ctx, h)
	}
	if err != nil && ctx.Err() == nil {
		s.log().Warn("limitedstore: cannot store that this process has the store open", "err", err)
	}
}

// reclaim takes the lock of the store again after its loss, by an outage of the lock service,
// say. If another process has claimed the store meanwhile, this one accepts nothing any more.
func (s *LimitedStore) reclaim(ctx context.Context, h *holder) {
	if h.lost.CompareAndSwap(false, true) {
		s.log().Error("limitedstore: the lock of the store is lost; nothing is accepted until this process has it again", "err", context.Cause(h.lease.Context()))
	}
	ctx, cancel := context.WithTimeout(ctx, s.timing.beat)
	defer cancel()
	h.lease.Unlock(ctx) // the lock within the process
	lease, err := s.keeper.locker.Lock(ctx, holderID, tusd.LockTry)
	if err != nil {
		return // what is left of the lost lease may have to expire; or the service is unreachable, which has a line
	}
	other, err := s.otherHolder(ctx, h)
	if err == nil && other == nil {
		next := &holder{name: h.name, lease: lease}
		if s.holder.CompareAndSwap(h, next) {
			s.log().Info("limitedstore: this process has the lock of the store again")
			return
		}
	}
	lease.Unlock(ctx)
	if err == nil && other != nil {
		h.taken.Store(true)
		s.log().Error("limitedstore: another process has had the store meanwhile; nothing more is accepted", "holder", other.String())
	}
}

// checkHeld returns a transient error if another process may have the store.
func (s *LimitedStore) checkHeld() error {
	h := s.holder.Load()
	switch {
	case h == nil:
		return errNotOpen
	case h.lease != nil && h.lease.Context().Err() != nil, h.taken.Load():
		return retryLater(tusd.ErrNoSpace, retryWhenFull, errors.New("limitedstore: another process may have taken over the store"))
	case h.lease == nil && !h.alone && time.Since(time.Unix(0, h.beat.Load())) > s.timing.beatLimit:
		return retryLater(tusd.ErrNoSpace, retryWhenCounting, errors.New("limitedstore: another process may take over the store: its side records cannot be written"))
	}
	return nil
}

// isHeld reports whether no other process can have the store.
func (s *LimitedStore) isHeld() bool { return s.checkHeld() == nil }

func (h *holder) release(ctx context.Context) error {
	if h.lease == nil {
		return nil
	}
	return h.lease.Unlock(ctx)
}
