//go:build unix

package hooktest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/tus/tusd"
)

// history returns the post events of an upload in the order in which they came, and the pre
// events, without pre-create, which has no id, and pre-access. Of post-receive, only what the
// last one says is kept.
func (s *server) history(id string) (post, pre []string) {
	s.Helper()
	for _, m := range s.messages() {
		u := m.Event.Upload
		if u.ID != id || m.Type == tusd.EventPreAccess {
			continue
		}
		text := fmt.Sprintf("%s %d/%d", m.Type, u.Offset, u.Size)
		for flag, set := range map[string]bool{"deferred": u.SizeIsDeferred, "partial": u.IsPartial, "final": u.IsFinal} {
			if set {
				text += " " + flag
			}
		}
		if len(u.PartialUploads) > 0 {
			text += fmt.Sprintf(" of %d", len(u.PartialUploads))
		}
		last := len(post) - 1
		switch {
		case strings.HasPrefix(text, "pre-"):
			pre = append(pre, text)
		case last >= 0 && m.Type == tusd.EventPostReceive && strings.HasPrefix(post[last], string(m.Type)):
			post[last] = text
		default:
			post = append(post, text)
		}
	}
	return post, pre
}

// Each event comes once, in order, and says what kind of upload it is about.
func TestEvents(t *testing.T) {
	ietf := []string{"Tus-Resumable: ", "Upload-Draft-Interop-Version: 8"}
	for name, c := range map[string]struct {
		upload func(s *server) (url string)
		post   []string
		pre    []string
	}{
		"zero bytes": {
			func(s *server) string { return s.create("Upload-Length: 0") },
			[]string{"post-create 0/0", "post-finish 0/0", "post-terminate 0/0"},
			[]string{"pre-finish 0/0", "pre-terminate 0/0"},
		},
		"creation with upload": {
			func(s *server) string {
				return s.send("POST", s.url, strings.NewReader("hello"), "Upload-Length: 5", "Content-Type: application/offset+octet-stream").want(201).Header.Get("Location")
			},
			[]string{"post-create 0/5", "post-receive 5/5", "post-finish 5/5", "post-terminate 5/5"},
			[]string{"pre-finish 5/5", "pre-terminate 5/5"},
		},
		"creation with a part": {
			func(s *server) string {
				url := s.send("POST", s.url, strings.NewReader("he"), "Upload-Length: 5", "Content-Type: application/offset+octet-stream").want(201).Header.Get("Location")
				s.patch(url, "2", strings.NewReader("llo")).want(204)
				return url
			},
			[]string{"post-create 0/5", "post-receive 5/5", "post-finish 5/5", "post-terminate 5/5"},
			[]string{"pre-finish 5/5", "pre-terminate 5/5"},
		},
		"unfinished": {
			func(s *server) string {
				url := s.create("Upload-Length: 5")
				s.patch(url, "0", strings.NewReader("he")).want(204)
				return url
			},
			[]string{"post-create 0/5", "post-receive 2/5", "post-terminate 2/5"},
			[]string{"pre-terminate 2/5"},
		},
		"deferred length": {
			func(s *server) string {
				url := s.create("Upload-Defer-Length: 1")
				s.patch(url, "0", strings.NewReader("hello"), "Upload-Length: 5").want(204)
				return url
			},
			[]string{"post-create 0/0 deferred", "post-receive 5/5", "post-finish 5/5", "post-terminate 5/5"},
			[]string{"pre-finish 5/5", "pre-terminate 5/5"},
		},
		"deferred length of zero bytes": {
			func(s *server) string {
				url := s.create("Upload-Defer-Length: 1")
				s.patch(url, "0", nil, "Upload-Length: 0").want(204)
				return url
			},
			[]string{"post-create 0/0 deferred", "post-finish 0/0", "post-terminate 0/0"},
			[]string{"pre-finish 0/0", "pre-terminate 0/0"},
		},
		"partial": {
			func(s *server) string {
				url := s.create("Upload-Length: 5", "Upload-Concat: partial")
				s.patch(url, "0", strings.NewReader("hello")).want(204)
				return url
			},
			[]string{"post-create 0/5 partial", "post-receive 5/5 partial", "post-finish 5/5 partial", "post-terminate 5/5 partial"},
			[]string{"pre-finish 5/5 partial", "pre-terminate 5/5 partial"},
		},
		"final": {
			func(s *server) string {
				partial := s.create("Upload-Length: 5", "Upload-Concat: partial")
				s.patch(partial, "0", strings.NewReader("hello")).want(204)
				return s.create("Upload-Concat: final;" + partial + " " + partial)
			},
			[]string{"post-create 0/10 final of 2", "post-finish 10/10 final of 2", "post-terminate 10/10 final of 2"},
			[]string{"pre-finish 10/10 final of 2", "pre-terminate 10/10 final of 2"},
		},
		"final of partials that come later": {
			func(s *server) string {
				partial := s.create("Upload-Length: 5", "Upload-Concat: partial")
				url := s.create("Upload-Concat: final;" + partial)
				s.patch(partial, "0", strings.NewReader("hello")).want(204)
				s.eventually("the final is complete", func() bool { return s.send("HEAD", url, nil).Header.Get("Upload-Offset") == "5" })
				return url
			},
			[]string{"post-create 0/5 final of 1", "post-finish 5/5 final of 1", "post-terminate 5/5 final of 1"},
			[]string{"pre-finish 5/5 final of 1", "pre-terminate 5/5 final of 1"},
		},
		"IETF, complete": {
			func(s *server) string {
				return s.send("POST", s.url, strings.NewReader("hello"), append(ietf, "Upload-Complete: ?1")...).want(201).Header.Get("Location")
			},
			[]string{"post-create 0/5", "post-receive 5/5", "post-finish 5/5", "post-terminate 5/5"},
			[]string{"pre-finish 5/5", "pre-terminate 5/5"},
		},
		"IETF, a length is announced": {
			func(s *server) string {
				return s.create(append(ietf, "Upload-Complete: ?0", "Upload-Length: 5")...)
			},
			[]string{"post-create 0/5", "post-terminate 0/5"},
			[]string{"pre-terminate 0/5"},
		},
		"IETF, completed without content": {
			func(s *server) string {
				url := s.send("POST", s.url, strings.NewReader("hello"), append(ietf, "Upload-Complete: ?0")...).want(201).Header.Get("Location")
				s.send("PATCH", url, nil, append(ietf, "Upload-Offset: 5", "Upload-Complete: ?1", "Content-Type: application/partial-upload")...).want(204)
				return url
			},
			[]string{"post-create 0/0 deferred", "post-receive 5/0 deferred", "post-finish 5/5", "post-terminate 5/5"},
			[]string{"pre-finish 5/5", "pre-terminate 5/5"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			each(t, func(s *server) {
				url := c.upload(s)
				s.send("DELETE", url, nil).want(204)
				s.terminated(s.idOf(url))
				if post, pre := s.history(s.idOf(url)); !slices.Equal(post, c.post) || !slices.Equal(pre, c.pre) {
					s.Errorf("\n got %q, %q\nwant %q, %q", post, pre, c.post, c.pre)
				}
				s.wantOnce(s.idOf(url))
			})
		})
	}
}

// wantOnce checks the ids and the sequence of the post events of an upload.
func (s *server) wantOnce(id string) {
	s.Helper()
	sequence := map[tusd.EventType]int{tusd.EventPostCreate: 1, tusd.EventPostFinish: 2, tusd.EventPostTerminate: 3}
	ids := make(map[string]bool)
	for _, m := range s.messages() {
		if m.Event.Upload.ID != id || !strings.HasPrefix(string(m.Type), "post-") {
			continue
		}
		if ids[m.Event.ID] || m.Event.ID == "" || m.Event.Attempt != 1 || m.Event.Sequence != sequence[m.Type] {
			s.Errorf("it comes twice, or has another sequence: %s", m.raw)
		}
		ids[m.Event.ID] = true
	}
}
