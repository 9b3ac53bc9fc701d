//go:build unix

package hooktest

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
)

// refusal is a HTTPResponse of a hook.
const refusal = `"HTTPResponse":{"StatusCode":413,"Body":"too large for you","Header":{"X-Why":"quota"}}`

// slowly returns a body of n bytes, of which one comes every few milliseconds.
func (s *server) slowly(n int) io.Reader {
	body, sender := io.Pipe()
	s.Cleanup(func() { sender.Close() })
	go func() {
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for range n {
			<-tick.C
			if _, err := sender.Write([]byte("x")); err != nil {
				return // the request has ended
			}
		}
		sender.Close()
	}()
	return body
}

// StopUpload ends the running request and removes the upload.
func TestStop(t *testing.T) {
	each(t, func(s *server) {
		s.answer(tusd.EventPostReceive, `{"StopUpload":true}`)
		url := s.create("Upload-Length: 1000000")
		s.patch(url, "0", s.slowly(1000000)).want(400).has("ERR_UPLOAD_STOPPED")
		s.terminated(s.idOf(url))
		s.send("HEAD", url, nil).want(404)

		s.answer(tusd.EventPostReceive, `{"StopUpload":true,`+refusal+`}`)
		url = s.create("Upload-Length: 1000000")
		s.patch(url, "0", s.slowly(1000000)).want(413).says("too large for you", "quota")
		s.terminated(s.idOf(url))
		s.send("HEAD", url, nil).want(404)

		s.wantNone(tusd.EventPreTerminate, tusd.EventPreFinish, tusd.EventPostFinish, tusd.EventPostExpire)
		for _, m := range s.of(tusd.EventPostTerminate) {
			if m.Event.Reason != tusd.RemovedByOperator || m.Event.Sequence != 3 {
				s.Errorf("%s", m.raw)
			}
		}
	})
}

// A stop that comes after the request removes the upload, too.
func TestStopAfterTheRequest(t *testing.T) {
	each(t, func(s *server) {
		s.answer(tusd.EventPostReceive, `{"StopUpload":true,`+refusal+`}`)
		url := s.create("Upload-Length: 10")
		s.patch(url, "0", strings.NewReader("hello"))
		s.terminated(s.idOf(url))
		s.send("HEAD", url, nil).want(404)
		s.wantNone(tusd.EventPreTerminate)
		if n := len(s.of(tusd.EventPostTerminate)); n != 1 {
			s.Errorf("%d post-terminate", n)
		}
	})
}

func TestRejectUpload(t *testing.T) {
	each(t, func(s *server) {
		s.answer(tusd.EventPreCreate, `{"RejectUpload":true}`)
		s.send("POST", s.url, nil, "Upload-Length: 10").want(400).has("ERR_UPLOAD_REJECTED")
		s.answer(tusd.EventPreCreate, `{"RejectUpload":true,`+refusal+`}`)
		s.send("POST", s.url, nil, "Upload-Length: 10").want(413).says("too large for you", "quota")
		if n := len(s.of(tusd.EventPreCreate)); n != 2 {
			s.Errorf("%d pre-create", n)
		}
		// The next upload shows that there was no event of the two others.
		s.answer(tusd.EventPreCreate, `{}`)
		url := s.create("Upload-Length: 10")
		s.send("DELETE", url, nil).want(204)
		s.terminated(s.idOf(url))
		if n := len(s.of(tusd.EventPostCreate)); n != 1 {
			s.Errorf("%d post-create", n)
		}
	})
}

func TestRejectTermination(t *testing.T) {
	each(t, func(s *server) {
		url := s.create("Upload-Length: 10")
		s.answer(tusd.EventPreTerminate, `{"RejectTermination":true}`)
		s.send("DELETE", url, nil).want(400).has("ERR_UPLOAD_TERMINATION_REJECTED")
		s.answer(tusd.EventPreTerminate, `{"RejectTermination":true,`+refusal+`}`)
		s.send("DELETE", url, nil).want(413).says("too large for you", "quota")
		s.send("HEAD", url, nil).want(200)
		s.wantNone(tusd.EventPostTerminate)

		s.answer(tusd.EventPreTerminate, `{"HTTPResponse":{"StatusCode":200,"Body":"gone","Header":{"X-Why":"asked"}}}`)
		s.send("DELETE", url, nil).want(200).says("gone", "asked")
		s.terminated(s.idOf(url))
	})
}

// An upload that pre-finish has refused stays refused, with the answer of the hook.
func TestRejectCompletion(t *testing.T) {
	each(t, func(s *server) {
		s.answer(tusd.EventPreFinish, `{`+refusal+`}`)
		url := s.create("Upload-Length: 5")
		s.patch(url, "0", strings.NewReader("hello")).want(413).says("too large for you", "quota")
		s.answer(tusd.EventPreFinish, `{}`)
		s.patch(url, "5", nil).want(413).says("too large for you", "quota")
		s.send("HEAD", url, nil).want(413)
		s.send("GET", url, nil).want(413)
		s.send("DELETE", url, nil).want(204)
		s.terminated(s.idOf(url))
		if n := len(s.of(tusd.EventPreFinish)); n != 1 {
			s.Errorf("%d pre-finish", n)
		}
		s.wantNone(tusd.EventPostFinish)
	})
}

