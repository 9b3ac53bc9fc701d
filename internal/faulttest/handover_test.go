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

// tries is how often a test of time runs until one run is in time: a busy
// machine is slow now and then, a server that is too slow always.
const tries = 5

// TestHalfOpenClientIsReplaced: a client that has vanished without a word does
// not keep its upload locked. A new connection's PATCH is accepted within 100 ms.
func TestHalfOpenClientIsReplaced(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "uploads")
	daemon := Start(t, Launch{Binary: builder.Binary(t, ""), Dir: dir})
	c := daemon.Client()
	best := time.Hour
	for try := 0; try < tries && best > 100*time.Millisecond; try++ {
		took, err := replaceVanished(c, dir, uint64(try))
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, took)
	}
	if best > 100*time.Millisecond {
		t.Errorf("the fastest of %d PATCHes was accepted after %v", tries, best)
	}
}

// replaceVanished begins a PATCH that does not go on, and measures how long a
// new client needs to append.
func replaceVanished(c *tusclient.Client, dir string, seed uint64) (took time.Duration, err error) {
	p, err := create(c, someContent(seed))
	if err != nil {
		return 0, err
	}
	vanished, err := sendSome(c, p)
	if err != nil {
		return 0, err
	}
	defer vanished.Abort()
	if err := beingStored(filepath.Join(dir, path.Base(p.Path))); err != nil {
		return 0, err
	}
	start := time.Now()
	head, err := c.Head(p.Path)
	if err != nil {
		return 0, err
	}
	p.Shown(head)
	if err := patch(c, p, 1000); err != nil {
		return 0, fmt.Errorf("after %v: %w", head, err)
	}
	took = time.Since(start)
	return took, AllPromises.Check(c, []*Promise{p})
}

// beingStored waits until the server has begun to store a PATCH: one that it
// has not begun would come after the new client's, and be the newer one.
func beingStored(data string) error {
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

// TestFiftyClientsFightForOneUpload: each asks for the offset and sends the
// rest from there, all at once, until the upload is complete. It is within a
// second, and no byte is doubled or lost.
func TestFiftyClientsFightForOneUpload(t *testing.T) {
	daemon := Start(t, Launch{Binary: builder.Binary(t, ""), Dir: filepath.Join(t.TempDir(), "uploads")})
	c := daemon.Client()
	best := time.Hour
	for try := 0; try < tries && best > time.Second; try++ {
		took, err := fight(c, Content{{Seed: uint64(try), Length: 4 << 20}})
		if err != nil {
			t.Fatal(err)
		}
		best = min(best, took)
	}
	if best > time.Second {
		t.Errorf("the fastest of %d fights took %v", tries, best)
	}
}

func fight(c *tusclient.Client, content Content) (took time.Duration, err error) {
	p, err := create(c, content)
	if err != nil {
		return 0, err
	}
	const fighters = 50
	body := content.Piece(0, content.Length())
	done := make(chan error, fighters)
	start := time.Now()
	for range fighters {
		go func() { done <- fightFor(c, p.Path, body) }()
	}
	for range fighters {
		err = errors.Join(err, <-done)
	}
	took = time.Since(start)
	return took, errors.Join(err, download(c, p))
}

// fightFor is one client. It retries when it is overtaken.
func fightFor(c *tusclient.Client, path string, body []byte) error {
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
