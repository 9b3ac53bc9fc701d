package hooks

import (
	"bytes"
	"encoding/json"
	"os"
	"regexp"
	"slices"
	"testing"

	"github.com/tus/tusd"
)

// The messages in docs/hooks.md are whole: they have all fields that the server sends, in this
// order, and no others. There is one for each event.
func TestMessagesOfThePage(t *testing.T) {
	page, err := os.ReadFile("../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	var shown []tusd.EventType
	answers := 0
	for _, block := range regexp.MustCompile("(?s)```json\n(.*?)```").FindAllSubmatch(page, -1) {
		if !bytes.Contains(block[1], []byte(`"Type": "p`)) {
			answers++
			mustRepeat(t, block[1], new(HookResponse))
			continue
		}
		var message HookRequest
		mustRepeat(t, block[1], &message)
		shown = append(shown, message.Type)
	}
	if answers != 1 {
		t.Errorf("the page shows %d answers, want one", answers)
	}
	for _, event := range AllEvents {
		if !slices.Contains(shown, event) {
			t.Errorf("the page shows no message of %s", event)
		}
	}
}

// The code in docs/hooks.md is that of the example.
func TestCodeOfThePage(t *testing.T) {
	page, err := os.ReadFile("../docs/hooks.md")
	if err != nil {
		t.Fatal(err)
	}
	example, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	blocks := regexp.MustCompile("(?s)```go\n(.*?)```").FindAllSubmatch(page, -1)
	if len(blocks) != 1 {
		t.Fatalf("the page has %d blocks of Go, want one", len(blocks))
	}
	if code := regexp.MustCompile("(?m)^(.)").ReplaceAll(blocks[0][1], []byte("\t$1")); !bytes.Contains(example, code) {
		t.Errorf("the example lacks\n%s", code)
	}
}

// mustRepeat decodes a text, and fails if the value is encoded in another way.
func mustRepeat(t *testing.T, text []byte, value any) {
	t.Helper()
	var compact bytes.Buffer
	err := json.Compact(&compact, text)
	if err == nil {
		err = json.Unmarshal(text, value)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	if again, err := json.Marshal(value); err != nil || string(again) != compact.String() {
		t.Errorf("%v\nthe page has %s\n  want like %s", err, compact.Bytes(), again)
	}
}
