package cli

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"testing"
	"testing/synctest"
	"time"
)

// Progress is one line of a terminal, which changes seldom and is gone before other output.
func TestProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var terminal bytes.Buffer
		p := &progress{terminal: &terminal}
		out := p.around(&terminal)
		for i := range 5 {
			p.show("%d done", i)
			time.Sleep(progressInterval / 2)
		}
		fmt.Fprint(out, "line\n")
		fmt.Fprint(out, "line\n")
		const erase = "\r\x1b[K"
		if want := erase + "0 done" + erase + "2 done" + erase + "4 done" + erase + "line\nline\n"; terminal.String() != want {
			t.Errorf("%q, want %q", &terminal, want)
		}
	})
}

// A pipe and a file are no terminals.
func TestNoProgressInAPipe(t *testing.T) {
	reader, writer, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close()
	file, err := os.Create(t.TempDir() + "/file")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	for _, w := range []io.Writer{writer, file, new(bytes.Buffer)} {
		p := newProgress(w)
		p.show("%d done", 1)
		p.clear()
	}
	writer.Close()
	if written, err := io.ReadAll(reader); err != nil || len(written) > 0 {
		t.Errorf("a pipe has %q, %v", written, err)
	}
	if info, err := file.Stat(); err != nil || info.Size() > 0 {
		t.Errorf("a file has %d bytes, %v", info.Size(), err)
	}
}
