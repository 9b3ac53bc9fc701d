//go:build linux

package hostiletest

import (
	"bufio"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestHiddenRequests sends requests whose end is ambiguous, followed by a request that a
// server with the other reading would serve.
func TestHiddenRequests(t *testing.T) {
	const hidden = "HEAD /metrics HTTP/1.1\r\nHost: hidden\r\n\r\n"
	t.Parallel()
	to := onFiles(t)
	a := newAttacker(t.Context(), t, to)
	path, err := a.create(10000)
	if err != nil {
		t.Fatal(err)
	}
	patch := "PATCH " + path + " HTTP/1.0\r\nTus-Resumable: 1.0.0\r\n" + offsetStream + "\r\nUpload-Offset: 0\r\nConnection: keep-alive\r\n"
	modern := strings.Replace(patch, "HTTP/1.0", "HTTP/1.1\r\nHost: a", 1)
	for name, text := range map[string]string{
		"HTTP/1.0 with both lengths":       patch + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"HTTP/1.0 in chunks":               patch + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"HTTP/1.0 with a length":           patch + "Content-Length: 5\r\n\r\nhallo" + hidden,
		"HTTP/1.0 GET with a length":       "GET /metrics HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"both lengths":                     modern + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"two lengths":                      modern + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhallo" + hidden,
		"an unknown coding":                modern + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + hidden,
		"a coding with a tab":              modern + "Transfer-Encoding:\tchunked\x0b\r\n\r\n0\r\n\r\n" + hidden,
		"a length with a sign":             modern + "Content-Length: +5\r\n\r\nhallo" + hidden,
		"a length behind a space":          modern + "Content-Length : 5\r\n\r\nhallo" + hidden,
		"a chunk ended by a line feed":     modern + "Transfer-Encoding: chunked\r\n\r\n5\nhallo\n0\n\n" + hidden,
		"a chunk that is too long":         modern + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nhallo\r\n0\r\n\r\n" + hidden,
		"HTTP/1.1 metrics in both lengths": "POST /metrics HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
	} {
		t.Run(name, func(t *testing.T) {
			conn, err := a.sendText(text)
			if err != nil {
				t.Fatal(err)
			}
			defer a.close(conn)
			answers := bufio.NewReader(conn)
			first, err := http.ReadResponse(answers, &http.Request{Method: "PATCH"})
			if err != nil {
				return // the first one was not served either
			}
			io.Copy(io.Discard, first.Body)
			conn.SetReadDeadline(time.Now().Add(waitTimeout))
			if second, err := http.ReadResponse(answers, &http.Request{Method: "HEAD"}); err == nil {
				t.Errorf("answers %s and %s: the hidden request was served", first.Status, second.Status)
			}
		})
	}
}
