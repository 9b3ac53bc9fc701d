//go:build linux

package hostiletest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// finalRequest returns a request that creates a final upload.
func finalRequest(a *attacker, i int, partials []string) string {
	return a.head("POST", uploads, "Upload-Concat: final;"+strings.Join(partials, " "),
		fmt.Sprintf("Upload-Metadata: n %08d", i), "Content-Length: 0")
}

// finalAttacks name as many partials as fit into a header: the same one, different ones,
// and ones that do not exist.
func finalAttacks() []attack {
	return []attack{
		{name: "finals of thousands", run: func(a *attacker) error {
			path, err := a.createComplete(1024, "Upload-Concat: partial")
			if err != nil {
				return err
			}
			partials := make([]string, 500)
			err = a.parallel(len(partials), func(i int) (err error) {
				partials[i], err = a.create(0, "Upload-Concat: partial")
				return err
			})
			if err != nil {
				return err
			}
			const often = 5000
			return requestFlood(15,
				func(a *attacker, i int) string { return finalRequest(a, i, slices.Repeat([]string{path}, often)) },
				func(a *attacker, i int) string { return finalRequest(a, i, partials) },
				func(a *attacker, i int) string {
					unknown := make([]string, often)
					for n := range unknown {
						unknown[n] = fmt.Sprintf("%s%016x%016x", uploads, i, n)
					}
					return finalRequest(a, i, unknown)
				},
			)(a)
		}},
		{name: "finals that wait for one partial", run: func(a *attacker) error {
			path, err := a.create(10, "Upload-Concat: partial")
			if err != nil {
				return err
			}
			return requestFlood(200, func(a *attacker, i int) string { return finalRequest(a, i, []string{path, path}) })(a)
		}},
	}
}

// TestFinalsDoNotMultiply requests a final of 2 GiB with a small request. The largest
// upload is 64 MiB.
func TestFinalsDoNotMultiply(t *testing.T) {
	const most, size = 64 << 20, 1 << 20
	t.Parallel()
	to := onFiles(t, "-max-size", fmt.Sprint(most))
	a := newAttacker(t.Context(), t, to)
	path, err := a.createComplete(size, "Upload-Concat: partial")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := a.dial()
	if err != nil {
		t.Fatal(err)
	}
	before := onDisk(t, to.dir)
	answer, err := roundTrip(conn, "POST", finalRequest(a, 1, strings.Fields(strings.Repeat(path+" ", 2000))))
	if err != nil {
		t.Fatal(err)
	}
	if answer.StatusCode < 400 || answer.StatusCode >= 500 {
		t.Errorf("a final of %d bytes: %s, want 4xx", 2000*size, answer.Status)
	}
	if grown := onDisk(t, to.dir) - before; grown > size {
		t.Errorf("%d bytes were written to disk", grown)
	}
}

// onDisk returns the size of all files below dir.
func onDisk(t *testing.T, dir string) (n int64) {
	t.Helper()
	err := filepath.Walk(dir, func(_ string, info os.FileInfo, err error) error {
		if errors.Is(err, os.ErrNotExist) {
			return nil // removed meanwhile
		}
		if err == nil && info.Mode().IsRegular() {
			n += info.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return n
}
