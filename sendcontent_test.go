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
	"time"
)

// The size of the segments of a download follows the client's rate, within bounds.
func TestSegmentSizeOfADownload(t *testing.T) {
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
		t.Errorf("the smallest segment is %d", size)
	}
}

// slowClient accepts only a part of each of the first segments before its deadline. The
// rest of what it has read is lost, as when the system cannot send a file by itself.
type slowClient struct {
	times int   // number of segments that it accepts in part
	took  int64 // bytes that it accepts of such a segment
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

// A slow client that makes progress gets the whole file. A client without progress is cut.
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
		t.Errorf("a client without progress: %d bytes, %v", n, err)
	}
}
