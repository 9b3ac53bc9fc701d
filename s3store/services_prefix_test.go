//go:build linux

package s3store_test

import (
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3services"
	"github.com/tus/tusd/s3store/awsv1"
)

// With any prefix, on a real service either Open fails and proposes another
// prefix, or uploads can be resumed.
func TestPrefixesOnServices(t *testing.T) {
	odd := []string{
		"/lead", "//lead", "lead//", "a//b", "a/../b", "../x", "./x", "a/.", "a/..", "/", "//", ".", "..",
		".sgwtmp", ".minio.sys", "a\\b", "a b", "a+b", "a%2Fb", "हिन्दी", "e\u0301", "a\u202eb", "a?b", "a#b", "a&<b>", " a", "a ",
		strings.Repeat("x", 256), strings.Repeat("x/", 300), "a/.tusd.d",
	}
	s3services.Each(t, func(t *testing.T, s *s3services.Service) {
		for _, prefix := range odd {
			t.Run(prefix, func(t *testing.T) {
				b := newServiceBucket(t, s)
				store := serviceStore(b.name, awsv1.New(b.name, b.api))
				store.ObjectPrefix = prefix
				if _, err := openLogged(t, store); err != nil {
					if !strings.Contains(err.Error(), "set another one, such as ") {
						t.Errorf("the error proposes no prefix: %v", err)
					}
					t.Log(err)
					if left := append(b.objects(t), b.multiparts(t)...); len(left) > 0 {
						t.Errorf("left are %q", left)
					}
					return
				}
				store = serviceStore(b.name, awsv1.New(b.name, b.api))
				store.ObjectPrefix = prefix
				n := startNode(t, store, &tusd.LocalLocker{})
				path := n.create(200)
				n.patch(path, 0, 100)
				if offset := n.offset(path); offset != 100 {
					t.Errorf("the offset is %d, want 100", offset)
				}
				n.patch(path, 100, 200)
				n.wantContent(path, 200)
			})
		}
	})
}
