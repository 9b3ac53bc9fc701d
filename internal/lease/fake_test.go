package lease

import (
	"context"
	"errors"
	"sync"
	"time"
)

// server is a lock service in memory, with the parts that a real one has: locks that
// expire, wishes, the last grants, and messages to the processes.
type server struct {
	ttl time.Duration

	mu      sync.Mutex
	numbers uint64
	locks   map[string]*serverLock
	wishes  map[string]*serverLock // the newest LockPreempt that waits, by id
	last    map[string]uint64
	calls   map[string]int // by method
}

type serverLock struct {
	token   string
	process *process
	number  uint64 // of the grant, or of the wish
	expires time.Time
	wish    uint64 // its number while it waited
}

func newServer(ttl time.Duration) *server {
	return &server{ttl: ttl, locks: make(map[string]*serverLock), wishes: make(map[string]*serverLock), last: make(map[string]uint64), calls: make(map[string]int)}
}

// process is the client of one process.
type process struct {
	server *server
	locker *Locker

	mu    sync.Mutex
	tried *Request                                  // by the last call of Try
	fault func(method string) (before, after error) // nil: none
}

var errCut = errors.New("the network is cut")

func (p *process) setFault(f func(method string) (before, after error)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// cut makes every call fail: before it reaches the server.
func (p *process) cut() { p.setFault(func(string) (before, after error) { return errCut, nil }) }

// do runs f on the server, with the faults of the process. Messages are sent afterwards.
func (p *process) do(method string, f func(*server) (messages []func())) error {
	p.mu.Lock()
	fault := p.fault
	p.mu.Unlock()
	var before, after error
	if fault != nil {
		before, after = fault(method)
	}
	if before != nil {
		return before
	}
	p.server.mu.Lock()
	p.server.calls[method]++
	messages := f(p.server)
	p.server.mu.Unlock()
	for _, send := range messages {
		send()
	}
	return after
}

// valid returns the lock of id if it has not expired.
func (s *server) valid(id string) *serverLock {
	lock := s.locks[id]
	if lock != nil && time.Now().After(lock.expires) {
		delete(s.locks, id)
		return nil
	}
	return lock
}

func (p *process) Try(_ context.Context, r *Request) (grant Grant, err error) {
	p.mu.Lock()
	p.tried = r
	p.mu.Unlock()
	fault := p.do("try", func(s *server) (messages []func()) {
		if r.Session == nil {
			s.numbers++
			r.Session = s.numbers
		}
		mine, holder, wish := r.Session.(uint64), s.valid(r.ID), s.wishes[r.ID]
		if wish != nil && time.Now().After(wish.expires) {
			delete(s.wishes, r.ID)
			wish = nil
		}
		if holder != nil && holder.token == r.Token {
			grant.N = holder.number
			return nil
		}
		preempts := r.Mode == 0
		switch {
		case preempts && (wish != nil && wish.number > mine || holder != nil && holder.wish > mine):
			err = ErrOvertaken
		case holder != nil && preempts:
			err = ErrHeld
			s.wishes[r.ID] = &serverLock{token: r.Token, process: p, number: mine, expires: time.Now().Add(s.ttl)}
			messages = append(messages, func() { holder.process.locker.Preempt(r.ID, holder.token) })
			if wish != nil && wish.process != p {
				messages = append(messages, func() { wish.process.locker.Wake(r.ID) })
			}
		case holder != nil, !preempts && wish != nil:
			err = ErrHeld
		default:
			s.numbers++
			grant = Grant{N: s.numbers, Before: s.last[r.ID]}
			lock := &serverLock{token: r.Token, process: p, number: s.numbers, expires: time.Now().Add(s.ttl)}
			if preempts {
				lock.wish = mine
				delete(s.wishes, r.ID)
			}
			s.locks[r.ID], s.last[r.ID] = lock, s.numbers
		}
		return messages
	})
	return grant, errors.Join(fault, err)
}

func (p *process) Release(_ context.Context, r *Request) error {
	return p.do("release", func(s *server) (messages []func()) {
		if lock := s.locks[r.ID]; lock != nil && lock.token == r.Token {
			delete(s.locks, r.ID)
		}
		wish := s.wishes[r.ID]
		if wish != nil && wish.token == r.Token {
			delete(s.wishes, r.ID)
		} else if wish != nil {
			messages = append(messages, func() { wish.process.locker.Wake(r.ID) })
		}
		return messages
	})
}

func (p *process) Renew(_ context.Context, held []*Request) (lost []*Request, err error) {
	err = p.do("renew", func(s *server) []func() {
		for _, r := range held {
			if lock := s.valid(r.ID); lock != nil && lock.token == r.Token {
				lock.expires = time.Now().Add(s.ttl)
			} else {
				lost = append(lost, r)
			}
		}
		return nil
	})
	return lost, err
}

// take takes the lock of id away from its holder, as a service does that has lost its data.
func (s *server) take(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.locks, id)
}

// left returns how many locks and wishes s has.
func (s *server) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.locks) + len(s.wishes)
}