// pre-create chooses id, metadata, path and owner, and the answer to the client.
func TestChangesOfANewUpload(t *testing.T) {
	each(t, func(s *server) {
		s.answer(tusd.EventPreCreate, `{"ChangeFileInfo":{"ID":"chosen/id","MetaData":{"a":"b"},"Storage":{"Path":"videos/one.bin"},"Owner":"alice"},`+
			`"HTTPResponse":{"StatusCode":202,"Body":"welcome","Header":{"X-Why":"new","Location":"/other","Upload-Offset":"7"}}}`)
		r := s.send("POST", s.url, nil, "Upload-Length: 5", "Upload-Metadata: c ZA==").want(202).says("welcome", "new")
		url := s.url + "chosen/id"
		if r.Header.Get("Location") != url || r.Header.Get("Upload-Offset") != "" {
			s.Errorf("%q", r.Header)
		}
		s.patch(url, "0", strings.NewReader("hello")).want(204)
		if got := s.send("HEAD", url, nil).want(200).Header.Get("Upload-Metadata"); got != "a Yg==" {
			s.Errorf("metadata %q", got)
		}
		path := filepath.Join(s.uploads, "videos", "one.bin")
		if content, err := os.ReadFile(path); err != nil || string(content) != "hello" {
			s.Errorf("%q, %v", content, err)
		}
		s.send("DELETE", url, nil).want(204)
		s.terminated("chosen/id")
		for _, event := range []tusd.EventType{tusd.EventPostCreate, tusd.EventPreFinish, tusd.EventPostFinish, tusd.EventPreTerminate, tusd.EventPostTerminate} {
			got := s.of(event)
			if len(got) != 1 || got[0].Event.Upload.ID != "chosen/id" || got[0].Event.Upload.Owner != "alice" || got[0].Event.Upload.MetaData["a"] != "b" || got[0].Event.Upload.Storage["Path"] != path {
				s.Errorf("%s: %+v", event, got)
			}
		}
	})
}

// An empty object removes the client's metadata; a missing one keeps it.
func TestChangeOfMetadata(t *testing.T) {
	each(t, func(s *server) {
		for answer, want := range map[string]string{
			`{"ChangeFileInfo":{"MetaData":{}}}`: "", `{"ChangeFileInfo":{}}`: "c ZA==", `{"ChangeFileInfo":{"MetaData":null}}`: "c ZA==",
		} {
			s.answer(tusd.EventPreCreate, answer)
			url := s.create("Upload-Length: 5", "Upload-Metadata: c ZA==")
			if got := s.send("HEAD", url, nil).want(200).Header.Get("Upload-Metadata"); got != want {
				s.Errorf("%s: %q, want %q", answer, got, want)
			}
		}
	})
}

// A change that cannot be refuses the creation. No upload is left.
func TestChangesThatCannotBe(t *testing.T) {
	each(t, func(s *server) {
		for answer, want := range map[string]string{
			`{"ChangeFileInfo":{"ID":"../../etc/passwd"}}`:                    "ERR_INVALID_UPLOAD_NAME",
			`{"ChangeFileInfo":{"Storage":{"Path":"../../etc/passwd"}}}`:      "ERR_INVALID_UPLOAD_NAME",
			`{"ChangeFileInfo":{"Storage":{"Path":"/etc/passwd"}}}`:           "ERR_INVALID_UPLOAD_NAME",
			`{"ChangeFileInfo":{"MetaData":{"a key with spaces":"a value"}}}`: "ERR_INVALID_METADATA",
		} {
			s.answer(tusd.EventPreCreate, answer)
			s.send("POST", s.url, nil, "Upload-Length: 5").want(400).has(want)
		}
		s.wantNone(tusd.EventPostCreate)
	})
}

// pre-finish changes the answer to the last request. A page of another origin can read its
// header if the hook says so.
func TestAnswerOfCompletion(t *testing.T) {
	each(t, func(s *server) {
		s.answer(tusd.EventPreFinish, `{"HTTPResponse":{"StatusCode":200,"Body":"processed","Header":{"X-Why":"scan","Access-Control-Expose-Headers":"X-Why","Access-Control-Allow-Origin":"https://evil.example"}}}`)
		url := s.create("Upload-Length: 5")
		r := s.patch(url, "0", strings.NewReader("hello"), "Origin: https://a.example").want(200).says("processed", "scan")
		exposed := strings.Split(r.Header.Get("Access-Control-Expose-Headers"), ", ")
		if r.Header.Get("Upload-Offset") != "5" || r.Header.Get("Access-Control-Allow-Origin") != "https://a.example" || exposed[0] != "Upload-Offset" || exposed[len(exposed)-1] != "X-Why" {
			s.Errorf("%q", r.Header)
		}
		s.send("HEAD", url, nil).want(200)
	})
}

func TestAccess(t *testing.T) {
	each(t, func(s *server) {
		url := s.create("Upload-Length: 10")
		s.wantNone(tusd.EventPreAccess)
		s.answer(tusd.EventPreAccess, `{"RejectAccess":true}`)
		s.send("GET", url, nil).want(403).has("ERR_ACCESS_DENIED")
		s.answer(tusd.EventPreAccess, `{"HTTPResponse":{"StatusCode":401,"Body":"who are you?","Header":{"X-Why":"no token","WWW-Authenticate":"Bearer"}}}`)
		if r := s.patch(url, "0", strings.NewReader("hello")).want(401).says("who are you?", "no token"); r.Header.Get("WWW-Authenticate") != "Bearer" {
			s.Errorf("%q", r.Header)
		}
		asked := len(s.of(tusd.EventPreAccess))
		s.answer(tusd.EventPreAccess, `{"AllowSeconds":3600}`)
		s.patch(url, "0", strings.NewReader("hello"), "Authorization: a").want(204)
		s.patch(url, "5", strings.NewReader("hello"), "Authorization: a").want(204)
		s.patch(url, "10", nil, "Authorization: b")
		if n := len(s.of(tusd.EventPreAccess)) - asked; asked != 2 || n != 2 { // for a once, and for b
			s.Errorf("%d, then %d pre-access", asked, n)
		}
	})
}
