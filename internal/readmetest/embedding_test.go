//go:build unix

package readmetest

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// mounting is the line of README's program that its snippet with a mux replaces.
const mounting = `http.Handle("/files/", handler)`

func TestEmbedding(t *testing.T) {
	address := freeAddress(t)
	snippets := blocks(t, "go", 2) // the program, and the mounting on a mux
	program := build(t, snippets[0], address)

	t.Run("works", func(t *testing.T) {
		folder := t.TempDir()
		start(t, in(folder, program)).listening(t, address)
		if _, err := os.Stat(filepath.Join(folder, "uploads")); err != nil {
			t.Errorf("./uploads was not made: %v", err)
		}
		for range 20 {
			twoPatchesAtOnce(t, "http://"+address+"/files/")
		}
		second := start(t, in(folder, program))
		if said := second.mustFail(t); !strings.Contains(said, "unable to create handler: ") || !strings.Contains(said, "uploads") {
			t.Errorf("a second process on the directory said %q, want a refusal by NewHandler that names it", said)
		}
	})
	t.Run("reports errors", func(t *testing.T) {
		folder := t.TempDir()
		write(t, filepath.Join(folder, "uploads"), "")
		if said := start(t, in(folder, program)).mustFail(t); !strings.Contains(said, "unable to create handler: ") {
			t.Errorf("with a file at ./uploads the program said %q, want an error of NewHandler", said)
		}
	})
	t.Run("with its own mux", func(t *testing.T) {
		if strings.Count(snippets[0], mounting) != 1 {
			t.Fatalf("README's program does not mount the handler with %s", mounting)
		}
		program := build(t, strings.Replace(snippets[0], mounting, snippets[1], 1), address)
		start(t, in(t.TempDir(), program)).listening(t, address)
		twoPatchesAtOnce(t, "http://"+address+"/files/")
	})
}

func in(folder, program string) *exec.Cmd {
	command := exec.Command(program)
	command.Dir = folder
	return command
}

// build compiles a program of README as a module of its own, listening on
// address, and returns the executable.
func build(t *testing.T, source, address string) string {
	t.Helper()
	if strings.Count(source, `":8080"`) != 1 {
		t.Fatal(`README's program does not listen on ":8080"`)
	}
	folder := t.TempDir()
	write(t, filepath.Join(folder, "main.go"), strings.Replace(source, ":8080", address, 1))
	write(t, filepath.Join(folder, "go.mod"), embedderModule(t))
	sums, err := os.ReadFile(filepath.Join(checkout(t), "go.sum"))
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(folder, "go.sum"), string(sums))
	compile := exec.CommandContext(t.Context(), "go", "build", "-mod=mod", "-o", "embedding", ".")
	compile.Dir = folder
	compile.Env = append(os.Environ(), "GOPROXY=off") // all dependencies were downloaded for this module
	if output, err := compile.CombinedOutput(); err != nil {
		t.Fatalf("README's program does not compile: %v\n%s", err, output)
	}
	return filepath.Join(folder, "embedding")
}

// embedderModule returns the go.mod of a module that uses this checkout and the same
// versions of its dependencies.
func embedderModule(t *testing.T) string {
	t.Helper()
	ours, err := os.ReadFile(filepath.Join(checkout(t), "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(ours), "\n") // all but the module line
	return fmt.Sprintf("module example.com/embedding\n%s\nrequire github.com/tus/tusd v0.0.0\nreplace github.com/tus/tusd => %q\n",
		rest, checkout(t))
}

func write(t *testing.T, name, content string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(content), 0o666); err != nil {
		t.Fatal(err)
	}
}

// twoPatchesAtOnce sends two different contents for the same bytes of one upload: the
// server must accept exactly one and store it whole.
func twoPatchesAtOnce(t *testing.T, endpoint string) {
	t.Helper()
	const size = 4096
	upload := create(t, endpoint, size)
	contents := [2]string{strings.Repeat("a", size), strings.Repeat("b", size)}
	var statuses [2]chan int
	for i, content := range contents {
		statuses[i] = make(chan int, 1)
		go func() { statuses[i] <- patch(t, upload, content) }()
	}
	first, second := <-statuses[0], <-statuses[1]
	if (first == http.StatusNoContent) == (second == http.StatusNoContent) {
		t.Fatalf("two PATCHes at once: %d and %d, want exactly one 204", first, second)
	}
	want := contents[0]
	if second == http.StatusNoContent {
		want = contents[1]
	}
	if got := download(t, upload); got != want {
		t.Fatalf("the upload has %d bytes that begin with %.8q, want those of the PATCH with 204 (%.8q)", len(got), got, want)
	}
}

// create creates an upload and returns its URL.
func create(t *testing.T, endpoint string, length int) string {
	t.Helper()
	response := send(t, http.MethodPost, endpoint, nil, map[string]string{"Upload-Length": fmt.Sprint(length)})
	if response == nil || response.StatusCode != http.StatusCreated {
		t.Fatalf("POST: %+v, want 201", response)
	}
	return response.Header.Get("Location")
}

// patch sends content at offset 0 and returns the status, 0 if there was no answer.
func patch(t *testing.T, upload, content string) int {
	response := send(t, http.MethodPatch, upload, []byte(content), map[string]string{
		"Upload-Offset": "0",
		"Content-Type":  "application/offset+octet-stream",
	})
	if response == nil {
		return 0
	}
	return response.StatusCode
}

// send makes a request and returns the answer without its body, or nil.
func send(t *testing.T, method, url string, body []byte, header map[string]string) *http.Response {
	request, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Error(err)
		return nil
	}
	request.Header.Set("Tus-Resumable", "1.0.0")
	for name, value := range header {
		request.Header.Set(name, value)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Log(err)
		return nil
	}
	response.Body.Close()
	return response
}

func download(t *testing.T, upload string) string {
	t.Helper()
	response, err := http.Get(upload)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
