package redislocker

import (
	"cmp"
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/lease"
)

//go:embed common.lua
var commonLua string

//go:embed try.lua
var tryLua string

//go:embed release.lua
var releaseLua string

//go:embed renew.lua
var renewLua string

var (
	tryScript     = redis.NewScript(commonLua + tryLua)
	releaseScript = redis.NewScript(commonLua + releaseLua)
	renewScript   = redis.NewScript(commonLua + renewLua)
)

const (
	// lastGrantTime is how long the number of the last grant of an id is kept.
	lastGrantTime = 10 * time.Minute
	// wishTime is how long a wish lives if its process does not repeat it: two polls.
	wishTime = 5 * time.Second
	// batch is the number of locks that one call renews. Redis does nothing else meanwhile:
	// about half a millisecond.
	batch = 500
)

// service is the lease.Service of Redis. Keys, without the prefix in braces:
//
//	:state       a hash; see common.lua
//	:lock:ID     the lock of an id; see try.lua
//	:want:ID     the newest LockPreempt that waits for it
//	:last:ID     the number of its last grant
//	:to:PROCESS  the channel with the messages for a process
type service struct {
	client  redis.UniversalClient
	prefix  string // of keys, with braces and colon
	process string // unique
	ttl     time.Duration
	locker  *lease.Locker

	mu       sync.Mutex
	messages *redis.PubSub // nil: not subscribed
	closed   bool
	reading  sync.WaitGroup
}

// session is the Session of a Request.
type session struct {
	wish  string // the number of its wish; "0": it has none
	value string // of its lock, once it is granted
}

func newService(client redis.UniversalClient, options Options) *service {
	return &service{
		client: client, process: rand.Text(),
		prefix: "{" + cmp.Or(options.Prefix, "tusd") + "}:",
	}
}

func (s *service) keys(id string) []string {
	return []string{s.prefix + "state", s.prefix + "lock:" + id, s.prefix + "want:" + id, s.prefix + "last:" + id}
}

func (s *service) channel() string { return s.prefix + "to:" }

// modeNames are the modes in try.lua.
var modeNames = map[tusd.LockMode]string{tusd.LockPreempt: "preempt", tusd.LockWait: "wait", tusd.LockTry: "try"}

// Try implements lease.Service.
func (s *service) Try(ctx context.Context, r *lease.Request) (lease.Grant, error) {
	s.subscribe()
	own, ok := r.Session.(*session)
	if !ok {
		own = &session{wish: "0"}
		r.Session = own
	}
	answer, err := tryScript.Run(ctx, s.client, s.keys(r.ID),
		r.Token, s.process, own.wish, modeNames[r.Mode], r.ID,
		s.ttl.Milliseconds(), lastGrantTime.Milliseconds(), min(wishTime, s.ttl).Milliseconds(), s.channel()).Slice()
	if err != nil {
		return lease.Grant{}, err
	}
	own.wish = text(answer, 1)
	switch text(answer, 0) {
	case "granted":
		own.value = text(answer, 2)
		return grant(text(answer, 3), text(answer, 4))
	case "overtaken":
		return lease.Grant{}, lease.ErrOvertaken
	case "settling":
		rest, _ := answer[2].(int64)
		s.wakeIn(r.ID, time.Duration(rest)*time.Millisecond)
		return lease.Grant{}, lease.ErrSettling
	default:
		if wait, _ := answer[2].(int64); wait > 0 && r.Mode != tusd.LockTry {
			s.wakeIn(r.ID, time.Duration(wait)*time.Millisecond)
		}
		return lease.Grant{}, lease.ErrHeld
	}
}

// wakeIn makes a waiting request try again after d, if it would not do so before: when
// Redis gives out locks again, or the lock of another holder ends that is not renewed.
func (s *service) wakeIn(id string, d time.Duration) {
	if d < s.locker.PollInterval {
		time.AfterFunc(d+time.Millisecond, func() { s.locker.Wake(id) })
	}
}

