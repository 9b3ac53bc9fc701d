//go:build linux

package faulttest

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/tus/tusd/internal/tusclient"
)

// unsyncedUploads are uploads of a daemon that was killed: the next one does not know what of
// them is on the disk.
type unsyncedUploads struct {
	half [8]string // paths of uploads with some of their bytes
	full [3]string
	// partial is needed by waiting, a final that waits for another partial.
	partial, waiting string
}

// makeUnsynced makes them, and kills their daemon.
func makeUnsynced(t *testing.T, dir string) (u unsyncedUploads) {
	daemon := Start(t, Launch{Binary: builder.Binary(t, ""), Dir: dir})
	defer daemon.Kill()
	client := daemon.Client()
	for i := range u.half {
		u.half[i] = made(t)(client.CreateWith(10, []byte("hello")))
	}
	for i := range u.full {
		u.full[i] = made(t)(client.CreateWith(5, []byte("hello")))
	}
	u.partial = made(t)(client.CreateWith(5, []byte("hello"), "Upload-Concat: partial"))
	open := made(t)(client.CreateWith(10, []byte("hello"), "Upload-Concat: partial"))
	u.waiting = made(t)(client.Concat(u.partial, open))
	return u
}

// made returns a function that returns the path of a created upload.
func made(t *testing.T) func(tusclient.Answer, error) string {
	return func(a tusclient.Answer, err error) string {
		t.Helper()
		if err == nil {
			err = a.Want("POST", 201)
		}
		if err != nil {
			t.Fatal(err)
		}
		return a.Path()
	}
}

// askedRequest is a request without content, and the status of its answer.
type askedRequest struct {
	method, path string
	header       []string
	status       int
}

// quietRequests are requests whose answers show no offset.
func quietRequests(u unsyncedUploads) []askedRequest {
	tus, draft := tusclient.Version, tusclient.Newest.Mark()
	return []askedRequest{
		{"PATCH", u.half[0], []string{tus, tusclient.OffsetStream}, 400},
		{"PATCH", u.half[0], []string{tus, "Upload-Offset: 5"}, 415},
		{"PATCH", u.full[0], []string{draft, tusclient.PartialUpload}, 400},
		{"HEAD", u.half[0], nil, 412},
		{"HEAD", u.half[0], []string{tusclient.Interop(4).Mark(), "Upload-Offset: 5"}, 400},
		{"HEAD", u.waiting, []string{tus}, 200},
		{"GET", u.half[0], []string{tus}, 409},
		{"OPTIONS", u.half[0], []string{tus}, 200},
		{"POST", tusclient.Uploads, []string{tus, "Upload-Concat: final;" + u.half[0]}, 400},
		{"POST", tusclient.Uploads, []string{tus, "Upload-Concat: final;" + u.partial + " " + u.half[0]}, 400},
		{"DELETE", u.partial, []string{tus}, 423},
		{"DELETE", u.half[0], []string{tus}, 204},
		{"DELETE", u.full[0], []string{tus}, 204},
		{"DELETE", u.waiting, []string{tus}, 204},
	}
}

// showingRequests are requests whose answers show an offset.
func showingRequests(u unsyncedUploads) []askedRequest {
	tus, draft := tusclient.Version, tusclient.Newest.Mark()
	return []askedRequest{
		{"HEAD", u.half[1], []string{tus}, 200},
		{"HEAD", u.half[2], []string{draft}, 204},
		{"GET", u.half[3], []string{draft}, 204},
		{"PATCH", u.half[4], tusclient.AppendHeader(3), 409},
		{"PATCH", u.half[5], append(tusclient.Newest.AppendHeader(3, false), draft), 409},
		{"PATCH", u.half[6], tusclient.AppendHeader(5), 204},
		{"GET", u.full[1], nil, 200},
		{"HEAD", u.full[2], nil, 200},
	}
}

