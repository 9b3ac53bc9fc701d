//go:build linux

package e2e

import (
	"os"
	"testing"
)

// TestDraftFinishesTus begins an upload with tus-js-client in tus 1.0 and continues it
// with a client of the IETF draft.
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
		t.Fatal("the client reports no error after its connection was cut")
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	c := newDraftClient(t, s.relay, newestInterop, content)
	c.continueUpload(s.seen("POST")[0].Location)
	wantResumptions(t, s, c, 1)
	wantContent(t, c.uploadURL(), sum)
	wantPosts(t, s.relay, 1)
}

// TestTusFinishesDraft begins with the IETF draft and continues with tus-js-client. For a
// tus client, an incomplete upload of the draft has deferred length.
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
		t.Fatal("the client reports no error after its connection was cut")
	}
	url := upload(t, s.relay, job{Client: newClient, File: file, Buffer: true, Options: map[string]any{
		"uploadUrl": c.uploadURL(), "uploadLengthDeferred": true}})
	if url != c.uploadURL() {
		t.Errorf("finished %s, want %s", url, c.uploadURL())
	}
	wantContent(t, url, sum)
	wantPosts(t, s.relay, 1)
	if len(s.seen("HEAD")) == 0 {
		t.Error("tus-js-client sends no HEAD")
	}
}
