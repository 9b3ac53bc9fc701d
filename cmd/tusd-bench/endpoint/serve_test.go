package endpoint

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestEndpoint(t *testing.T) {
	const delay = 50 * time.Millisecond
	url := serve(t, "-delay", delay.String())
	began := time.Now()
	answer, err := http.Post(url, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if body, err := io.ReadAll(answer.Body); string(body) != "{}" || err != nil || answer.StatusCode != http.StatusOK {
		t.Errorf("the answer is %d, %q, %v", answer.StatusCode, body, err)
	}
	if took := time.Since(began); took < delay {
		t.Errorf("the answer comes after %v, want %v", took, delay)
	}
}

func TestNeverAnswer(t *testing.T) {
	url := serve(t, "-hang")
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	if answer, err := http.DefaultClient.Do(request); err == nil {
		answer.Body.Close()
		t.Errorf("the answer is %d, want none", answer.StatusCode)
	}
}

// serve runs the endpoint until the end of the test, and returns its URL.
func serve(t *testing.T, args ...string) (url string) {
	reader, writer := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- Serve(ctx, args, writer) }()
	line, err := bufio.NewReader(reader).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	if _, err := fmt.Sscanf(line, "You can now upload files to: %s\n", &url); err != nil {
		t.Fatalf("%q: %v", line, err)
	}
	return url
}
