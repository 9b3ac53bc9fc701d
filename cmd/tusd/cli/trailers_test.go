package cli

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/wire"
)

// The daemon hands on the server's own request, in which unannounced trailers appear.
func TestUnannouncedTrailers(t *testing.T) {
	d := start(t)
	const right = "Upload-Checksum: sha1 Kq5sNclPz7QV2+lfQIuc6R7oRu0=" // of "hello world"
	base := strings.TrimSuffix(d.url, "/files/")
	send := func(method, target string, content []byte, header []string, trailer ...string) *wire.Response {
		t.Helper()
		conn, err := wire.DialHTTP1(strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		r := wire.Request{Method: method, Target: target, Header: append(header, "Tus-Resumable: 1.0.0"), Length: wire.Unknown}
		if content == nil {
			r.Length = 0
		}
		s, err := conn.Open(r)
		if err == nil && content != nil {
			if _, err = s.Write(content); err == nil {
				err = s.CloseWrite(trailer...)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
		<-s.Done()
		answer, err := s.Response()
		if err != nil {
			t.Fatal(err)
		}
		return answer
	}
	path := strings.TrimPrefix(send(http.MethodPost, "/files/", nil, []string{"Upload-Length: 100"}).Header.Get("Location"), base)
	for _, c := range []struct {
		content string
		status  int
		offset  string
	}{{"hello wOrld", 460, "0"}, {"hello world", 204, "11"}, {"hello wOrld", 460, "11"}, {"hello world", 204, "22"}} {
		at := send(http.MethodHead, path, nil, nil).Header.Get("Upload-Offset")
		header := []string{"Content-Type: application/offset+octet-stream", fmt.Sprintf("Upload-Offset: %s", at)}
		if got := send(http.MethodPatch, path, []byte(c.content), header, right).Status; got != c.status {
			t.Errorf("%q at %s: status %d, want %d", c.content, at, got, c.status)
		}
		if got := send(http.MethodHead, path, nil, nil).Header.Get("Upload-Offset"); got != c.offset {
			t.Errorf("%q: the offset is %s, want %s", c.content, got, c.offset)
		}
	}
}
