//go:build linux

package e2e

import (
	"os"
	"testing"
)

// TestDraftFinishesTus begins an upload with tus-js-client in tus 1.0, and has
// a client of the IETF draft go on with it.
func TestDraftFinishesTus(t *testing.T) {
	s := startService(t, t.TempDir())
	file, sum := writeContent(t, lossSize)
	s.after(lossAt, func() {
		s.awaitStored(t, mib)
		s.cut()
	})
	_, err := job{Client: newClient, File: file, Options: map[string]any{
		"endpoint": s.relay.url() + "/files/", "retryDelays": nil}}.try(t)
	if err == nil {
		t.Fatal("the client does not notice that it was cut off")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := newDraftClient(t, s.relay, newestInterop, content)
	c.finish(s.seen("POST")[0].Location)
	wantGoneOn(t, s, c, 1)
	wantContent(t, c.address(), sum)
	wantPosts(t, s.relay, 1)
}

// TestTusFinishesDraft is the other way round. What the IETF draft has begun
// and not completed is of deferred length to a tus client.
func TestTusFinishesDraft(t *testing.T) {
	s := startService(t, t.TempDir())
	file, sum := writeContent(t, lossSize)
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := newDraftClient(t, s.relay, newestInterop, content)
	s.after(lossAt, func() {
		c.awaitURL()
		s.awaitStored(t, mib)
		s.cut()
	})
	if c.step() {
		t.Fatal("the client does not notice that it was cut off")
	}
	url := upload(t, s.relay, job{Client: newClient, File: file, Buffer: true, Options: map[string]any{
		"uploadUrl": c.address(), "uploadLengthDeferred": true}})
	if url != c.address() {
		t.Errorf("finished %s, want %s", url, c.address())
	}
	wantContent(t, url, sum)
	wantPosts(t, s.relay, 1)
	if len(s.seen("HEAD")) == 0 {
		t.Error("tus-js-client does not ask for an offset")
	}
}