// traceAnswers starts a daemon in dir, sends the requests to it, and returns what it did for
// each of them.
func traceAnswers(t *testing.T, tags, dir string, requests []askedRequest) []answered {
	trace := filepath.Join(t.TempDir(), "trace")
	daemon := Start(t, Launch{Binary: builder.Binary(t, tags), Dir: dir, Tracer: Strace(trace, "-e", tracedCalls+",sync_file_range")})
	client := daemon.Client()
	for _, r := range requests {
		answer, err := client.Do(r.method, r.path, nil, r.header...)
		if err == nil {
			err = answer.Want(r.method+" "+r.path, r.status)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := daemon.Stop(); err != nil {
		t.Fatal(err)
	}
	lines, err := ReadTrace(trace)
	if err != nil {
		t.Fatal(err)
	}
	found := answersIn(ParseTrace(lines))
	if len(found) != len(requests) {
		t.Fatalf("the trace has %d requests, want %d", len(found), len(requests))
	}
	return found
}

// answered is a request with its answer in a trace.
type answered struct {
	method, path string
	offset       string   // that the answer shows; "": none
	synced       []string // names of the files that were synced before it
}

var anyRequestLine = regexp.MustCompile(`, "([A-Z]+) (\S+) HTTP/1`)

// answersIn returns the requests in a trace, none of which began before the answer to the one
// before.
func answersIn(calls []*Call) (found []answered) {
	var now *answered
	for _, call := range calls {
		socket := field(socketName, call.Args) != ""
		switch {
		case socket && call.Name == "read":
			if m := anyRequestLine.FindStringSubmatch(call.Args); m != nil {
				now = &answered{method: m[1], path: m[2]}
			}
		case now == nil:
		case socket && call.Name == "write" && field(statusLine, call.Args) != "":
			now.offset = field(offsetField, call.Args)
			found, now = append(found, *now), nil
		case call.OK() && slices.Contains([]string{"fsync", "fdatasync", "sync_file_range"}, call.Name):
			now.synced = append(now.synced, path.Base(field(fileName, call.Args)))
		}
	}
	return found
}

// checkQuiet returns an error if a file of an upload was synced for an answer without an
// offset.
func checkQuiet(u unsyncedUploads, answers []answered) (err error) {
	for _, a := range answers {
		for _, upload := range slices.Concat(u.half[:], u.full[:], []string{u.partial, u.waiting}) {
			id := path.Base(upload)
			if slices.Contains(a.synced, id) || slices.Contains(a.synced, id+".info") {
				err = errors.Join(err, fmt.Errorf("%s %s syncs %v", a.method, a.path, a.synced))
			}
		}
		if a.offset != "" {
			err = errors.Join(err, fmt.Errorf("%s %s shows an offset", a.method, a.path))
		}
	}
	return err
}

// checkSynced returns an error if an answer shows no offset, or before the files of its upload
// were synced.
func checkSynced(answers []answered) (err error) {
	for _, a := range answers {
		id := path.Base(a.path)
		if a.offset == "" || !slices.Contains(a.synced, id) || !slices.Contains(a.synced, id+".info") {
			err = errors.Join(err, fmt.Errorf("%s %s shows the offset %q after it has synced %v", a.method, a.path, a.offset, a.synced))
		}
	}
	return err
}

// TestLookingSyncsNothing kills a daemon, and sends requests to the next one that show no
// offset, and others that show one.
func TestLookingSyncsNothing(t *testing.T) {
	NeedStrace(t)
	t.Parallel()
	dir := t.TempDir()
	uploads := makeUnsynced(t, dir)
	quiet, showing := quietRequests(uploads), showingRequests(uploads)
	answers := traceAnswers(t, "", dir, slices.Concat(quiet, showing))
	if err := checkQuiet(uploads, answers[:len(quiet)]); err != nil {
		t.Error(err)
	}
	if err := checkSynced(answers[len(quiet):]); err != nil {
		t.Error(err)
	}
	if checkQuiet(uploads, answers[len(quiet):]) == nil {
		t.Error("the check of quiet requests finds no syncs before answers with an offset")
	}
}

// TestOrderSeesUnsyncedOffsets shows that the test above sees offsets that are not synced.
func TestOrderSeesUnsyncedOffsets(t *testing.T) {
	NeedStrace(t)
	t.Parallel()
	dir := t.TempDir()
	uploads := makeUnsynced(t, dir)
	if checkSynced(traceAnswers(t, "tusd_broken_nosync", dir, showingRequests(uploads))) == nil {
		t.Error("the check finds no fault of a server without syncs")
	}
}

// TestFinalIsNotSyncedAgain looks at a final that the same daemon has built.
func TestFinalIsNotSyncedAgain(t *testing.T) {
	NeedStrace(t)
	t.Parallel()
	dir, trace := t.TempDir(), filepath.Join(t.TempDir(), "trace")
	daemon := Start(t, Launch{Binary: builder.Binary(t, ""), Dir: dir, Tracer: Strace(trace, "-e", tracedCalls+",sync_file_range")})
	client := daemon.Client()
	partial := made(t)(client.CreateWith(5, []byte("hello"), "Upload-Concat: partial"))
	final := made(t)(client.Concat(partial))
	answer, err := client.Head(final)
	if err == nil {
		err = answer.Want("HEAD", 200)
	}
	if err = errors.Join(err, daemon.Stop()); err != nil {
		t.Fatal(err)
	}
	lines, err := ReadTrace(trace)
	if err != nil {
		t.Fatal(err)
	}
	answers := answersIn(ParseTrace(lines))
	head, id := answers[len(answers)-1], path.Base(final)
	if head.method != "HEAD" || head.offset != "5" || slices.Contains(head.synced, id) || slices.Contains(head.synced, id+".info") {
		t.Errorf("%s shows the offset %q and syncs %s", head.method, head.offset, strings.Join(head.synced, " "))
	}
}
