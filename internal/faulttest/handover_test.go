//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"testing"
	"time"

	"github.com/tus/tusd/internal/tusclient"
)

// maxTries is how often a test that measures time may run until one run is in time: a busy
// machine is slow sometimes, a slow server is slow always.
const maxTries = 5

// TestHalfOpenClientIsReplaced leaves a connection half open in the middle of a PATCH. A
// PATCH over another connection must succeed within 100 ms.
func TestHalfOpenClientIsReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "uploads")
	daemon := Start(t, Launch{Binary: builder.Binary(t, ""), Dir: dir})
	c := daemon.Client()
	best := time.Hour
	for try := 0; try < maxTries && best > 100*time.Millisecond; try++ {
		took, err := preemptVanished(c, dir, uint64(try))
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, took)
	}
	if best > 100*time.Millisecond {
		t.Errorf("the fastest of %d PATCHes was accepted after %v", maxTries, best)
	}
}

// preemptVanished opens a PATCH that does not continue, and measures how long another client
// needs for HEAD and PATCH.
func preemptVanished(c *tusclient.Client, dir string, seed uint64) (took time.Duration, err error) {
	ack, err := create(c, someContent(seed))
	if err != nil {
		return 0, err
	}
	vanished, err := sendHalf(c, ack)
	if err != nil {
		return 0, err
	}
	defer vanished.Abort()
	if err := awaitFirstByte(filepath.Join(dir, path.Base(ack.Path))); err != nil {
		return 0, err
	}
	start := time.Now()
	head, err := c.Head(ack.Path)
	if err != nil {
		return 0, err
	}
	ack.NoteOffset(head)
	if err := patch(c, ack, 1000); err != nil {
		return 0, fmt.Errorf("after %v: %w", head, err)
	}
	took = time.Since(start)
	return took, EveryAck.Check(c, []*Ack{ack})
}

// awaitFirstByte waits until the server has begun to store a PATCH. Before that, the server
// might see the other client's requests first.
func awaitFirstByte(data string) error {
	deadline := time.After(10 * time.Second)
	for tick := time.NewTicker(time.Millisecond); ; {
		if stat, err := os.Stat(data); err != nil || stat.Size() > 0 {
			return err
		}
		select {
		case <-tick.C:
		case <-deadline:
			return fmt.Errorf("%s is empty after 10 s", data)
		}
	}
}

// TestFiftyClientsOfOneUpload lets 50 clients at the same time request the offset and send
// the rest until the upload is complete. It must be within a second, with the right content.
func TestFiftyClientsOfOneUpload(t *testing.T) {
	daemon := Start(t, Launch{Binary: builder.Binary(t, ""), Dir: filepath.Join(t.TempDir(), "uploads")})
	c := daemon.Client()
	best := time.Hour
	for try := 0; try < maxTries && best > time.Second; try++ {
		took, err := uploadTogether(c, Content{{Seed: uint64(try), Length: 4 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, took)
	}
	if best > time.Second {
		t.Errorf("the fastest of %d tries took %v", maxTries, best)
	}
}

// uploadTogether lets clients complete one upload, and measures the time.
func uploadTogether(c *tusclient.Client, content Content) (took time.Duration, err error) {
	ack, err := create(c, content)
	if err != nil {
		return 0, err
	}
	const clients = 50
	body := content.Bytes(0, content.Length())
	done := make(chan error, clients)
	start := time.Now()
	for range clients {
		go func() { done <- uploadRest(c, ack.Path, body) }()
	}
	for range clients {
		err = errors.Join(err, <-done)
	}
	took = time.Since(start)
	return took, errors.Join(err, download(c, ack))
}

// uploadRest is one client. It retries when another one preempts it.
func uploadRest(c *tusclient.Client, path string, body []byte) error {
	for deadline := time.Now().Add(waitTimeout); ; {
		head, err := c.Head(path)
		switch {
		case err != nil:
			return err
		case head.Status == http.StatusOK && head.Offset() == int64(len(body)):
			return nil
		case time.Now().After(deadline):
			return fmt.Errorf("after %v the upload is not complete: %v", waitTimeout, head)
		case head.Transient():
			continue
		case head.Status != http.StatusOK:
			return head.Want("HEAD", http.StatusOK)
		}
		answer, err := c.Patch(path, head.Offset(), body[head.Offset():])
		if err != nil {
			return err
		}
		if ok := answer.Status == http.StatusNoContent || answer.Status == http.StatusConflict || answer.Transient(); !ok {
			return answer.Want("PATCH", http.StatusNoContent)
		}
	}
}
