package tusd

import (
	"bytes"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tus/tusd/internal/deadline"
)

// trickle delivers a byte a second.
type trickle struct{}

func (trickle) Read(p []byte) (int, error) {
	time.Sleep(time.Second)
	return copy(p, "x"), nil
}

// A body that comes slowly is stored in pieces, too, so that its client hears
// of progress; a short one that has ended is one piece.
func TestPieces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pieceOf := func(src io.Reader) *segment {
			return &segment{started: time.Now(), body: &body{src: src, length: -1, remaining: 1 << 40, tooLong: ErrMaxSizeExceeded, deadlines: &deadline.Request{}}}
		}
		slow := pieceOf(trickle{})
		if n, err := io.Copy(io.Discard, slow); err != nil || n < 1 || n > 6 || slow.ended {
			t.Errorf("a slow body: piece of %d bytes, ended %v, %v", n, slow.ended, err)
		}
		short := pieceOf(bytes.NewReader(make([]byte, 3<<20)))
		if n, err := io.Copy(io.Discard, short); err != nil || n != 3<<20 || !short.ended {
			t.Errorf("a short body: piece of %d bytes, ended %v, %v", n, short.ended, err)
		}
	})
}

// What is sent of a file under one deadline follows the client's pace, within
// bounds.
func TestPiecesOfAFile(t *testing.T) {
	size := int64(maxSegmentSize)
	for _, c := range []struct {
		took time.Duration
		want int64
	}{
		{time.Millisecond, maxSegmentSize}, {time.Second, maxSegmentSize / 2}, {50 * time.Millisecond, maxSegmentSize / 2},
		{time.Minute, maxSegmentSize / 4}, {time.Millisecond, maxSegmentSize / 2},
	} {
		if size = nextSegmentSize(size, c.took); size != c.want {
			t.Errorf("after %v: %d, want %d", c.took, size, c.want)
		}
	}
	for range 100 {
		size = nextSegmentSize(size, time.Second)
	}
	if size != minSegmentSize {
		t.Errorf("the smallest piece is %d", size)
	}
}

// slowClient takes a part of what it is sent in the time for it, the first so many
// times. What was read beyond that is lost, as when the system cannot send a file
// by itself.
type slowClient struct {
	times int
	took  int64 // of what it does not take whole
	got   []byte
}

func (c *slowClient) ReadFrom(src io.Reader) (int64, error) {
	content, err := io.ReadAll(src)
	if err != nil || c.times == 0 {
		c.got = append(c.got, content...)
		return int64(len(content)), err
	}
	c.times--
	took := min(c.took, int64(len(content)))
	c.got = append(c.got, content[:took]...)
	return took, os.ErrDeadlineExceeded
}

// A client that is slow and moves gets a file whole; one that does not is cut.
func TestSlowDownloadOfAFile(t *testing.T) {
	name := filepath.Join(t.TempDir(), "file")
	content := bytes.Repeat([]byte("0123456789"), 60_000)
	if err := os.WriteFile(name, content, 0o600); err != nil {
		t.Fatal(err)
	}
	send := func(client *slowClient) (int64, error) {
		file, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		defer file.Close()
		file.Seek(100, io.SeekStart)
		x := &exchange{r: httptest.NewRequest(http.MethodGet, "/", nil), segmentSize: maxSegmentSize}
		return x.sendFile(client, file, &io.LimitedReader{R: file, N: 500_000})
	}
	slow := &slowClient{times: 5, took: 1000}
	if n, err := send(slow); n != 500_000 || err != nil || !bytes.Equal(slow.got, content[100:500_100]) {
		t.Errorf("a slow client: %d bytes, %v; it got %d, right: %v", n, err, len(slow.got), bytes.Equal(slow.got, content[100:500_100]))
	}
	if n, err := send(&slowClient{times: 1}); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a client that takes nothing: %d bytes, %v", n, err)
	}
}
