//go:build linux

package e2e

import (
	"net/http"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/loopback"
)

// nginx in front of three nodes, as in docs/scaling.md, of which two are gone: every
// request reaches the third.
func TestProxyAvoidsNodesThatAreGone(t *testing.T) {
	nginx.need(t)
	page, err := os.ReadFile("../../docs/scaling.md")
	if err != nil {
		t.Fatal(err)
	}
	snippet := regexp.MustCompile("(?ms)^<!-- snippet: nginx-nodes, in place of \"([^\n]*)\" -->\n```nginx\n(.*?)^```$").FindSubmatch(page)
	if snippet == nil {
		t.Fatal("docs/scaling.md has no snippet")
	}
	s := startService(t, t.TempDir())
	backend := s.listener.Addr().String()
	p := startProxy(t, nginx, backend, func(settings string) string {
		replaced := strings.Replace(string(snippet[1]), "127.0.0.1:8080", backend, 1)
		if strings.Count(settings, replaced) != 1 {
			t.Fatalf("the settings do not have %q once:\n%s", replaced, settings)
		}
		nodes := strings.NewReplacer("10.0.0.1:8080", loopback.Address(), "10.0.0.2:8080", backend, "10.0.0.3:8080", loopback.Address())
		return strings.Replace(settings, replaced, nodes.Replace(string(snippet[2])), 1)
	})
	c := newChain(t, s, p, "http")
	for range 5 {
		url := c.createUpload(t, "content", speaksTus, tusChunk, "Upload-Length: 7")
		if answer := c.send(t, http.MethodHead, url, "", speaksTus); answer.StatusCode != http.StatusOK {
			t.Errorf("HEAD: %s", answer.Status)
		}
	}
}
