package main

import (
	"bytes"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// client returns a client with a timeout.
func client() *http.Client { return &http.Client{Timeout: testTimeout} }

// cmdFill is "fill FILE BYTES": writes a file of random bytes.
func cmdFill(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: fill FILE BYTES")
	}
	size, err := strconv.Atoi(args[1])
	ts.Check(err)
	content := make([]byte, size)
	rand.NewChaCha8([32]byte{}).Read(content)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), content, 0o644))
}

// cmdHTTP is "http METHOD URL ['Header: value'...] [@FILE]": sends a tus
// request, with FILE as its body, and writes the answer to stdout. $ID is set to
// the last segment of the Location.
func cmdHTTP(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: http METHOD URL ['Header: value'...] [@FILE]")
	}
	resp, err := client().Do(newRequest(ts, args[0], args[1], args[2:]))
	if neg {
		if err == nil {
			ts.Fatalf("%s %s was answered: %s", args[0], args[1], resp.Status)
		}
		return
	}
	ts.Check(err)
	writeAnswer(ts, resp)
}

func newRequest(ts *testscript.TestScript, method, url string, args []string) *http.Request {
	var body []byte
	header := http.Header{"Tus-Resumable": {"1.0.0"}}
	for _, arg := range args {
		if file, ok := strings.CutPrefix(arg, "@"); ok {
			body = []byte(ts.ReadFile(file))
			header.Set("Content-Type", "application/offset+octet-stream")
			continue
		}
		name, value, _ := strings.Cut(arg, ": ")
		header.Set(name, value)
	}
	req, err := http.NewRequest(method, url, bytes.NewReader(body))
	ts.Check(err)
	req.Header = header
	return req
}

func writeAnswer(ts *testscript.TestScript, resp *http.Response) {
	defer resp.Body.Close()
	fmt.Fprintln(ts.Stdout(), resp.Status)
	ts.Check(resp.Header.Write(ts.Stdout()))
	_, err := io.Copy(ts.Stdout(), resp.Body)
	ts.Check(err)
	if location := resp.Header.Get("Location"); location != "" {
		ts.Setenv("ID", path.Base(location))
	}
}

// cmdResume is "resume URL @FILE": requests the offset, sends the rest of FILE in
// one PATCH, and writes its answer to stdout.
func cmdResume(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: resume URL @FILE")
	}
	resp, err := client().Do(newRequest(ts, http.MethodHead, args[0], nil))
	ts.Check(err)
	resp.Body.Close()
	offset, err := strconv.Atoi(resp.Header.Get("Upload-Offset"))
	ts.Check(err)
	patch := newPatch(ts, args[0], offset, strings.NewReader(ts.ReadFile(args[1][1:])[offset:]))
	resp, err = client().Do(patch)
	ts.Check(err)
	writeAnswer(ts, resp)
}

func newPatch(ts *testscript.TestScript, url string, offset int, body io.Reader) *http.Request {
	req, err := http.NewRequest(http.MethodPatch, url, body)
	ts.Check(err)
	req.Header.Set("Tus-Resumable", "1.0.0")
	req.Header.Set("Upload-Offset", strconv.Itoa(offset))
	req.Header.Set("Content-Type", "application/offset+octet-stream")
	return req
}

// cmdDownload is "download URL FILE".
func cmdDownload(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: download URL FILE")
	}
	resp, err := client().Get(args[0])
	ts.Check(err)
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		ts.Fatalf("GET %s: %s", args[0], resp.Status)
	}
	content, err := io.ReadAll(resp.Body)
	ts.Check(err)
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), content, 0o644))
}

// cmdStallDownload is "stalldownload URL": begins a download and stops reading, so
// that a shutdown waits for it.
func cmdStallDownload(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: stalldownload URL")
	}
	resp, err := (&http.Client{}).Get(args[0])
	ts.Check(err)
	ts.Defer(func() { resp.Body.Close() })
	_, err = io.ReadFull(resp.Body, make([]byte, 1))
	ts.Check(err)
}

// cmdStall is "stall URL @FILE": begins a PATCH at offset 0 that sends FILE
// and then neither more nor its end. "answered" waits for its answer.
func cmdStall(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: stall URL @FILE")
	}
	content := ts.ReadFile(args[1][1:])
	read, write := io.Pipe()
	patch := newPatch(ts, args[0], 0, read)
	stalled := &stalledPatch{done: make(chan struct{})}
	go func() {
		defer close(stalled.done)
		stalled.answer, stalled.err = client().Do(patch)
	}()
	go io.WriteString(write, content) // fails after an early answer
	ts.Defer(func() { write.Close() })
	stateOf(ts).stalled = stalled
}

// cmdAnswered is "answered": writes the answer to the stalled PATCH to stdout.
func cmdAnswered(ts *testscript.TestScript, _ bool, _ []string) {
	stalled := stateOf(ts).stalled
	select {
	case <-stalled.done:
	case <-time.After(testTimeout): // a closed connection is noticed only by a write of the body
		ts.Fatalf("the stalled PATCH was not answered")
	}
	ts.Check(stalled.err)
	writeAnswer(ts, stalled.answer)
}

// cmdStored is "stored DIR BYTES": waits until the uploads in DIR have together at least
// so many bytes.
func cmdStored(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: stored DIR BYTES")
	}
	want, err := strconv.ParseInt(args[1], 10, 64)
	ts.Check(err)
	for deadline := time.Now().Add(testTimeout); storedBytes(ts, args[0]) < want; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s has only %d bytes", args[0], storedBytes(ts, args[0]))
		}
	}
}

func storedBytes(ts *testscript.TestScript, dir string) (sum int64) {
	err := filepath.WalkDir(ts.MkAbs(dir), func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || strings.HasSuffix(name, ".info") {
			return err
		}
		info, err := entry.Info()
		if err == nil {
			sum += info.Size()
		}
		return err
	})
	ts.Check(err)
	return sum
}
