package filestore

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"testing"
	"time"

	"github.com/tus/tusd"
)

func BenchmarkCreate(b *testing.B) {
	for _, level := range levels {
		b.Run(level.String(), func(b *testing.B) {
			s := openStore(b, level)
			lease := lockID(b, "a")
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				id := strconv.Itoa(i)
				if _, err := s.NewUpload(b.Context(), lease, tusd.FileInfo{ID: id, Size: 4096}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkLoad measures the work of the store for a HEAD.
func BenchmarkLoad(b *testing.B) {
	s := openStore(b, Ack)
	offsetOf(b, createWithContent(b, s, "a", 1<<20, stored))
	lease := lockID(b, "a")
	b.ReportAllocs()
	for b.Loop() {
		up, err := s.GetUpload(b.Context(), lease, "a")
		if err != nil {
			b.Fatal(err)
		}
		if _, err := up.GetInfo(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkWriteChunk measures the work of the store for a PATCH. Allocations must not
// grow with the body.
func BenchmarkWriteChunk(b *testing.B) {
	for _, size := range []int{4 << 10, 1 << 20, 64 << 20} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := openStore(b, None)
			content := bytes.Repeat([]byte("x"), size)
			lease := lockID(b, "a")
			b.ReportAllocs()
			b.SetBytes(int64(size))
			for b.Loop() {
				b.StopTimer()
				s.Terminate(b.Context(), lease, "a")
				if _, err := s.NewUpload(b.Context(), lease, tusd.FileInfo{ID: "a", Size: int64(size)}); err != nil {
					b.Fatal(err)
				}
				b.StartTimer()
				up, err := s.GetUpload(b.Context(), lease, "a")
				if err != nil {
					b.Fatal(err)
				}
				if _, err := up.WriteChunk(b.Context(), 0, onlyReader{bytes.NewReader(content)}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// onlyReader hides all methods of a source but Read.
type onlyReader struct{ io.Reader }

// BenchmarkHandOver measures the last sync of WriteChunk after 1 GiB: a request that
// preempts the writer waits for it.
func BenchmarkHandOver(b *testing.B) {
	if testing.Short() {
		b.Skip("writes 1 GiB")
	}
	const length = 1 << 30
	s := openStore(b, Ack)
	for b.Loop() {
		lease := lockID(b, "a")
		s.Terminate(b.Context(), lease, "a")
		up, err := s.NewUpload(b.Context(), lease, tusd.FileInfo{ID: "a", Size: length + 1})
		if err != nil {
			b.Fatal(err)
		}
		var last time.Time
		src := io.MultiReader(io.LimitReader(zeroSource{}, length), readFunc(func([]byte) (int, error) {
			last = time.Now()
			return 0, errSource
		}))
		if n, _ := up.WriteChunk(b.Context(), 0, src); n != length {
			b.Fatalf("%d bytes stored", n)
		}
		b.ReportMetric(float64(time.Since(last).Milliseconds()), "ms-handover")
	}
}

// zeroSource is a source without end.
type zeroSource struct{}

func (zeroSource) Read(p []byte) (int, error) { return len(p), nil }