// text returns an element of the answer of a script; "": it has none.
func text(answer []any, i int) string {
	if i >= len(answer) {
		return ""
	}
	s, _ := answer[i].(string)
	return s
}

func grant(n, before string) (g lease.Grant, err error) {
	if g.N, err = strconv.ParseUint(n, 10, 64); err == nil {
		g.Before, err = strconv.ParseUint(before, 10, 64)
	}
	if err != nil {
		return g, fmt.Errorf("redislocker: the answer of a script: %w", err)
	}
	return g, nil
}

// Release implements lease.Service.
func (s *service) Release(ctx context.Context, r *lease.Request) error {
	return releaseScript.Run(ctx, s.client, s.keys(r.ID),
		r.Token, r.ID, lastGrantTime.Milliseconds(), s.channel()).Err()
}

// Renew implements lease.Service. The first batch also makes Redis load the script, so
// that the others can be sent together by its hash.
func (s *service) Renew(ctx context.Context, held []*lease.Request) (lost []*lease.Request, err error) {
	if len(held) == 0 {
		return nil, s.client.Ping(ctx).Err()
	}
	first, rest := held[:min(batch, len(held))], held[min(batch, len(held)):]
	lost, err = lostOf(first, renewScript.Run(ctx, s.client, s.lockKeys(first), s.lockValues(first)...))
	if err != nil || len(rest) == 0 {
		return lost, err
	}
	var batches [][]*lease.Request
	var answers []*redis.Cmd
	_, err = s.client.Pipelined(ctx, func(p redis.Pipeliner) error {
		for len(rest) > 0 {
			next := rest[:min(batch, len(rest))]
			rest = rest[len(next):]
			batches = append(batches, next)
			answers = append(answers, renewScript.EvalSha(ctx, p, s.lockKeys(next), s.lockValues(next)...))
		}
		return nil
	})
	for i, answer := range answers {
		if more, err := lostOf(batches[i], answer); err == nil {
			lost = append(lost, more...)
		}
	}
	return lost, err
}

func (s *service) lockKeys(held []*lease.Request) []string {
	keys := append(make([]string, 0, len(held)+1), s.prefix+"state")
	for _, r := range held {
		keys = append(keys, s.prefix+"lock:"+r.ID)
	}
	return keys
}

func (s *service) lockValues(held []*lease.Request) []any {
	values := append(make([]any, 0, len(held)+1), s.ttl.Milliseconds())
	for _, r := range held {
		values = append(values, r.Session.(*session).value)
	}
	return values
}

// lostOf returns the requests that are lost by the answer of renew.lua.
func lostOf(held []*lease.Request, answer *redis.Cmd) (lost []*lease.Request, err error) {
	positions, err := answer.Int64Slice()
	for _, i := range positions {
		lost = append(lost, held[i])
	}
	return lost, err
}

// subscribe makes this process receive its messages, from the first Try on.
func (s *service) subscribe() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.messages != nil || s.closed {
		return
	}
	messages := s.client.Subscribe(context.Background()) // makes no connection yet
	s.messages = messages
	s.reading.Go(func() {
		messages.Subscribe(context.Background(), s.channel()+s.process) // after an error it is tried again
		for message := range messages.ChannelWithSubscriptions() {
			switch message := message.(type) {
			case *redis.Subscription: // also after a new connection: messages may have been missed
				s.locker.WakeAll()
			case *redis.Message:
				s.receive(message.Payload)
			}
		}
	})
}

// receive handles a message of a script.
func (s *service) receive(message string) {
	kind, rest, _ := strings.Cut(message, " ")
	switch kind {
	case "wake":
		s.locker.Wake(rest)
	case "preempt":
		token, id, _ := strings.Cut(rest, " ")
		s.locker.Preempt(id, token)
	}
}

// close ends the subscription.
func (s *service) close() {
	s.mu.Lock()
	s.closed = true
	messages := s.messages
	s.mu.Unlock()
	if messages != nil {
		messages.Close() // it only ends the reading
		s.reading.Wait()
	}
}
