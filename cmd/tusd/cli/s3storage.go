//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

package cli

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go/service/s3"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tus/tusd"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
)

// s3StorageKind keeps uploads in a bucket of S3. With a locker of one process
// other processes may use the same bucket: the store then checks what it writes.
var s3StorageKind = storageKind{
	title:    "Storage in S3",
	flag:     "s3-bucket",
	settings: func() storageSettings { return new(s3Settings) },
	scopes:   []tusd.Scope{tusd.ScopeProcess, tusd.ScopeLease},
	locker:   memoryLockerKind.name,
}

// s3 returns the settings of S3.
func (cfg config) s3() *s3Settings { return settingsOf[*s3Settings](cfg.storages) }

func (s *s3Settings) chosen() bool { return s.bucket != "" }

func (s *s3Settings) open(logger *slog.Logger) (uploadStorage, error) {
	b, err := newS3Storage(*s, logger)
	if err != nil {
		return nil, err // a nil *s3Storage would not be a nil storage
	}
	return b, nil
}

// s3Storage keeps uploads in a bucket.
type s3Storage struct {
	store   *s3store.Store
	metrics *s3Metrics
	http    *http.Client

	startTimeout time.Duration
}

func newS3Storage(s s3Settings, logger *slog.Logger) (*s3Storage, error) {
	s.connection.connections = 64 + s.concurrentParts // for records, and for parts
	api, err := newS3Client(s.connection)
	if err != nil {
		return nil, err
	}
	b := &s3Storage{store: newS3Store(s, logger), http: api.Config.HTTPClient, startTimeout: s.startTimeout}
	b.metrics = newS3Metrics(s.concurrentParts, b.store.Memory)
	client := newBucketClient(s, api, func(c awsv1.Call) {
		b.metrics.observe(c)
		if s.logCalls {
			logS3Call(logger, c)
		}
	})
	b.store.Client = b.metrics.counting(client)
	b.store.Retried = b.metrics.retried
	return b, nil
}

// newBucketClient returns the client that makes the calls of a store.
func newBucketClient(s s3Settings, api *s3.S3, observe func(awsv1.Call)) *awsv1.Client {
	options := []awsv1.Option{awsv1.WithObserver(observe)}
	if s.noContentHash {
		options = append(options, awsv1.WithoutContentHashes())
	}
	return awsv1.New(s.bucket, api, options...)
}

// newS3Store returns the store without its client.
func newS3Store(s s3Settings, logger *slog.Logger) *s3store.Store {
	prefix := s.objectPrefix
	if prefix != "" && !strings.HasSuffix(prefix, "/") {
		prefix += "/"
	}
	store := &s3store.Store{
		Bucket: s.bucket, ObjectPrefix: prefix, Profile: s.profile,
		PreferredPartSize: s.partSize, MinPartSize: s.minPartSize,
		BufferMemory: s.bufferMemory, ConcurrentParts: s.concurrentParts,
		Key: s.key, Object: s.object, SweepMultipart: s.sweepMultipart, Log: logger,
	}
	if s.redirect {
		store.RedirectDownloads = s.redirectLifetime
	}
	return store
}

// logS3Call logs a call, without content and credentials.
func logS3Call(logger *slog.Logger, c awsv1.Call) {
	if c.Err != nil {
		logger = logger.With("err", c.Err)
	}
	logger.Debug("S3 call", "operation", c.Operation, "key", c.Key, "sent", c.Sent, "received", c.Received, "dur", c.Took)
}

func (b *s3Storage) useIn(composer *tusd.StoreComposer) { b.store.UseIn(composer) }

func (b *s3Storage) where() string { return "s3://" + b.store.Bucket + "/" + b.store.ObjectPrefix }

// present returns nil: opening the store makes no bucket.
func (b *s3Storage) present() error { return nil }

func (b *s3Storage) storedRecord(ctx context.Context, id string) ([]byte, error) {
	return b.store.StoredRecord(ctx, id)
}

// probes list objects, which needs the network, the credentials and the bucket,
// and changes nothing.
func (b *s3Storage) probes() []*probe {
	return []*probe{{name: "store", publicError: "the bucket is unreachable", shared: true, check: func(ctx context.Context) error {
		_, err := b.store.Client.ListObjects(ctx, s3store.ListObjects{Prefix: b.store.ObjectPrefix + ".tusd.d/", Max: 1})
		return err
	}}}
}

func (b *s3Storage) retryFor(err error) time.Duration {
	if !s3store.Unreachable(err) && !errors.Is(err, tusd.ErrLockServiceUnavailable) {
		return 0
	}
	return b.startTimeout
}

// advised returns err: the store explains its errors itself.
func (b *s3Storage) advised(err error) error { return err }

func (b *s3Storage) collectors() []prometheus.Collector { return b.metrics.all }

func (b *s3Storage) close() error {
	b.http.CloseIdleConnections()
	return b.store.Close()
}
