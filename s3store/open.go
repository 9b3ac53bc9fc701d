package s3store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/keyed"
)

// bucket is an opened Store.
type bucket struct {
	name      string
	client    Client
	prefix    string
	partSizes partSizes
	profile   Profile
	key       string
	rules     ObjectRules
	scope     tusd.Scope
	timeout   time.Duration
	log       *slog.Logger
	retried   func(operation string)

	touchAfter  time.Duration // a test shortens it
	otherWriter sync.Once     // logs a warning

	conditions    conditions
	allowsNesting bool       // objects can be stored below the key of another
	sideCreation  sync.Mutex // held while one is created, if the service supports no conditions
	cache         stateCache
	completing    keyed.Mutex // by multipart upload
	memory        *memoryPool
	uploadSlots   chan struct{} // its capacity is how many parts are uploaded at the same time
}

const (
	defaultPartSize    = 50 * mib
	defaultMemory      = 256 * mib
	defaultConcurrency = 10
	defaultTimeout     = 30 * time.Second
)

// Open checks that the bucket can be used, and probes which conditional writes
// the service supports. With env.ReadOnly it only lists.
func (s *Store) Open(ctx context.Context, env tusd.Env) error {
	b, err := s.newBucket(env)
	switch {
	case err == nil && env.ReadOnly:
		err = b.probeReading(ctx)
	case err == nil:
		err = b.probe(ctx)
	}
	if err != nil {
		return fmt.Errorf("s3store: open bucket %s: %w", s.Bucket, err)
	}
	if !s.opened.CompareAndSwap(nil, b) {
		return fmt.Errorf("s3store: open bucket %s: it is open already", s.Bucket)
	}
	if env.LimitSize != nil {
		env.LimitSize(b.partSizes.maxUpload())
	}
	return nil
}

// Close ends the use of the bucket, in which it changes nothing. Loaded uploads cannot be used any
// more. A closed store can be opened again, also after something that wraps it has failed to open.
func (s *Store) Close() error {
	s.opened.Store(nil)
	return nil
}

func (s *Store) newBucket(env tusd.Env) (*bucket, error) {
	if s.Client == nil {
		return nil, errors.New("the field Client is nil")
	}
	if err := CheckKey(s.Key); err != nil {
		return nil, fmt.Errorf("the field Key: %w", err)
	}
	if err := CheckPrefix(s.ObjectPrefix); err != nil {
		return nil, err
	}
	memory := orDefault(s.BufferMemory, defaultMemory)
	profile := s.Profile.withDefaults()
	plan, err := newPartSizes(profile, s.MinPartSize, orDefault(s.PreferredPartSize, defaultPartSize), memory)
	if err != nil {
		return nil, err
	}
	b := &bucket{
		name: s.Bucket, client: Encrypted(s.Client, s.Object.Encryption, s.Object.EncryptionKey), prefix: s.ObjectPrefix, partSizes: plan, profile: profile,
		key: s.Key, rules: s.Object, scope: env.Locker.Scope(), timeout: s.CallTimeout,
		log: s.Log, retried: s.Retried, memory: newMemoryPool(memory), cache: newStateCache(cacheBudget),
		touchAfter:  touchAfter,
		uploadSlots: make(chan struct{}, orDefault(s.ConcurrentParts, defaultConcurrency)),
	}
	b.withDefaults()
	return b, nil
}

func (b *bucket) withDefaults() {
	if b.timeout == 0 {
		b.timeout = defaultTimeout
	}
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.retried == nil {
		b.retried = func(string) {}
	}
	if b.prefix != "" && !strings.HasSuffix(b.prefix, "/") {
		b.prefix += "/"
	}
}
