//go:build linux

package clustertest

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// The snippet for HAProxy in docs/scaling.md has the settings of these tests, but for the
// field that names the node.
func TestSettingsOfHAProxyAreDocumented(t *testing.T) {
	page, err := os.ReadFile("../../docs/scaling.md")
	if err != nil {
		t.Fatal(err)
	}
	snippet := regexp.MustCompile("(?ms)^<!-- snippet: haproxy-nodes -->\n```haproxy\n(.*?)^```$").FindSubmatch(page)
	if snippet == nil {
		t.Fatal("docs/scaling.md has no snippet")
	}
	addresses := regexp.MustCompile(`(?m)^(    server node\d) .*$`)
	documented := addresses.ReplaceAllString(string(snippet[1]), "$1")
	_, used, _ := strings.Cut(haproxySettings, "\nbackend ")
	used = addresses.ReplaceAllString("backend "+used, "$1")
	used = regexp.MustCompile(`(?m)^.*`+nodeField+`.*\n`).ReplaceAllString(used, "")
	for _, setting := range []string{"timeout check 3s", "timeout connect 2s"} {
		if !strings.Contains(string(page), "`"+setting+"`") || !strings.Contains(strings.Join(strings.Fields(haproxySettings), " "), setting) {
			t.Errorf("%s is not in both", setting)
		}
	}
	if documented != used {
		t.Errorf("docs/scaling.md has\n%s\nbut the tests use\n%s", documented, used)
	}
}
