package cli

import (
	"bytes"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
)

// readBody is a body without WriteTo.
type readBody struct{ io.Reader }

func (readBody) Close() error { return nil }

// writtenBody is a body with WriteTo. It counts the bytes of its Reads.
type writtenBody struct {
	*bytes.Reader
	read int
}

func (*writtenBody) Close() error { return nil }

func (b *writtenBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	b.read += n
	return n, err
}

// A body with WriteTo is sent by it, without a copy. Only the bytes that are sent
// together with the header are read.
func TestBodiesOfS3AreNotCopied(t *testing.T) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 256<<10)
	var got []byte
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got, _ = io.ReadAll(r.Body) // a short body fails the comparison
	}))
	defer server.Close()
	client := http.Client{Transport: newS3Transport(1)}
	defer client.CloseIdleConnections()
	written := &writtenBody{Reader: bytes.NewReader(content)}
	for _, body := range []io.ReadCloser{readBody{bytes.NewReader(content)}, written} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPut, server.URL, body)
		if err != nil {
			t.Fatal(err)
		}
		r.ContentLength = int64(len(content))
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		answer.Body.Close()
		if !bytes.Equal(got, content) {
			t.Errorf("%T: %d bytes have arrived, want %d, the same", body, len(got), len(content))
		}
	}
	if written.read > 64<<10 {
		t.Errorf("%d bytes were read to be sent", written.read)
	}
}
