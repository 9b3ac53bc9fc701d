package tusd

import (
	"bytes"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd/internal/deadline"
)

// slowReader returns one byte per second.
type slowReader struct{}

func (slowReader) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return copy(p, "x"), nil
}

// A slow body is stored in segments, so that the client gets its progress. A short body is
// one segment.
func TestSegmentsOfABody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		segmentOf := func(src io.Reader) *segment {
			return &segment{started: time.Now(), body: &body{src: src, length: -1, remaining: 1 << 40, tooLong: ErrMaxSizeExceeded, deadlines: &deadline.Request{}}}
		}
		slow := segmentOf(slowReader{})
		if n, err := io.Copy(io.Discard, slow); err != nil || n < 1 || n > 6 || slow.ended {
			t.Errorf("a slow body: segment of %d bytes, ended %v, %v", n, slow.ended, err)
		}
		short := segmentOf(bytes.NewReader(make([]byte, 3<<20)))
		if n, err := io.Copy(io.Discard, short); err != nil || n != 3<<20 || !short.ended {
			t.Errorf("a short body: segment of %d bytes, ended %v, %v", n, short.ended, err)
		}
	})
}
