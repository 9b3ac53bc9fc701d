package cli

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/internal/s3server"
)

// age makes all files of a directory three days old.
func age(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	changed := time.Now().Add(-72 * time.Hour)
	for _, file := range files {
		err = errors.Join(err, os.Chtimes(file, changed, changed))
	}
	if err != nil {
		t.Fatal(err)
	}
}

// A sweep prints each upload and leftover once, and a sentence at the end.
func TestSweepOutput(t *testing.T) {
	dir := t.TempDir()
	d := start(t, "-upload-dir", dir)
	create(t, http.DefaultClient, d.url, "5")
	d.end(t)
	writeFile(t, filepath.Join(dir, "wrong.info"), `{"ID":"wrong","Size":-3}`)
	age(t, dir)
	sweep := []string{"sweep", "-upload-dir", dir, "-sweep-never-started", "1h"}
	wantCommand(t, exitOK, "\nwould remove 1 upload (0 bytes) and 0 leftovers; 0 failed; 1 leftover stays\n", append(sweep, "-dry-run")...)
	printed := wantCommand(t, exitOK, "\nremoved 1 upload (0 bytes) and 0 leftovers; 0 failed; 1 leftover stays\n", sweep...)
	if strings.Count(printed, "wrong.info") != 2 { // its name, and what is wrong with it
		t.Errorf("printed: %s", printed)
	}
	wantCommand(t, exitOK, "removed 0 uploads (0 bytes)", sweep...)
}

// Of a broken record, commands tell what is broken and how it is removed, and not that there
// is no such upload.
func TestBrokenRecordsInCommands(t *testing.T) {
	require.Long(t)
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "wrong.info"), `{"ID":"wrong","Size":-3}`)
	writeFile(t, filepath.Join(dir, "foreign.info"), `{"a":1}`)
	age(t, dir)
	service := s3server.Start(t, s3server.Options{})
	cleanAWS(t, credentialsFor(service)...)
	service.Put("wrong.info", []byte(`{"ID":"wrong","Size":-3}`))
	inDir, inBucket := []string{"-upload-dir", dir}, []string{"-s3-bucket", service.Bucket(), "-s3-endpoint", service.URL}
	for _, c := range []struct {
		where []string
		want  string
	}{
		{inDir, "wrong.info: a length of -3 is impossible"},
		{inBucket, "it has a length of -3, deferred false"},
	} {
		const hint = "; tusd rm wrong removes it"
		on := func(args ...string) []string { return append(args, c.where...) }
		for command, printed := range map[string]string{
			"show":   wantCommand(t, exitOK, c.want+hint+"\n", on("show", "wrong")...),
			"verify": wantCommand(t, exitFailed, c.want+hint+"\n", on("verify", "wrong")...),
			"ls":     wantCommand(t, exitOK, c.want+"\n", on("ls")...),
			"sweep":  wantCommand(t, exitOK, "", on("sweep", "-dry-run")...),
		} {
			if strings.Contains(printed, "there is no such upload") || strings.Contains(printed, "ERR_") {
				t.Errorf("%s: %s", command, printed)
			}
		}
	}
	wantCommand(t, exitOK, "removed wrong\n", "rm", "wrong", "-upload-dir", dir)
	if printed := wantCommand(t, exitOK, "", "ls", "-upload-dir", dir); strings.Contains(printed, "foreign") {
		t.Errorf("the file of another program is listed: %s", printed)
	}
	wantCommand(t, exitFailed, "", "rm", "foreign", "-upload-dir", dir)
	if _, err := os.Stat(filepath.Join(dir, "foreign.info")); err != nil {
		t.Error(err)
	}
}

