package limitedstore_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/filestore"
	"github.com/tus/tusd/internal/require"
	"github.com/tus/tusd/limitedstore"
)

const (
	crashDir   = "LIMITEDSTORE_CRASH_DIR" // of the process that is killed
	crashLimit = 16 << 20
)

// serveDir serves a directory with a limit.
func serveDir(tb testing.TB, dir string) *server {
	store := filestore.New(dir)
	tb.Cleanup(func() { store.Close() })
	return serve(tb, store, crashLimit, tusd.Config{}, func(s *limitedstore.LimitedStore) {
		s.OwnerQuota, s.Policy = crashLimit, limitedstore.PolicyOldest
	})
}

// TestCrashingProcess is the process that TestSumsAfterCrash kills.
func TestCrashingProcess(t *testing.T) {
	dir := os.Getenv(crashDir)
	if dir == "" {
		t.Skip("it is a part of TestSumsAfterCrash")
	}
	s := serveDir(t, dir)
	var served atomic.Int64
	for i := range 8 {
		go func() {
			random := rand.New(rand.NewPCG(rand.Uint64(), uint64(i)))
			for {
				crashStep(s, random)
				if served.Add(1) == 20 {
					fmt.Println("busy")
				}
			}
		}()
	}
	select {} // until it is killed
}

// crashStep creates an upload, appends to it, and removes some.
func crashStep(s *server, random *rand.Rand) {
	length := 1 + random.Int64N(300_000)
	declared := length
	if random.IntN(2) == 0 {
		declared = -1
	}
	answer := s.create(declared)
	if answer.StatusCode != http.StatusCreated {
		return
	}
	url := answer.Header.Get("Location")
	first := random.Int64N(length)
	header := []string{}
	if random.IntN(2) == 0 {
		header = []string{"Upload-Checksum", "sha1 AAAAAAAAAAAAAAAAAAAAAAAAAAA="} // it does not match
	}
	s.patch(url, 0, io.LimitReader(zeros{}, first), header...)
	switch random.IntN(4) {
	case 0:
		s.do(http.MethodDelete, url, nil)
	case 1:
		s.patch(url, first, io.LimitReader(zeros{}, length-first), "Upload-Length", strconv.FormatInt(length, 10))
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// After kill -9 at a random moment and a restart, the sums are those of the files, and never
// above the bound that the killed process has stored.
func TestSumsAfterCrash(t *testing.T) {
	require.Long(t)
	dir, rounds := t.TempDir(), 3
	if require.Thorough() {
		rounds = 15
	}
	for round := range rounds {
		killAtRandom(t, dir)
		bound := boundIn(t, dir)
		s := serveDir(t, dir)
		wantEventually(t, "the sums are exact", func() bool { return s.limited.Usage().Exact })
		stored, uploads := filesIn(t, s, dir)
		usage := s.limited.Usage()
		s.stop()
		truth, reserved, err := limitedstore.Truth(s.limited)
		if err != nil || usage.Stored != stored || truth != stored || usage.Reserved != reserved || reserved > bound {
			t.Fatalf("round %d: the sums are %+v, %d bytes are on disk, %d are reserved, the bound was %d, %v", round, usage, stored, reserved, bound, err)
		}
		t.Logf("%d uploads, %+v, bound %d", uploads, usage, bound)
		if err := fileStoreOf(s).Close(); err != nil {
			t.Fatal(err)
		}
	}
}

func fileStoreOf(s *server) *filestore.FileStore {
	return limitedstore.Inner(s.limited).(*filestore.FileStore)
}

// killAtRandom runs the process on dir and kills it.
func killAtRandom(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestCrashingProcess$", "-test.v")
	cmd.Env = append(os.Environ(), crashDir+"="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	defer cmd.Wait()
	defer cmd.Process.Kill()
	for lines := bufio.NewScanner(out); ; {
		if !lines.Scan() {
			t.Fatal("the process ends by itself")
		}
		if strings.Contains(lines.Text(), "busy") {
			break
		}
	}
	<-time.After(time.Duration(rand.IntN(200)) * time.Millisecond)
}

// boundIn returns the bound of the reserved bytes in the side record.
func boundIn(t *testing.T, dir string) int64 {
	t.Helper()
	var record struct {
		Clean  bool
		AtMost int64
	}
	text, err := os.ReadFile(filepath.Join(dir, ".tusd.d/side/space/sums"))
	if err == nil {
		value := text[max(bytes.IndexByte(text, '{'), 0):] // after the name of the record
		err = json.NewDecoder(bytes.NewReader(value)).Decode(&record)
	}
	if err != nil || record.Clean {
		t.Fatalf("after a kill the side record is %s, %v", text, err)
	}
	return record.AtMost
}

// filesIn sums up the data files in dir. It looks at each upload first, which cuts off what
// was being written with a checksum.
func filesIn(t *testing.T, s *server, dir string) (stored int64, uploads int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".info") || strings.Contains(path, ".tusd.d") {
			return err
		}
		uploads++
		path = strings.TrimSuffix(path, ".info")
		s.do(http.MethodHead, "/"+filepath.Base(path), nil)
		data, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) { // it was created or removed in part
			return nil
		}
		if err == nil {
			stored += data.Size()
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return stored, uploads
}
