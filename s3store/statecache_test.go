package s3store

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

// The cache of states is bounded in bytes, whichever field of a state is large.
func TestStateCacheIsBounded(t *testing.T) {
	text := func(n int) string { return strings.Repeat("x", n) }
	for name, c := range map[string]struct {
		n, least int
		make     func(id string) state
	}{
		"usual": {20_000, 3000, func(id string) state {
			return state{recordKey: id + ".info", etag: text(34), info: tusd.FileInfo{Storage: map[string]string{"Type": "s3store", "Bucket": "b", "Key": id}}}
		}},
		"finals": {300, 20, func(string) state { // with 3 000 partials each
			return state{info: tusd.FileInfo{RawConcat: text(240_000), PartialUploads: make([]string, 3000)}}
		}},
		"parts": {200, 10, func(string) state {
			var st state
			for i := range 10_000 {
				st.layout.Parts = append(st.layout.Parts, Part{Number: i, Size: 1, ETag: text(34)})
			}
			return st
		}},
		"tail objects": {500, 80, func(id string) state {
			var st state
			for i := range 1000 {
				st.tailObjects = append(st.tailObjects, tailObject{key: fmt.Sprint(id, text(100), i)})
			}
			return st
		}},
	} {
		t.Run(name, func(t *testing.T) {
			cache, lease := newStateCache(cacheBudget), locked(t)
			before := heapInUse()
			for i := range c.n {
				id := fmt.Sprint("upload", i)
				cache.set(id, lease, c.make(id))
			}
			took, newest := heapInUse()-before, fmt.Sprint("upload", c.n-1)
			if _, ok := cache.get(newest); !ok || cache.ids.Len() < c.least || took > cacheBudget*5/4 {
				t.Errorf("%d states take %d KiB, the newest is there: %t", cache.ids.Len(), took>>10, ok)
			}
		})
	}
}

func locked(t *testing.T) tusd.Lease {
	t.Helper()
	lease, err := new(tusd.LocalLocker).Lock(t.Context(), "a", tusd.LockTry)
	if err != nil {
		t.Fatal(err)
	}
	return lease
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
