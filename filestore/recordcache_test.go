package filestore

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// A record that somebody changes counts at once, even if neither its length
// nor any time tells.
func TestRecordChangedByOthers(t *testing.T) {
	s := opened(t, None)
	written(t, s, "a", 111, "abc")
	path := filepath.Join(s.Path, "a.info")
	stat, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	for size := int64(111); size < 116; size++ {
		changed, err := formatRecord(tusd.FileInfo{ID: "a", Size: size})
		if err == nil {
			err = os.WriteFile(path, changed, 0o644)
		}
		if err == nil {
			err = os.Chtimes(path, stat.ModTime(), stat.ModTime())
		}
		if err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if info := infoOf(t, s, "a"); info.Size != size {
				t.Fatalf("the length is %d, want %d", info.Size, size)
			}
		}
	}
}

// What is remembered of a record, and shared, is not what a change gets to edit.
func TestChangesAreMadeToCopies(t *testing.T) {
	s := opened(t, None)
	length := int64(9)
	given := tusd.FileInfo{
		ID: "a", SizeIsDeferred: true, KnownLength: &length, MetaData: tusd.MetaData{"k": "v"},
		PartialUploads: []string{"p"}, Finals: []string{"f"}, State: tusd.StateFailed,
		Failure: &tusd.Failure{StatusCode: 400, Header: map[string]string{"k": "v"}},
		Digests: []tusd.Digest{{Algorithm: "sha-256", State: []byte("s"), Sum: []byte("s"), Want: []byte("w")}},
	}
	up, err := s.NewUpload(t.Context(), locked(t, "a"), given)
	if err != nil {
		t.Fatal(err)
	}
	want := described(t, infoOf(t, s, "a"))
	err = up.UpdateInfo(t.Context(), func(got *tusd.FileInfo) error {
		*got.KnownLength, got.MetaData["k"], got.PartialUploads[0], got.Finals[0] = 1, "x", "x", "x"
		got.Failure.Header["k"], got.Storage["Path"] = "x", "x"
		got.Digests[0].State[0], got.Digests[0].Sum[0], got.Digests[0].Want[0] = 'x', 'x', 'x'
		got.Digests[0].Algorithm = "x"
		return io.EOF
	})
	if err != io.EOF {
		t.Fatalf("UpdateInfo: %v", err)
	}
	if now := described(t, infoOf(t, s, "a")); now != want {
		t.Errorf("the next one gets\n%s\nwant\n%s", now, want)
	}
}

func described(t *testing.T, info tusd.FileInfo) string {
	t.Helper()
	text, err := json.Marshal(info)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// infoOf loads an upload for reading.
func infoOf(t *testing.T, s *FileStore, id string) tusd.FileInfo {
	t.Helper()
	up, err := s.GetUpload(t.Context(), nil, id)
	if err != nil {
		t.Fatal(err)
	}
	info, err := up.GetInfo(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return info
}

// A record that became too long to be remembered is not taken for the one
// before it, which may have been remembered.
func TestLongRecordAfterAShortOne(t *testing.T) {
	s := opened(t, None)
	lease := locked(t, "a")
	up, err := s.NewUpload(t.Context(), lease, tusd.FileInfo{ID: "a", Size: 10})
	if err != nil {
		t.Fatal(err)
	}
	failure := &tusd.Failure{StatusCode: 400, Body: strings.Repeat("x", recordCacheBytes/8)}
	err = up.UpdateInfo(t.Context(), func(info *tusd.FileInfo) error {
		info.State, info.Failure = tusd.StateFailed, failure
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		up, err := s.GetUpload(t.Context(), lease, "a")
		if err != nil {
			t.Fatal(err)
		}
		if info, err := up.GetInfo(t.Context()); err != nil || info.State != tusd.StateFailed {
			t.Errorf("the state is %q, %v", info.State, err)
		}
	}
}

// What a reader without a lease has seen before a change is not taken for what
// the holder of the lease has read after it.
func TestStampsAreOfWhatWasRead(t *testing.T) {
	d := newRecordCache()
	older, newer := &tusd.FileInfo{ID: "a", Size: 1}, &tusd.FileInfo{ID: "a", Size: 2}
	d.add([]byte("newer"), newer)
	d.add([]byte("older"), older) // by the reader, which is late
	d.confirm(newer, stampOf(t))
	if info, _ := d.stamped("a"); info != nil {
		t.Errorf("without looking the length is %d", info.Size)
	}
}

// stampOf is a stamp that says something.
func stampOf(t *testing.T) durable.Stamp {
	t.Helper()
	s := opened(t, None)
	written(t, s, "b", 3, "abc")
	v, err := s.volume()
	if err != nil {
		t.Fatal(err)
	}
	stat, err := v.record("b").tree.Lstat(v.record("b").name)
	if err != nil {
		t.Fatal(err)
	}
	return stat.Stamp
}

func TestDecodedRecordsAreBounded(t *testing.T) {
	d := newRecordCache()
	before := heapInUse()
	for i := range 300 { // as finals with 3 000 partials, of which 300 have 75 MB
		d.add(make([]byte, 100_000), &tusd.FileInfo{ID: fmt.Sprint("final", i), RawConcat: string(make([]byte, 150_000))})
	}
	for i := range 10_000 {
		info := tusd.FileInfo{ID: fmt.Sprint(i), Storage: map[string]string{"Type": "filestore", "Path": fmt.Sprint("/data/", i)}}
		d.add(make([]byte, 600), &info)
	}
	took := heapInUse() - before
	if n := d.byID.Len(); took > recordCacheBytes*5/4 || n < 1000 {
		t.Errorf("%d records take %d bytes", n, took)
	}
}

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// Of complete uploads only the last ones are remembered, but for what spares a
// sync.
func TestCompleteIsForgotten(t *testing.T) {
	for level := Ack; level <= None; level++ {
		t.Run(level.String(), func(t *testing.T) {
			s := opened(t, level)
			v, err := s.volume()
			if err != nil {
				t.Fatal(err)
			}
			written(t, s, "goes-on", 4, "abc")
			const complete = maxRecentlyCompleted + 10
			for i := range complete {
				up := written(t, s, fmt.Sprint("complete", i), 3, "abc")
				if err := up.FinishUpload(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			records, marks := 1+maxRecentlyCompleted, 1+maxRecentlyCompleted
			if level != None {
				marks = 1 + complete
			}
			if v.decoded.byID.Len() != records || v.syncStates.byID.Len() != marks {
				t.Errorf("%d records and %d marks are known, want %d and %d", v.decoded.byID.Len(), v.syncStates.byID.Len(), records, marks)
			}
			for _, id := range []string{"complete0", "complete1", "goes-on"} {
				if got := offsetOf(t, loaded(t, s, id)); got != 3 {
					t.Errorf("the offset of %s is %d, want 3", id, got)
				}
			}
		})
	}
}

// An upload that has the id of a complete one keeps what cannot be found out
// again.
func TestPinnedMarkOutlivesTheComplete(t *testing.T) {
	s := opened(t, None)
	v, err := s.volume()
	if err != nil {
		t.Fatal(err)
	}
	pinned := syncState{synced: 2, cut: true}
	v.syncStates.set("a", locked(t, "a"), pinned)
	v.rememberCompleted("a")
	for i := range maxRecentlyCompleted {
		v.rememberCompleted(fmt.Sprint("other", i))
	}
	if got, _ := v.syncStates.byID.Get("a"); !got.cut || got.synced != pinned.synced {
		t.Errorf("the mark is %+v", got)
	}
}
