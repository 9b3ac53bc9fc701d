package s3store_test

import (
	"io"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/s3server"
	"github.com/tus/tusd/s3store"
	"github.com/tus/tusd/storetest"
)

// ratedBody is read at a rate, in bytes per second.
type ratedBody struct {
	io.Reader
	rate, sent float64
	begun      time.Time
}

func (s *ratedBody) Read(p []byte) (int, error) {
	n, err := s.Reader.Read(p[:min(len(p), int(s.rate/10))])
	s.sent += float64(n)
	time.Sleep(time.Duration(s.sent/s.rate*float64(time.Second)) - time.Since(s.begun))
	return n, err
}

// BenchmarkSlowUploads counts the calls of a chunk of 2 MiB, if 200 uploads at 100 kB/s have
// a pool of so many bytes for each.
func BenchmarkSlowUploads(b *testing.B) {
	const uploads, rate, chunk = 200, 100e3, 2 * mib
	for name, pool := range map[string]int64{"100KiB": uploads * 100 << 10, "500KiB": uploads * 500 << 10, "4MiB": uploads * 4 * mib} {
		b.Run(name, func(b *testing.B) {
			server := s3server.Start(b, s3server.Options{Discard: 16 * mib})
			store := s3store.New(server.Bucket(), clientOf(b, server))
			store.BufferMemory = pool
			n := startNode(b, store, &tusd.LocalLocker{})
			for b.Loop() {
				var paths []string
				for range uploads {
					paths = append(paths, n.create(64*mib))
				}
				server.Recount()
				var group sync.WaitGroup
				for _, path := range paths {
					group.Go(func() {
						body := &ratedBody{Reader: storetest.ContentReader("content", 0, chunk), rate: rate, begun: time.Now()}
						answer := n.request(http.MethodPatch, path, body, "Content-Type", "application/offset+octet-stream", "Upload-Offset", "0")
						if answer.StatusCode != http.StatusNoContent {
							b.Errorf("status %d", answer.StatusCode)
						}
					})
				}
				group.Wait()
			}
			b.ReportMetric(float64(server.Counts().Total().Calls)/uploads, "calls/chunk")
		})
	}
}
