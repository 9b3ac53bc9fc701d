//go:build linux

package faulttest

import (
	"path/filepath"
	"strings"
	"testing"
)

// tracedCalls are the calls that CheckOrder needs.
const tracedCalls = "trace=read,write,pwrite64,copy_file_range,fsync,fdatasync,openat,renameat,renameat2,linkat,unlinkat"

// TestNothingIsAcknowledgedBeforeItsSync checks the order of the system calls of a daemon.
func TestNothingIsAcknowledgedBeforeItsSync(t *testing.T) {
	NeedStrace(t)
	t.Parallel()
	answers, err := traceOrder(t, "")
	if err != nil {
		t.Error(err)
	}
	if answers < len(acknowledgements) {
		t.Errorf("the trace has only %d acknowledgements", answers)
	}
}

// TestOrderSeesMissingSyncs shows that the test above can fail.
func TestOrderSeesMissingSyncs(t *testing.T) {
	NeedStrace(t)
	t.Parallel()
	if _, err := traceOrder(t, "tusd_broken_nosync"); err == nil {
		t.Error("the check finds no fault of a server without syncs")
	}
}

func traceOrder(t *testing.T, tags string) (answers int, err error) {
	trace := filepath.Join(t.TempDir(), "trace")
	launch := Launch{Binary: builder.Binary(t, tags), Dir: t.TempDir(), Tracer: Strace(trace, "-e", tracedCalls)}
	daemon := Start(t, launch)
	if _, err := (server{daemon.Client(), launch.Dir}).byAll(); err != nil {
		t.Fatal(err)
	}
	if err := daemon.Stop(); err != nil {
		t.Fatal(err)
	}
	lines, err := ReadTrace(trace)
	if err != nil {
		t.Fatal(err)
	}
	return CheckOrder(ParseTrace(lines))
}

// TestCheckOrder checks traces that are written by hand.
func TestCheckOrder(t *testing.T) {
	const (
		patch  = `7 read(9<socket:[1]>, "PATCH /files/abc HTTP/1.1\r\nHost: h\r\n"..., 4096) = 99`
		write  = `7 pwrite64(8</d/abc>, "x"..., 5, 0) = 5`
		sync   = `7 fdatasync(8</d/abc>) = 0`
		failed = `7 fdatasync(8</d/abc>) = -1 EIO (Input/output error)`
		answer = `7 write(9<socket:[1]>, "HTTP/1.1 204 No Content\r\nUpload-Offset: 5\r\n"..., 99) = 99`

		post    = `7 read(9<socket:[1]>, "POST /files/ HTTP/1.1\r\nHost: h\r\n"..., 4096) = 99`
		data    = `7 openat(5</d>, "abc", O_WRONLY|O_CREAT|O_EXCL|O_CLOEXEC, 0664) = 6</d/abc>`
		temp    = `7 write(6</d/.t/1>, "{}", 2) = 2`
		tempOK  = `7 fsync(6</d/.t/1>) = 0`
		rename  = `7 renameat(5</d/.t>, "1", 4</d>, "abc.info") = 0`
		dirOK   = `7 fsync(6</d>) = 0`
		created = `7 write(9<socket:[1]>, "HTTP/1.1 201 Created\r\nLocation: http://h/files/abc\r\n"..., 99) = 99`

		remove  = `7 read(9<socket:[1]>, "DELETE /files/abc HTTP/1.1\r\nHost: h\r\n"..., 4096) = 99`
		unlink1 = `7 unlinkat(5</d>, "abc", 0) = 0`
		unlink2 = `7 unlinkat(5</d>, "abc.info", 0) = 0`
		removed = `7 write(9<socket:[1]>, "HTTP/1.1 204 No Content\r\n"..., 99) = 99`
	)
	for _, c := range []struct {
		name  string
		lines []string
		right bool
	}{
		{"data synced", []string{patch, write, sync, answer}, true},
		{"not synced", []string{patch, write, answer}, false},
		{"synced before the write", []string{patch, sync, write, answer}, false},
		{"synced after the answer", []string{patch, write, answer, sync}, false},
		{"sync failed", []string{patch, write, failed, answer}, false},
		{"not written", []string{patch, sync, answer}, false},
		{"sync began before the write ended", []string{patch,
			`8 fdatasync(8</d/abc> <unfinished ...>`, write, `8 <... fdatasync resumed>) = 0`, answer}, false},
		{"sync ended after the answer began", []string{patch, write,
			`8 fdatasync(8</d/abc> <unfinished ...>`, answer, `8 <... fdatasync resumed>) = 0`}, false},
		{"sync by another thread", []string{patch, write,
			`8 fdatasync(8</d/abc> <unfinished ...>`, `8 <... fdatasync resumed>) = 0`, answer}, true},
		{"created", []string{post, data, temp, tempOK, rename, dirOK, created}, true},
		{"names not synced", []string{post, data, temp, tempOK, rename, created}, false},
		{"names synced too early", []string{post, data, temp, tempOK, dirOK, rename, created}, false},
		{"record not synced", []string{post, data, temp, rename, dirOK, created}, false},
		{"no data file", []string{post, temp, tempOK, rename, dirOK, created}, false},
		{"removed", []string{remove, unlink1, unlink2, dirOK, removed}, true},
		{"removal not synced", []string{remove, unlink1, dirOK, unlink2, removed}, false},
		{"half removed", []string{remove, unlink2, dirOK, removed}, false},
	} {
		answers, err := CheckOrder(ParseTrace(c.lines))
		if (err == nil) != c.right || answers != 1 {
			t.Errorf("%s: %d answers, %v\n%s", c.name, answers, err, strings.Join(c.lines, "\n"))
		}
	}
}
