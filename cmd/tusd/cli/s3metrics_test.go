package cli

import (
	"context"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/s3store/awsv1"
)

// The calls that tusd v2 measures have its operation names. Other calls have none.
func TestOperationsOfV2(t *testing.T) {
	named := make(map[string]bool)
	for call, want := range map[[2]string]string{
		{"GetObject", "up/a.info"}:            "get_info_object",
		{"PutObject", "up/a.info"}:            "put_info_object",
		{"GetObject", "up/a.0001.part"}:       "get_part_object",
		{"PutObject", "up/a.0001.part"}:       "put_part_object",
		{"HeadObject", "up/a.part"}:           "head_part_object",
		{"DeleteObject", "up/a.0001.part"}:    "delete_part_object",
		{"CreateMultipartUpload", "up/a"}:     "create_multipart_upload",
		{"CompleteMultipartUpload", "up/a"}:   "complete_multipart_upload",
		{"UploadPart", "up/a"}:                "upload_part",
		{"ListParts", "up/a"}:                 "list_parts",
		{"PutObject", "up/a"}:                 "",
		{"GetObject", "up/a"}:                 "",
		{"HeadObject", "up/a.info"}:           "",
		{"DeleteObject", "up/a.info"}:         "",
		{"DeleteObjects", ""}:                 "",
		{"UploadPartCopy", "up/a"}:            "",
		{"ListObjectsV2", "up/a.0001.part"}:   "",
		{"AbortMultipartUpload", "up/a.part"}: "",
	} {
		got := nameInV2(awsv1.Call{Operation: call[0], Key: call[1]})
		if got != want {
			t.Errorf("%s of %q is %q, want %q", call[0], call[1], got, want)
		}
		named[got] = true
	}
	for _, name := range s3OperationsOfV2 {
		if !named[name] {
			t.Errorf("no call is %s", name)
		}
	}
}

// slowParts is a client whose calls for parts return when release is closed.
type slowParts struct {
	listingClient
	begun, release chan struct{}
}

func (s *slowParts) UploadPart(context.Context, s3store.UploadPart) (string, error) {
	return "", s.wait()
}

func (s *slowParts) CopyPart(context.Context, s3store.CopyPart) (string, error) { return "", s.wait() }

func (s *slowParts) wait() error {
	s.begun <- struct{}{}
	<-s.release
	return nil
}

func TestGaugesOfParts(t *testing.T) {
	memory := func() s3store.MemoryUse { return s3store.MemoryUse{Reserved: 5, Size: 6, Waits: 7} }
	m := newS3Metrics(3, memory)
	slow := &slowParts{begun: make(chan struct{}), release: make(chan struct{})}
	client := m.counting(slow)
	if _, ok := client.(s3store.MultipartLister); !ok {
		t.Error("the client cannot list multipart uploads")
	}
	var calls sync.WaitGroup
	calls.Go(func() { client.UploadPart(t.Context(), s3store.UploadPart{}) })
	calls.Go(func() { client.CopyPart(t.Context(), s3store.CopyPart{}) })
	<-slow.begun
	<-slow.begun
	values := func() (all []float64) {
		for _, c := range m.gauges(3, memory) {
			all = append(all, testutil.ToFloat64(c))
		}
		return all
	}
	if got := values(); got[0] != 2 {
		t.Errorf("%v parts, want 2", got[0])
	}
	close(slow.release)
	calls.Wait()
	got := values()
	for i, want := range []float64{0, 3, 5, 6, 7} {
		if got[i] != want {
			t.Errorf("gauge %d is %v, want %v", i, got[i], want)
		}
	}
}
