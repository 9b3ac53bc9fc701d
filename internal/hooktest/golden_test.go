//go:build unix

package hooktest

import (
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/hooks"
)

const goldenID = "24e533e02ec3bc40c387f1a0e460e216"

// TestGolden holds the messages about all events, byte for byte up to the end of what tusd v2
// sends, against testdata/messages.golden: what an endpoint reads as body and an executable as
// its standard input. What differs from run to run is replaced: the folder of the store and the
// address of the client.
func TestGolden(t *testing.T) {
	text, err := os.ReadFile("testdata/messages.golden")
	if err != nil {
		t.Fatal(err)
	}
	for _, transport := range transports[:2] {
		t.Run(transport.name, func(t *testing.T) {
			s := serve(t, transport.connect)
			s.makeGoldenEvents()
			got := make(map[tusd.EventType][]string)
			for _, m := range s.messages() {
				got[m.Type] = append(got[m.Type], s.ofV2(m))
			}
			want := make(map[tusd.EventType][]string)
			for line := range strings.Lines(string(text)) {
				event, _, _ := strings.Cut(strings.TrimPrefix(line, `{"Type":"`), `"`)
				want[tusd.EventType(event)] = append(want[tusd.EventType(event)], strings.TrimSuffix(line, "\n"))
			}
			for _, event := range hooks.AllEvents {
				slices.Sort(got[event]) // those of different uploads have no order
				slices.Sort(want[event])
				if g, w := strings.Join(got[event], "\n"), strings.Join(want[event], "\n"); g != w || w == "" {
					s.Errorf("%s\n got %s\nwant %s", event, g, w)
				}
			}
		})
	}
}

// makeGoldenEvents makes the requests of testdata/messages.golden.
func (s *server) makeGoldenEvents() {
	s.Helper()
	send := func(method, url, body, header string) *http.Response {
		r, err := http.NewRequestWithContext(s.Context(), method, url, strings.NewReader(body))
		if err != nil {
			s.Fatal(err)
		}
		r.Host = "uploads.example.org"
		r.Header = http.Header{"Tus-Resumable": {"1.0.0"}, "User-Agent": {"golden/1"}, "Accept-Encoding": {"identity"}, "X-Tenant": {"a", "b"}}
		for field := range strings.SplitSeq(header, "; ") {
			name, value, _ := strings.Cut(field, ": ")
			r.Header.Set(name, value)
		}
		res, err := http.DefaultClient.Do(r)
		if err != nil || res.StatusCode > 299 {
			s.Fatal(res, err)
		}
		res.Body.Close()
		return res
	}
	s.answer(tusd.EventPreCreate, `{"ChangeFileInfo":{"ID":"`+goldenID+`"}}`)
	url := s.url + goldenID
	send("POST", s.url+"?a=b", "", "Upload-Length: 11; Upload-Metadata: filename aGVsbG8gPHdvcmxkPi50eHQ=,empty")
	send("PATCH", url, "hello world", "Upload-Offset: 0; Content-Type: application/offset+octet-stream")
	send("POST", url, "", "X-HTTP-Method-Override: DELETE")
	s.terminated(goldenID)

	s.answer(tusd.EventPreCreate, `{"ChangeFileInfo":{"ID":"partial"}}`)
	send("POST", s.url, "", "Upload-Length: 0; Upload-Concat: partial")
	s.answer(tusd.EventPreCreate, `{"ChangeFileInfo":{"ID":"final"}}`)
	send("POST", s.url, "", "Upload-Concat: final;/files/partial")
	s.eventually("post-finish of all", func() bool { return len(s.of(tusd.EventPostFinish)) == 3 })

	s.answer(tusd.EventPreCreate, `{"ChangeFileInfo":{"ID":"expired"}}`)
	send("POST", s.url, "", "Upload-Defer-Length: 1")
	s.eventually("post-create of all", func() bool { return len(s.of(tusd.EventPostCreate)) == 4 })
	s.eventually("post-expire", func() bool {
		policy := tusd.SweepPolicy{Ages: map[tusd.UploadClass]time.Duration{tusd.ClassNeverStarted: 1}, OnlyWriter: true, Rate: -1}
		if _, err := s.Sweep(s.Context(), policy); err != nil {
			s.Fatal(err)
		}
		return len(s.of(tusd.EventPostExpire)) == 1
	})
}

var (
	clientAddress = regexp.MustCompile(`"RemoteAddr":"127\.0\.0\.1:[0-9]+"`)
	fieldsOfOurs  = regexp.MustCompile(`,"(ID|Reason)":.*`)
)

// ofV2 returns what tusd v2 sends of a message: our fields are behind the others.
func (s *server) ofV2(m message) string {
	s.Helper()
	i := strings.Index(m.raw, `"HTTPRequest":`)
	if i < 0 {
		s.Fatal(m.raw)
	}
	text := m.raw[:i] + fieldsOfOurs.ReplaceAllString(m.raw[i:], "}}")
	text = strings.ReplaceAll(text, s.uploads, "/srv/uploads")
	return clientAddress.ReplaceAllString(text, `"RemoteAddr":"192.0.2.7:50112"`)
}