// A table cuts the texts of clients. JSON and tusd show have all of them.
func TestLongNamesInTables(t *testing.T) {
	dir := t.TempDir()
	d := start(t, "-upload-dir", dir)
	name := strings.Repeat("x", 1000)
	metadata := "Upload-Metadata: filename " + base64.StdEncoding.EncodeToString([]byte(name))
	id := strings.TrimPrefix(tus(t, http.MethodPost, d.url, "", "Upload-Length: 5", metadata).want(t, http.StatusCreated).header.Get("Location"), d.url)
	age(t, dir)
	for _, args := range [][]string{{"ls"}, {"sweep", "-dry-run", "-sweep-never-started", "1h"}} {
		printed := wantCommand(t, exitOK, id+"  "+strings.Repeat("x", maxText)+"…\n", append(args, "-upload-dir", dir)...)
		if strings.Contains(printed, name) {
			t.Errorf("%q has the whole name", args)
		}
		wantCommand(t, exitOK, name, append(args, "-json", "-upload-dir", dir)...)
	}
	wantCommand(t, exitOK, name, "show", id, "-upload-dir", dir)
}

// ls and sweep show how much they have looked at, also if they print nothing.
func TestProgressOfCommands(t *testing.T) {
	dir := t.TempDir()
	d := start(t, "-upload-dir", dir)
	create(t, http.DefaultClient, d.url, "5")
	d.end(t)
	writeFile(t, filepath.Join(dir, "data"), "x")
	for _, c := range []struct {
		args    string
		command storeCommand
		want    string
	}{
		{"-class failed", lsCommand(), "\r\x1b[K1 upload looked at"},
		{"-dry-run", sweepCommand(), "\r\x1b[K1 upload looked at"},
	} {
		cfg, _, err := readCommandConfig(append(strings.Fields(c.args), "-upload-dir", dir), nil, c.command.declare)
		if err != nil {
			t.Fatal(err)
		}
		var terminal bytes.Buffer
		a := &storeAccess{cfg: cfg, progress: &progress{terminal: &terminal}, out: bufio.NewWriter(io.Discard), logger: quiet}
		a.ctx = t.Context()
		if err := c.command.run(t.Context(), a); err != nil {
			t.Error(err)
		}
		if err := a.close(); err != nil || !strings.HasPrefix(terminal.String(), c.want) {
			t.Errorf("%s %s: %q, %v", c.command.name, c.args, &terminal, err)
		}
	}
}

// On a terminal every line is written at once: progress never replaces a part of one.
func TestLinesOnATerminal(t *testing.T) {
	var terminal bytes.Buffer
	a := &storeAccess{interactive: true, out: bufio.NewWriter(&terminal)}
	if err := a.printf("%s\n", "line"); err != nil || terminal.String() != "line\n" {
		t.Errorf("%q, %v", &terminal, err)
	}
}

// The error of an output that cannot be written is printed once, be the output longer than
// the buffer or not.
func TestOutputThatFails(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	writeFile(t, filepath.Join(dir, "broken.info"), "") // verify has something to report
	for _, uploads := range []int{1, 400} {
		for i := range uploads {
			id := filepath.Join(dir, fmt.Sprintf("%0100d", i))
			writeFile(t, id, "")
			writeFile(t, id+".info", fmt.Sprintf(`{"ID":%q,"Size":0,"Storage":{"Type":"filestore","Path":%q}}`, filepath.Base(id), id))
		}
		for _, args := range [][]string{{"ls"}, {"ls", "-json"}, {"verify"}, {"sweep", "-dry-run", "-sweep-complete", "1ms"}} {
			var errs bytes.Buffer
			code := Run(t.Context(), append(args, "-upload-dir", dir), nil, failingWriter{errors.New("the disk is full")}, &errs)
			if code != exitFailed || errs.String() != "tusd: the disk is full\n" {
				t.Errorf("%d uploads, %q: exit code %d, %q", uploads, args, code, &errs)
			}
		}
	}
}

type failingWriter struct{ err error }

func (w failingWriter) Write([]byte) (int, error) { return 0, w.err }

// A count has the right form of its noun.
func TestCounted(t *testing.T) {
	for got, want := range map[string]string{
		counted(0, "upload"): "0 uploads", counted(1, "upload"): "1 upload", counted(2, "upload"): "2 uploads",
		longSize(0): "0 bytes", longSize(1): "1 byte", longSize(1023): "1023 bytes", longSize(126 << 10): "126 KiB", longSize(3 << 29): "1.5 GiB",
		cutText("short"): "short", cutText(strings.Repeat("x", maxText)): strings.Repeat("x", maxText),
	} {
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}
