//go:build linux

package s3store_test

import (
	"bytes"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go/service/s3"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3services"
	"github.com/tus/tusd/s3store/awsv1"
	"github.com/tus/tusd/storetest"
)

// The contract holds on the servers of others, with the sizes of parts that
// they demand. It takes a minute, so it runs only where it is required.
func TestContractOnServices(t *testing.T) {
	const component = "s3-contract"
	require.Need(t, component, require.Required(component), "it runs only where "+require.Env+" names it")
	s3services.Each(t, func(t *testing.T, s *s3services.Service) {
		storetest.Run(t, serviceHarness(s))
	})
}

// TestContractOnGivenService is the same for a service that somebody else has
// started.
func TestContractOnGivenService(t *testing.T) {
	storetest.Run(t, serviceHarness(s3services.Given(t)))
}

// serviceUpload is the size of the largest uploads of the suite: a part, and
// more than the least part besides, so that it is made of several.
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
			return strangers(buckets[c.Core].objects(tb), buckets[c.Core].multiparts(tb), ids)
		},
		Break: func(tb testing.TB, c *tusd.StoreComposer, id string) {
			buckets[c.Core].cutInHalf(tb, id+".info")
		},
		Unreadable:    true,
		SettleTime:    1100 * time.Millisecond, // times of objects are whole seconds
		LargestUpload: serviceUpload,
		Goroutines:    128, // idle connections
		Descriptors:   128,
	}
}

// strangers names the objects and multipart uploads that belong to none of the
// uploads ids.
func strangers(objects, multiparts, ids []string) (found []string) {
	for _, key := range objects {
		if !slices.Contains(ids, ownerOf(key)) && !strings.HasPrefix(key, ".tusd.d/side/") {
			found = append(found, key)
		}
	}
	for _, key := range multiparts {
		if !slices.Contains(ids, key) {
			found = append(found, "multipart upload of "+key)
		}
	}
	return found
}

// ownerOf returns the id of the upload that an object belongs to.
func ownerOf(key string) string {
	if piece, ok := strings.CutSuffix(key, ".part"); ok {
		return piece[:strings.LastIndexByte(piece, '.')]
	}
	return strings.TrimSuffix(key, ".info")
}

// cutInHalf damages an object.
func (b *serviceBucket) cutInHalf(tb testing.TB, key string) {
	tb.Helper()
	o, err := b.api.GetObjectWithContext(limited(tb), &s3.GetObjectInput{Bucket: &b.name, Key: &key})
	if err != nil {
		tb.Fatal(err)
	}
	defer o.Body.Close()
	content, err := io.ReadAll(o.Body)
	if err != nil {
		tb.Fatal(err)
	}
	in := &s3.PutObjectInput{Bucket: &b.name, Key: &key, Body: bytes.NewReader(content[:len(content)/2])}
	if _, err := b.api.PutObjectWithContext(limited(tb), in); err != nil {
		tb.Fatal(err)
	}
}
