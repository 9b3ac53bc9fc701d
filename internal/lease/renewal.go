package lease

import (
	"context"
	"errors"
	"time"
)

// renewLoop renews all leases of this process at intervals, all in one call.
func (l *Locker) renewLoop() {
	pause := time.NewTimer(l.RenewInterval)
	defer pause.Stop()
	for {
		select {
		case <-l.closing:
			return
		case <-pause.C:
		}
		if l.renew() {
			pause.Reset(l.RenewInterval)
		} else {
			pause.Reset(retryInterval)
		}
	}
}

var errTaken = errors.New("the lock service has given it up")

// renew renews all leases once. It reports whether the service answered.
func (l *Locker) renew() bool {
	leases, requests := l.renewable()
	sent := time.Now()
	var lost []*Request
	err := l.call(context.Background(), func(ctx context.Context) (err error) {
		lost, err = l.service.Renew(ctx, requests)
		return err
	})
	for _, r := range lost {
		leases[r].lose(errTaken)
		delete(leases, r)
	}
	if err != nil {
		return false
	}
	for _, s := range leases {
		s.extend(sent)
	}
	return true
}

// renewable returns the leases that are held and not lost.
func (l *Locker) renewable() (map[*Request]*lease, []*Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	leases := make(map[*Request]*lease, len(l.held))
	requests := make([]*Request, 0, len(l.held))
	for _, s := range l.held {
		if s.left() <= 0 {
			s.lose(errExpired) // its timer is late
		}
		if !s.lost.Load() {
			leases[s.request] = s
			requests = append(requests, s.request)
		}
	}
	return leases, requests
}
