//lint:file-ignore SA1019 The SDK is deprecated as a whole, in favour of its successor.

package protocoltest

import (
	"context"
	"net/http"
	"testing"

	"github.com/aws/aws-sdk-go/aws"
	"github.com/aws/aws-sdk-go/aws/credentials"
	"github.com/aws/aws-sdk-go/aws/session"
	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
	"github.com/tus/tusd/storetest"
)

// concatStore has all abilities of a store that finals need.
type concatStore interface {
	tusd.DataStore
	tusd.Terminater
	tusd.Concater
	tusd.LengthDeferrer
	tusd.SideRecords
	tusd.Lister
}

// hookedStore calls functions of a test before its operations, or in place of them.
type hookedStore struct {
	concatStore
	open               func() concatStore
	onCreate           func(tusd.FileInfo)
	onLoad             func(id string) // with a lease
	onRead             func(id string) // without a lease; it is called after the operation
	onConcat           func(join func() error) error
	onTerminate        func(terminate func() error) error
	onPutSideRecord    func(tusd.SideRecordKey) error
	onGetSideRecord    func(tusd.SideRecordKey) // it is called after the operation
	onDeleteSideRecord func(tusd.SideRecordKey)
	onListSideRecords  func(kind string)
}

func (s *hookedStore) NewUpload(ctx context.Context, lease tusd.Lease, info tusd.FileInfo) (tusd.Upload, error) {
	if s.onCreate != nil {
		s.onCreate(info)
	}
	return s.concatStore.NewUpload(ctx, lease, info)
}

func (s *hookedStore) GetUpload(ctx context.Context, lease tusd.Lease, id string) (tusd.Upload, error) {
	if s.onLoad != nil && lease != nil {
		s.onLoad(id)
	}
	upload, err := s.concatStore.GetUpload(ctx, lease, id)
	if s.onRead != nil && lease == nil {
		s.onRead(id)
	}
	return upload, err
}

func (s *hookedStore) Concat(ctx context.Context, final tusd.Upload, partials []tusd.Upload) error {
	join := func() error { return s.concatStore.Concat(ctx, final, partials) }
	if s.onConcat != nil {
		return s.onConcat(join)
	}
	return join()
}

func (s *hookedStore) Terminate(ctx context.Context, lease tusd.Lease, id string) error {
	terminate := func() error { return s.concatStore.Terminate(ctx, lease, id) }
	if s.onTerminate != nil {
		return s.onTerminate(terminate)
	}
	return terminate()
}

func (s *hookedStore) PutSideRecord(ctx context.Context, key tusd.SideRecordKey, value []byte) error {
	if s.onPutSideRecord != nil {
		if err := s.onPutSideRecord(key); err != nil {
			return err
		}
	}
	return s.concatStore.PutSideRecord(ctx, key, value)
}

func (s *hookedStore) GetSideRecord(ctx context.Context, key tusd.SideRecordKey) ([]byte, error) {
	value, err := s.concatStore.GetSideRecord(ctx, key)
	if s.onGetSideRecord != nil {
		s.onGetSideRecord(key)
	}
	return value, err
}

func (s *hookedStore) DeleteSideRecord(ctx context.Context, key tusd.SideRecordKey) error {
	if s.onDeleteSideRecord != nil {
		s.onDeleteSideRecord(key)
	}
	return s.concatStore.DeleteSideRecord(ctx, key)
}

func (s *hookedStore) ListSideRecords(ctx context.Context, kind, cursor string, limit int) ([]string, string, error) {
	if s.onListSideRecords != nil {
		s.onListSideRecords(kind)
	}
	return s.concatStore.ListSideRecords(ctx, kind, cursor, limit)
}

// onStores runs a test on each kind of store.
func onStores(t *testing.T, test func(t *testing.T, store *hookedStore)) {
	for name, opener := range map[string]func(*testing.T) func() concatStore{"memory": inMemory, "files": inFiles, "s3": inBucket} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			store := &hookedStore{open: opener(t)}
			store.reopen()
			test(t, store)
		})
	}
}

// reopen opens the store as a new process does.
func (s *hookedStore) reopen() {
	open := s.open
	*s = hookedStore{open: open, concatStore: open()}
}

func inMemory(*testing.T) func() concatStore {
	store := storetest.NewMemory()
	return func() concatStore { return store }
}

func inFiles(t *testing.T) func() concatStore {
	dir := t.TempDir()
	store := &filestore.FileStore{Path: dir}
	t.Cleanup(func() { store.Close() })
	return func() concatStore {
		store.Close()
		store = &filestore.FileStore{Path: dir, Durability: filestore.None}
		return store
	}
}

func inBucket(t *testing.T) func() concatStore {
	server := s3server.Start(t, s3server.Options{})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	s, err := session.NewSession(&aws.Config{
		Region: aws.String("us-east-1"), Endpoint: aws.String(server.URL), S3ForcePathStyle: aws.Bool(true),
		Credentials: credentials.NewStaticCredentials(server.AccessKey(), "secret", ""),
		HTTPClient:  &http.Client{Transport: transport},
	})
	if err != nil {
		t.Fatal(err)
	}
	return func() concatStore { return s3store.New(server.Bucket(), awsv1.New(server.Bucket(), s3.New(s))) }
}
