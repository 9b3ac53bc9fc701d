package filestore

import (
	"fmt"
	"os"
	"runtime"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// benchmarkUploads is the number of uploads in the directory of BenchmarkList.
const benchmarkUploads = 200_000

// BenchmarkList lists a directory of 200 000 uploads by pages of 1000, as the command ls
// does. It reports the largest heap that the listing needed at once, with garbage.
func BenchmarkList(b *testing.B) {
	s := manyUploads(b, benchmarkUploads)
	for _, c := range []struct {
		name   string
		filter tusd.ListFilter
		want   int
	}{
		{"all", tusd.ListFilter{}, benchmarkUploads},
		{"none", changedBefore(time.Now().Add(-time.Hour)), 0},
	} {
		b.Run(c.name, func(b *testing.B) {
			peak := peakHeap(b)
			for b.Loop() {
				s = reopen(b, s) // without the ids of an earlier listing
				if got := countListed(b, s, c.filter, 1000); got != c.want {
					b.Fatalf("%d uploads are listed, want %d", got, c.want)
				}
			}
			b.ReportMetric(float64(peak())/(1<<20), "peak-MiB")
		})
	}
}

// BenchmarkTidy looks for leftovers in the directory of BenchmarkList, without a pace.
func BenchmarkTidy(b *testing.B) {
	s := manyUploads(b, benchmarkUploads)
	peak := peakHeap(b)
	for b.Loop() {
		if reported := tidyAll(b, s, time.Now().Add(time.Hour)); len(reported) > 0 {
			b.Fatalf("%d leftovers", len(reported))
		}
	}
	b.ReportMetric(float64(peak())/(1<<20), "peak-MiB")
}

// manyUploads makes a store with n uploads of some bytes. It writes the files itself, which
// is faster.
func manyUploads(b *testing.B, n int) *FileStore {
	b.Helper()
	s := openStore(b, None)
	for i := range n {
		id := fmt.Sprintf("%032x", uint64(i)*0x9e3779b97f4a7c15)
		info := tusd.FileInfo{
			ID: id, Size: 1 << 30, Version: tusd.RecordVersion, Created: time.Unix(1e9, 0).UTC(), Dialect: tusd.DialectTus,
			MetaData: tusd.MetaData{"filename": "a holiday film.mp4", "filetype": "video/mp4"}, RawMetaData: "filename YSBob2xpZGF5IGZpbG0ubXA0,filetype dmlkZW8vbXA0",
			Storage: s.opened.Load().storage(id, s.opened.Load().file(id)),
		}
		record, err := formatRecord(info)
		if err != nil {
			b.Fatal(err)
		}
		for name, content := range map[string][]byte{id: []byte("content"), id + recordSuffix: record} {
			if err := os.WriteFile(s.Path+"/"+name, content, 0o600); err != nil {
				b.Fatal(err)
			}
		}
	}
	return s
}

func countListed(b *testing.B, s *FileStore, filter tusd.ListFilter, limit int) (n int) {
	b.Helper()
	for cursor := ""; ; {
		page, next, err := s.List(b.Context(), cursor, filter, limit)
		if err != nil {
			b.Fatal(err)
		}
		if n += len(page); next == "" {
			return n
		}
		cursor = next
	}
}

// peakHeap samples the memory of heap and stacks, with garbage, until the result is called,
// which returns the largest value in bytes.
func peakHeap(b *testing.B) func() uint64 {
	runtime.GC()
	var largest atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			largest.Store(max(largest.Load(), m.HeapInuse+m.StackInuse))
			select {
			case <-tick.C:
			case <-stop:
				return
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-stopped
		return largest.Load()
	}
}
