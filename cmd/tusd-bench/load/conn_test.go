package load

import (
	"bufio"
	"net"
	"strings"
	"testing"
)

// receiveFrom receives the answers to requests from a server that sends text.
func receiveFrom(t *testing.T, text string, methods ...string) (answers []Answer, err error) {
	t.Helper()
	ours, theirs := net.Pipe()
	defer ours.Close()
	go func() {
		defer theirs.Close()
		theirs.Write([]byte(text)) // if it fails, the test sees a short answer
	}()
	c := &Conn{net: ours, in: bufio.NewReader(ours)}
	for _, method := range methods {
		a, err := c.receive(method)
		if err != nil {
			return answers, err
		}
		answers = append(answers, a)
	}
	return answers, nil
}

func TestAnswers(t *testing.T) {
	text := "HTTP/1.1 104 Upload Resumption Supported\r\nUpload-Offset: 1\r\n\r\n" +
		"HTTP/1.1 201 Created\r\nLOCATION:  http://h/files/a \r\nContent-Length: 5\r\n\r\nhello" +
		"HTTP/1.1 200 OK\r\nupload-offset: 4611686018427387904\r\nUpload-Length: 0\r\nContent-Length: 99\r\n\r\n" +
		"HTTP/1.0 204 No Content\r\nUpload-Offset: 7\r\nConnection: close\r\n\r\n"
	answers, err := receiveFrom(t, text, "POST", "HEAD", "PATCH")
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Answer{
		{Status: 201, Location: "http://h/files/a", Offset: -1, Length: -1, bodyLength: 5},
		{Status: 200, Offset: 1 << 62, Length: 0, bodyLength: 99},
		{Status: 204, Offset: 7, Length: -1, bodyLength: -1, closes: true},
	} {
		if answers[i] != want {
			t.Errorf("%+v, want %+v", answers[i], want)
		}
	}
}

// After an answer without a length the connection is not used again.
func TestAnswerWithoutLength(t *testing.T) {
	answers, err := receiveFrom(t, "HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", "PATCH")
	if err != nil || !answers[0].closes {
		t.Errorf("%+v, %v, want a connection that is not used again", answers, err)
	}
}

func TestBrokenAnswers(t *testing.T) {
	for _, text := range []string{
		"", "HTTP/1.1 200 OK\r\n", "SSH-2.0-OpenSSH_9.6 Debian\r\n\r\n", "HTTP/1.1 2x0 OK\r\n\r\n",
		"HTTP/1.1 204 No Content\r\nUpload-Offset: many\r\n\r\n", "HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\nshort",
		"HTTP/1.1 200 " + strings.Repeat("x", 5000),
	} {
		if answers, err := receiveFrom(t, text, "PATCH"); err == nil {
			t.Errorf("%.40q was parsed as %+v", text, answers)
		}
	}
}
