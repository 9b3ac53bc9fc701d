package tusd

import (
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd/internal/deadline"
)

// The time of the store is measured without the waits for the client.
func TestBodyCountsWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := body{src: &slowSource{pause: time.Second, n: 5}, length: 5, deadlines: &deadline.Request{}, remaining: 5}
		p := make([]byte, 1)
		for {
			if _, err := b.Read(p); err != nil {
				break
			}
			time.Sleep(3 * time.Second) // the time of the store
		}
		if b.waited != 5*time.Second {
			t.Errorf("waited %v for the client, want 5s", b.waited)
		}
	})
}

// slowSource returns n bytes, one at a time.
type slowSource struct {
	pause time.Duration
	n     int
}

func (s *slowSource) Read(p []byte) (int, error) {
	if s.n == 0 {
		return 0, io.EOF
	}
	time.Sleep(s.pause)
	s.n--
	return 1, nil
}
