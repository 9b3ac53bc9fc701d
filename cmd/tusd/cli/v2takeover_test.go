package cli

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// recordOfV2 returns a record like tusd v2.10 writes it.
func recordOfV2(dir, id, fields string) string {
	return fmt.Sprintf(`{"ID":%q,%s,"Storage":{"InfoPath":%q,"Path":%q,"Type":"filestore"}}`,
		id, fields, filepath.Join(dir, id+".info"), filepath.Join(dir, id))
}

// The ids in a directory of tusd v2.10.
const (
	idIncomplete    = "0123456789abcdef0123456789abcdef"
	idFinished      = "11111111111111111111111111111111"
	idDeferred      = "22222222222222222222222222222222"
	idFirstPartial  = "33333333333333333333333333333333" // a partial
	idSecondPartial = "44444444444444444444444444444444" // another
	idFinal         = "55555555555555555555555555555555" // of both
	idWithSlashes   = "customers/17/report.pdf"
	idOfV0          = "66666666666666666666666666666666" // of tusd 0.x
	idBroken        = "77777777777777777777777777777777"
)

// directoryOfV2 creates a directory like a killed tusd v2.10 leaves it: uploads in all
// states, and lock files.
func directoryOfV2(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	const plain = `"IsPartial":false,"IsFinal":false,"PartialUploads":null`
	eleven := func(kind string) string {
		return `"Size":11,"SizeIsDeferred":false,"Offset":0,"MetaData":{"filename":"hello.txt","filetype":"text/plain"},` + kind
	}
	partial := func(size int) string {
		return fmt.Sprintf(`"Size":%d,"SizeIsDeferred":false,"Offset":0,"MetaData":{},"IsPartial":true,"IsFinal":false,"PartialUploads":null`, size)
	}
	whole := fmt.Sprintf(`"IsPartial":false,"IsFinal":true,"PartialUploads":[%q,%q]`, idFirstPartial, idSecondPartial)
	for name, content := range map[string]string{
		idIncomplete: "hello ", idIncomplete + ".info": recordOfV2(dir, idIncomplete, eleven(plain)),
		idIncomplete + ".lock": "1\n", idIncomplete + ".stop": "", // process 1 is running

		idFinished: "hello world", idFinished + ".info": recordOfV2(dir, idFinished, eleven(plain)), idFinished + ".lock": "4194304\n",

		idDeferred:           "hello ",
		idDeferred + ".info": recordOfV2(dir, idDeferred, `"Size":0,"SizeIsDeferred":true,"Offset":0,"MetaData":{},`+plain),

		idFirstPartial: "hello ", idFirstPartial + ".info": recordOfV2(dir, idFirstPartial, partial(6)),
		idSecondPartial: "wor", idSecondPartial + ".info": recordOfV2(dir, idSecondPartial, partial(5)),
		idFinal: "hello world", idFinal + ".info": recordOfV2(dir, idFinal, eleven(whole)),

		idWithSlashes: "hello ", idWithSlashes + ".info": recordOfV2(dir, idWithSlashes, eleven(plain)), idWithSlashes + ".lock": "4194304\n",

		idOfV0 + ".bin":  "hello ",
		idOfV0 + ".info": fmt.Sprintf(`{"ID":%q,"Size":11,"Offset":0,"MetaData":{"filename":"old.txt"},%s}`, idOfV0, plain),

		idBroken: "hello ", idBroken + ".info": recordOfV2(dir, idBroken, eleven(plain))[:50],
	} {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// The uploads in a directory of tusd v2.10 are served.
func TestTakeOver(t *testing.T) {
	dir := directoryOfV2(t)
	d := start(t, "-upload-dir", dir)
	for name, test := range map[string]func(*testing.T, *testDaemon){
		"incomplete": takesOverIncomplete,
		"finished":   takesOverFinished,
		"deferred":   takesOverDeferred,
		"partials":   takesOverPartials,
		"slashes":    func(t *testing.T, d *testDaemon) { takesOverNamed(t, d, idWithSlashes) },
		"0.x":        func(t *testing.T, d *testDaemon) { takesOverNamed(t, d, idOfV0) },
		"broken":     takesOverBroken,
	} {
		t.Run(name, func(t *testing.T) { test(t, d) })
	}
	if left := uploadsIn(t, dir); len(left) > 0 {
		t.Errorf("after all uploads were terminated the directory has %q", left)
	}
}

func takesOverIncomplete(t *testing.T, d *testDaemon) {
	u := d.url + idIncomplete
	tus(t, "HEAD", u, "").want(t, 200, "Upload-Offset: 6", "Upload-Length: 11",
		"Upload-Metadata: filename aGVsbG8udHh0,filetype dGV4dC9wbGFpbg==", "Upload-Defer-Length", "Upload-Concat")
	tus(t, "PATCH", u, "wo", "Upload-Offset: 6").want(t, 204, "Upload-Offset: 8")
	tus(t, "PATCH", u, "rld", "Upload-Offset: 8").want(t, 204, "Upload-Offset: 11")
	wantDownload(t, u, "hello world")
	terminated(t, u)
}

func takesOverFinished(t *testing.T, d *testDaemon) {
	u := d.url + idFinished
	tus(t, "HEAD", u, "").want(t, 200, "Upload-Offset: 11", "Upload-Length: 11")
	got := wantDownload(t, u, "hello world")
	got.want(t, 200, "Content-Type: text/plain", `Content-Disposition: inline; filename="hello.txt"`)
	send(t, "GET", u, "", "Range: bytes=6-").want(t, 206, "Content-Range: bytes 6-10/11")
	terminated(t, u)
}

func takesOverDeferred(t *testing.T, d *testDaemon) {
	u := d.url + idDeferred
	tus(t, "HEAD", u, "").want(t, 200, "Upload-Offset: 6", "Upload-Defer-Length: 1", "Upload-Length", "Upload-Metadata")
	tus(t, "PATCH", u, "world", "Upload-Offset: 6", "Upload-Length: 11").want(t, 204, "Upload-Offset: 11")
	wantDownload(t, u, "hello world")
	terminated(t, u)
}

// takesOverPartials completes a partial upload, concatenates it with others, and reads a
// final upload of tusd v2.
func takesOverPartials(t *testing.T, d *testDaemon) {
	tus(t, "HEAD", d.url+idFinal, "").want(t, 200, "Upload-Offset: 11", "Upload-Length: 11",
		"Upload-Concat: final;"+d.url+idFirstPartial+" "+d.url+idSecondPartial)
	tus(t, "HEAD", d.url+idSecondPartial, "").want(t, 200, "Upload-Offset: 3", "Upload-Concat: partial")
	tus(t, "PATCH", d.url+idSecondPartial, "ld", "Upload-Offset: 3").want(t, 204, "Upload-Offset: 5")
	third := tus(t, "POST", d.url, "!", "Upload-Length: 1", "Upload-Concat: partial").want(t, 201).header.Get("Location")
	list := strings.Join([]string{d.url + idFirstPartial, "/files/" + idSecondPartial, third}, " ")
	concatenated := tus(t, "POST", d.url, "", "Upload-Concat: final;"+list).want(t, 201).header.Get("Location")
	wantDownload(t, concatenated, "hello world!")
	for _, u := range []string{d.url + idFinal, d.url + idFirstPartial, d.url + idSecondPartial, third, concatenated} {
		terminated(t, u)
	}
}

func takesOverNamed(t *testing.T, d *testDaemon, id string) {
	u := d.url + id
	tus(t, "HEAD", u, "").want(t, 200, "Upload-Offset: 6", "Upload-Length: 11")
	tus(t, "PATCH", u, "world", "Upload-Offset: 6").want(t, 204, "Upload-Offset: 11")
	wantDownload(t, u, "hello world")
	terminated(t, u)
}

// takesOverBroken reads a record that was cut by a power failure.
func takesOverBroken(t *testing.T, d *testDaemon) {
	tus(t, "HEAD", d.url+idBroken, "").want(t, 404)
	tus(t, "DELETE", d.url+idBroken, "").want(t, 204)
	await(t, "a warning that names the record", func() bool {
		return regexp.MustCompile(`level=WARN .*` + idBroken + `\.info`).MatchString(d.stdout.String())
	})
}

func wantDownload(t *testing.T, url, want string) answered {
	t.Helper()
	got := send(t, "GET", url, "").want(t, 200)
	if got.body != want {
		t.Errorf("GET %s: %q, want %q", url, got.body, want)
	}
	return got
}

func terminated(t *testing.T, url string) {
	t.Helper()
	tus(t, "DELETE", url, "").want(t, 204)
	tus(t, "HEAD", url, "").want(t, 404)
}

// uploadsIn is filesIn without the files of the server itself.
func uploadsIn(t *testing.T, dir string) []string {
	t.Helper()
	return slices.DeleteFunc(filesIn(t, dir), func(name string) bool { return strings.HasPrefix(name, ".tusd.") })
}

// filesIn lists the files and directories below a directory. Directories end with a slash.
func filesIn(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry os.DirEntry, err error) error {
		name, _ := filepath.Rel(dir, path)
		switch {
		case err != nil || name == ".":
		case entry.IsDir():
			names = append(names, filepath.ToSlash(name)+"/")
		default:
			names = append(names, filepath.ToSlash(name))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}
