//go:build linux

package s3store_test

import (
	"bytes"
	"io"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3services"
	"github.com/tus/tusd/s3store/awsv1"
	"github.com/tus/tusd/storetest"
)

// TestContractOnServices runs the suite on real services, with their part sizes.
// It takes a minute, so it runs only where it is required.
func TestContractOnServices(t *testing.T) {
	const component = "s3-contract"
	require.Need(t, component, require.Required(component), "it runs only where "+require.Env+" names it")
	s3services.Each(t, func(t *testing.T, s *s3services.Service) {
		storetest.Run(t, serviceHarness(s))
	})
}

// TestContractOnGivenService runs the suite on a service whose endpoint is given.
func TestContractOnGivenService(t *testing.T) {
	storetest.Run(t, serviceHarness(s3services.Given(t)))
}

// serviceUpload is the size of the largest uploads of the suite. It is larger than
// a part, so that they have several.
const serviceUpload = 6 << 20

// serviceHarness runs the suite on a service, each case in a new bucket.
func serviceHarness(s *s3services.Service) storetest.Harness {
	buckets := make(map[tusd.DataStore]*serviceBucket)
	compose := func(b *serviceBucket) *tusd.StoreComposer {
		store := serviceStore(b.name, awsv1.New(b.name, b.api))
		buckets[store] = b
		composer := tusd.NewStoreComposer()
		store.UseIn(composer)
		return composer
	}
	return storetest.Harness{
		New: func(tb testing.TB) *tusd.StoreComposer { return compose(newServiceBucket(tb, s)) },
		Reopen: func(_ testing.TB, c *tusd.StoreComposer) *tusd.StoreComposer {
			return compose(buckets[c.Core])
		},
		Claims: storetest.Everything,
		Leftovers: func(tb testing.TB, c *tusd.StoreComposer, ids []string) []string {
			return orphans(buckets[c.Core].objects(tb), buckets[c.Core].multiparts(tb), ids)
		},
		Break: func(tb testing.TB, c *tusd.StoreComposer, id string) {
			buckets[c.Core].truncate(tb, id+".info")
		},
		Unreadable:    true,
		SettleTime:    1100 * time.Millisecond, // times of objects are whole seconds
		LargestUpload: serviceUpload,
		Goroutines:    128, // idle connections
		Descriptors:   128,
	}
}

// truncate truncates an object.
func (b *serviceBucket) truncate(tb testing.TB, key string) {
	tb.Helper()
	o, err := b.api.GetObjectWithContext(testContext(tb), &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		tb.Fatal(err)
	}
	defer o.Body.Close()
	content, err := io.ReadAll(o.Body)
	if err != nil {
		tb.Fatal(err)
	}
	content = bytes.TrimRight(content, " ") // the padding of a record
	in := &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: bytes.NewReader(content[:len(content)/2])}
	if _, err := b.api.PutObjectWithContext(testContext(tb), in); err != nil {
		tb.Fatal(err)
	}
}
