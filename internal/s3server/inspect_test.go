package s3server_test

import (
	"bytes"
	"io"
	"net/http"
	"strconv"
	"sync"
	"testing"

	"github.com/tus/tusd/internal/s3server"
)

func TestCounts(t *testing.T) {
	c := start(t, s3server.Quirks{})
	for range 3 {
		_, err := c.put("a", content(1, 1000))
		mustSucceed(t, err)
	}
	c.wantContent("a", content(1, 1000))
	counts := c.server.Counts()
	if want := (s3server.Count{Calls: 3, Up: 3000}); counts[s3server.PutObject] != want {
		t.Errorf("%+v, want %+v", counts[s3server.PutObject], want)
	}
	if want := (s3server.Count{Calls: 4, Up: 3000, Down: 1000}); counts.Total() != want {
		t.Errorf("total %+v, want %+v", counts.Total(), want)
	}
	calls := c.server.Calls()
	if last := calls[len(calls)-1]; len(calls) != 4 || last.Number != 4 || last.Operation != s3server.GetObject || last.Key != "a" {
		t.Errorf("%d calls, the last %+v", len(calls), last)
	}
	c.server.Recount()
	if total := c.server.Counts().Total(); total != (s3server.Count{}) || len(c.server.Calls()) != 0 {
		t.Errorf("total %+v after Recount", total)
	}
}

func TestUploads(t *testing.T) {
	c := start(t, small)
	id := c.begin("a")
	c.parts("a", id, []byte("1"), []byte("22"))
	uploads := c.server.Uploads()
	if len(uploads) != 1 || uploads[0].ID != id || uploads[0].Key != "a" || len(uploads[0].Parts) != 2 {
		t.Fatalf("%+v, want one upload of two parts", uploads)
	}
	if part := uploads[0].Parts[1]; part.Number != 2 || part.Size != 2 || string(part.Bytes()) != "22" {
		t.Errorf("part %+v", part)
	}
	c.server.AbortAll()
	_, err := c.part("a", id, 3, nil)
	wantCode(t, err, http.StatusNotFound, "NoSuchUpload")
	if left := c.server.Uploads(); len(left) != 0 {
		t.Errorf("%d uploads are left", len(left))
	}
}

func TestSnapshot(t *testing.T) {
	c := start(t, small)
	c.server.Put("a", []byte("old"))
	id := c.begin("b")
	parts := c.parts("b", id, []byte("1"))
	before := c.server.Snapshot()

	c.server.Put("a", []byte("new"))
	c.parts("b", id, []byte("2"))
	c.begin("c")
	for range 2 { // a snapshot can be restored repeatedly
		c.server.Restore(before)
		c.wantContent("a", []byte("old"))
		if pending := c.server.Uploads(); len(pending) != 1 || string(pending[0].Parts[0].Bytes()) != "1" {
			t.Fatalf("%+v, want the one upload", pending)
		}
		_, err := c.complete("b", id, parts...)
		mustSucceed(t, err)
		c.wantContent("b", []byte("1"))
	}
}

func TestDiscard(t *testing.T) {
	c := startWith(t, s3server.Options{Quirks: s3server.Quirks{MinPart: 1}, Discard: 100})
	record := content(1, 100)
	_, err := c.put("record", record)
	mustSucceed(t, err)
	c.wantContent("record", record)

	first, err := c.put("big", content(1, 5000))
	mustSucceed(t, err)
	c.wantContent("big", make([]byte, 5000))
	second, err := c.put("big", content(2, 5000))
	mustSucceed(t, err)
	if first == second {
		t.Error("other bytes have the same ETag")
	}
	id := c.begin("copied")
	part, err := c.copyPart("copied", id, "big", "bytes=1000-3999")
	mustSucceed(t, err)
	tail, err := c.part("copied", id, 2, record)
	mustSucceed(t, err)
	_, err = c.complete("copied", id, part, tail)
	mustSucceed(t, err)
	c.wantContent("copied", append(make([]byte, 3000), record...))
}

func TestOpen(t *testing.T) {
	c := start(t, small)
	id := c.begin("a")
	data := content(1, 3000)
	_, err := c.complete("a", id, c.parts("a", id, data[:1500], data[1500:])...)
	mustSucceed(t, err)
	seen, _ := c.server.Object("a")
	read, err := io.ReadAll(seen.Open())
	if err != nil || !bytes.Equal(read, data) || !bytes.Equal(seen.Bytes(), data) {
		t.Errorf("%d and %d bytes and %v, want 3000 as written", len(read), len(seen.Bytes()), err)
	}
}

func TestParallelCalls(t *testing.T) {
	const clients, rounds = 8, 10
	c := start(t, small)
	created := make(chan string, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			for round := range rounds {
				key := strconv.Itoa(round)
				if _, err := c.put(key, []byte{byte(i)}, header("If-None-Match", "*")); err == nil {
					created <- key
				}
				c.server.Objects()
				c.server.Counts()
				c.server.Restore(c.server.Snapshot())
			}
		})
	}
	go func() { all.Wait(); close(created) }()
	seen := make(map[string]bool)
	for key := range created {
		seen[key] = true
	}
	if len(seen) != rounds || c.server.Counts()[s3server.PutObject].Calls != clients*rounds {
		t.Errorf("%d keys after %+v, want %d", len(seen), c.server.Counts(), rounds)
	}
}

func TestParallelCreation(t *testing.T) {
	const clients = 8
	c := start(t, small)
	created := make(chan int, clients)
	var all sync.WaitGroup
	for i := range clients {
		all.Go(func() {
			if _, err := c.put("a", []byte{byte(i)}, header("If-None-Match", "*")); err == nil {
				created <- i
			}
		})
	}
	all.Wait()
	if len(created) != 1 {
		t.Fatalf("%d have created it, want 1", len(created))
	}
	c.wantContent("a", []byte{byte(<-created)})
}
