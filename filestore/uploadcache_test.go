package filestore

import (
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
	"github.com/tus/tusd/internal/require"
)

// A record that a reader without a lease has read before a change does not replace the
// record that the holder of the lease has read after the change.
func TestStampBelongsToTheRecordThatWasRead(t *testing.T) {
	c := newUploadCache()
	lease := lockID(t, "a")
	c.setState("a", lease, syncState{})
	older, newer := &tusd.FileInfo{ID: "a", Size: 1}, &tusd.FileInfo{ID: "a", Size: 2}
	c.addRecord(newer, []byte("newer"), durable.Stamp{})
	c.addRecord(older, []byte("older"), durable.Stamp{}) // added later by the reader
	c.confirmRecord(newer, stampOf(t))
	if info, _ := c.stampedRecord("a", tusd.ScopeProcess, lease); info != nil {
		t.Errorf("the cached length is %d", info.Size)
	}
}

// A record is used without reading its file only while the sync state is trusted and
// this process has not changed the record.
func TestStampedRecord(t *testing.T) {
	c := newUploadCache()
	lease, stamp := lockID(t, "a"), stampOf(t)
	record := &tusd.FileInfo{ID: "a"}
	want := func(what string, want *tusd.FileInfo) {
		t.Helper()
		if got, _ := c.stampedRecord("a", tusd.ScopeProcess, lease); got != want {
			t.Errorf("%s: %v, want %v", what, got, want)
		}
	}
	c.addRecord(record, []byte("x"), stamp)
	want("without a state", nil)
	c.setState("a", lease, syncState{})
	want("with a state", record)
	if got, _ := c.stampedRecord("a", tusd.ScopeMachine, nil); got != nil {
		t.Error("with scope machine and without a lease the cached record is used")
	}
	c.invalidateRecord("a")
	want("invalidated", nil)
	c.confirmRecord(record, stamp)
	want("confirmed", record)
	c.invalidateState("a")
	want("with a removed state", nil)
	if c.decodedRecord("a", []byte("x")) != record || c.decodedRecord("a", []byte("y")) != nil {
		t.Error("the content does not decide whether the record is decoded again")
	}
}

// A full upload is synced again if its data has changed since.
func TestFullUploadIsSyncedAfterChanges(t *testing.T) {
	c := newUploadCache()
	modified := time.Unix(0, 0)
	if c.isFullSynced("a", modified) {
		t.Error("an unknown upload is synced")
	}
	c.setFullSynced("a", modified)
	if !c.isFullSynced("a", modified) || c.isFullSynced("a", modified.Add(1)) {
		t.Error("the time of the last change does not decide")
	}
	c.invalidateState("a")
	if c.isFullSynced("a", modified) || len(c.index) != 0 {
		t.Error("the state is not removed")
	}
}

// The memory for uploads is bounded. Uploads that are being written or must be truncated
// are never evicted.
func TestUploadCacheIsBounded(t *testing.T) {
	c := newUploadCache()
	lease := lockID(t, "x")
	const pinned = 1000
	before := heapInUse()
	for i := range 100_000 {
		state := syncState{writing: i < pinned && i%2 == 0, cut: i < pinned && i%2 == 1}
		c.setState(fmt.Sprint(strings.Repeat("i", 800), i), lease, state)
		c.setFullSynced(fmt.Sprint(strings.Repeat("i", 800), i), time.Now())
	}
	if took := heapInUse() - before; took > uploadsBudget*5/4 || took < uploadsBudget/2 {
		t.Errorf("uploads take %d bytes, the budget is %d", took, uploadsBudget)
	}
	for i := range pinned {
		if s, ok := c.trustedState(fmt.Sprint(strings.Repeat("i", 800), i), tusd.ScopeProcess, nil); !ok || !s.isPinned() {
			t.Fatalf("the state of upload %d, which is pinned, was evicted", i)
		}
	}
}

// The memory for records has its own bound: a record is evicted long before the sync
// state of its upload.
func TestRecordsAreBounded(t *testing.T) {
	c := newUploadCache()
	lease := lockID(t, "x")
	before := heapInUse()
	for i := range 300 { // like finals with 3 000 partials; 300 of them take 75 MB
		info := &tusd.FileInfo{ID: fmt.Sprint("final", i), RawConcat: string(make([]byte, 150_000))}
		c.setState(info.ID, lease, syncState{})
		c.addRecord(info, make([]byte, 100_000), durable.Stamp{})
	}
	for i := range 10_000 {
		info := tusd.FileInfo{ID: fmt.Sprint(i), Storage: map[string]string{"Type": "filestore", "Path": fmt.Sprint("/data/", i)}}
		c.setState(info.ID, lease, syncState{})
		c.addRecord(&info, make([]byte, 600), durable.Stamp{})
	}
	took := heapInUse() - before
	if took > (recordsBudget+uploadsBudget/2)*5/4 || cachedRecords(c) < 1000 {
		t.Errorf("%d records take %d bytes", cachedRecords(c), took)
	}
	if n := cachedStates(c); n != 10_300 {
		t.Errorf("%d sync states are left, want all %d", n, 10_300)
	}
}

// An upload in use is not evicted by any number of other uploads.
func TestUploadInUseIsNotEvicted(t *testing.T) {
	c := newUploadCache()
	lease := lockID(t, "used")
	record := &tusd.FileInfo{ID: "used"}
	c.setState("used", lease, syncState{synced: 7})
	c.addRecord(record, []byte("content"), durable.Stamp{})
	for i := range 100_000 {
		info := &tusd.FileInfo{ID: fmt.Sprint(i)}
		c.setState(info.ID, lease, syncState{})
		c.addRecord(info, make([]byte, 600), durable.Stamp{})
		if s, ok := c.trustedState("used", tusd.ScopeProcess, nil); !ok || s.synced != 7 || c.decodedRecord("used", []byte("content")) != record {
			t.Fatalf("after %d others the upload in use was evicted", i)
		}
	}
	if n := cachedStates(c); n < 10_000 || n > 90_000 {
		t.Errorf("%d uploads are cached", n)
	}
}

// The cache returns the last value or none, compared with maps, and its sums are correct.
func TestUploadCacheAgainstMaps(t *testing.T) {
	require.Long(t)
	c := newUploadCache()
	lease := lockID(t, "x")
	random := rand.New(rand.NewPCG(1, 2))
	states, records := make(map[string]int64), make(map[string]*tusd.FileInfo)
	rounds := int64(20_000)
	if require.Thorough() {
		rounds = 100_000
	}
	for i := range rounds {
		id := fmt.Sprint("upload", random.IntN(50))
		content := make([]byte, random.IntN(recordsBudget/6)) // some are too large
		switch random.IntN(7) {
		case 0, 1:
			c.setState(id, lease, syncState{synced: i})
			states[id] = i
		case 2, 3:
			records[id] = &tusd.FileInfo{ID: id}
			c.addRecord(records[id], content, durable.Stamp{})
		case 4:
			c.invalidateState(id)
			delete(states, id)
		case 5:
			c.rememberCompleted(id, random.IntN(2) == 0)
		case 6:
			c.setFullSynced(id, time.Unix(i, 0))
		}
		if s, ok := c.trustedState(id, tusd.ScopeProcess, nil); ok && s.synced != states[id] {
			t.Fatalf("step %d: %s is synced up to %d, want %d", i, id, s.synced, states[id])
		}
		if record, _ := c.recordAndContent(id); record != nil && record != records[id] {
			t.Fatalf("step %d: %s has an old record", i, id)
		}
		if c.recordBytes > recordsBudget {
			t.Fatalf("step %d: records have %d bytes", i, c.recordBytes)
		}
	}
	var size, recordBytes int64
	for id, i := range c.index {
		u := c.entries[i]
		size += entrySize(id)
		recordBytes += u.recordSize
		if u.id != id || u.state.change == 0 && u.fullSynced.IsZero() && u.record == nil {
			t.Errorf("the entry of %s is %+v", id, u)
		}
	}
	if size != c.bytes || recordBytes != c.recordBytes || len(c.index)+len(c.free) != len(c.entries)-1 {
		t.Errorf("the sums are %d and %d, want %d and %d; %d used and %d free of %d entries",
			c.bytes, c.recordBytes, size, recordBytes, len(c.index), len(c.free), len(c.entries))
	}
}

// cachedRecords returns the number of records in a cache.
func cachedRecords(c *uploadCache) int {
	return countUploads(c, func(u cachedUpload) bool { return u.record != nil })
}

// cachedStates returns the number of sync states in a cache.
func cachedStates(c *uploadCache) int {
	return countUploads(c, func(u cachedUpload) bool { return u.state.change != 0 })
}

func countUploads(c *uploadCache, is func(cachedUpload) bool) (n int) {
	for _, i := range c.index {
		if is(c.entries[i]) {
			n++
		}
	}
	return n
}

// The cache has records only of the most recently completed uploads. At level none the
// same holds for sync states, which save no sync there.
func TestCompleteIsEvicted(t *testing.T) {
	for level := Ack; level <= None; level++ {
		t.Run(level.String(), func(t *testing.T) {
			s := openStore(t, level)
			v, err := s.volume()
			if err != nil {
				t.Fatal(err)
			}
			createWithContent(t, s, "goes-on", 4, "abc")
			const complete = maxRecentlyCompleted + 10
			for i := range complete {
				up := createWithContent(t, s, fmt.Sprint("complete", i), 3, "abc")
				if err := up.FinishUpload(t.Context()); err != nil {
					t.Fatal(err)
				}
			}
			records, states := 1+maxRecentlyCompleted, 1+maxRecentlyCompleted
			if level != None {
				states = 1 + complete
			}
			if r, s := cachedRecords(v.uploads), cachedStates(v.uploads); r != records || s != states {
				t.Errorf("%d records and %d sync states are cached, want %d and %d", r, s, records, states)
			}
			for _, id := range []string{"complete0", "complete1", "goes-on"} {
				if got := offsetOf(t, loadUpload(t, s, id)); got != 3 {
					t.Errorf("the offset of %s is %d, want 3", id, got)
				}
			}
		})
	}
}

// A pinned state is not evicted with an earlier complete upload of the same id.
func TestPinnedStateOfACompleteUpload(t *testing.T) {
	c := newUploadCache()
	pinned := syncState{synced: 2, cut: true}
	c.setState("a", lockID(t, "a"), pinned)
	c.rememberCompleted("a", false)
	for i := range maxRecentlyCompleted {
		c.rememberCompleted(fmt.Sprint("other", i), false)
	}
	if got, _ := c.trustedState("a", tusd.ScopeProcess, nil); !got.cut || got.synced != pinned.synced {
		t.Errorf("the state is %+v", got)
	}
}

// If the state of an upload is evicted while it is computed, its synced offset is unknown
// and not 0.
func TestStateEvictedAgain(t *testing.T) {
	s := openStore(t, None)
	u := createWithContent(t, s, "a", 3, "abc").(*upload)
	u.v.uploads.rememberCompleted("a", false)
	for i := range maxRecentlyCompleted - 1 {
		u.v.uploads.rememberCompleted(fmt.Sprint("other", i), false)
	}
	u.v.uploads.invalidateState("a")
	state, err := u.knownState() // it is complete, and the oldest of the complete ones
	if _, known := u.v.uploads.trustedState("a", tusd.ScopeProcess, nil); known {
		t.Fatal("the state was not evicted")
	}
	if err != nil || state.synced != unknownOffset {
		t.Errorf("the state is %+v, %v", state, err)
	}
}

// A change of a record by another program is visible at once, even if the length and the
// modification time of the file are the same.
func TestRecordChangedByOthers(t *testing.T) {
	s := openStore(t, None)
	createWithContent(t, s, "a", 111, "abc")
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

// UpdateInfo lets the caller change a copy, not the shared record of the cache.
func TestUpdateInfoChangesACopy(t *testing.T) {
	s := openStore(t, None)
	length := int64(9)
	given := tusd.FileInfo{
		ID: "a", SizeIsDeferred: true, KnownLength: &length, MetaData: tusd.MetaData{"k": "v"},
		PartialUploads: []string{"p"}, Finals: []string{"f"}, State: tusd.StateFailed,
		Failure: &tusd.Failure{StatusCode: 400, Header: map[string]string{"k": "v"}},
		Digests: []tusd.Digest{{Algorithm: "sha-256", State: []byte("s"), Sum: []byte("s"), Want: []byte("w")}},
	}
	up, err := s.NewUpload(t.Context(), lockID(t, "a"), given)
	if err != nil {
		t.Fatal(err)
	}
	want := marshalInfo(t, infoOf(t, s, "a"))
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
	if now := marshalInfo(t, infoOf(t, s, "a")); now != want {
		t.Errorf("the next reader gets\n%s\nwant\n%s", now, want)
	}
}

func marshalInfo(t *testing.T, info tusd.FileInfo) string {
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

// A record that became too long for the cache is not replaced by an older one from
// the cache.
func TestLongRecordAfterAShortOne(t *testing.T) {
	s := openStore(t, None)
	lease := lockID(t, "a")
	up, err := s.NewUpload(t.Context(), lease, tusd.FileInfo{ID: "a", Size: 10})
	if err != nil {
		t.Fatal(err)
	}
	failure := &tusd.Failure{StatusCode: 400, Body: strings.Repeat("x", recordsBudget/8)}
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

// stampOf returns a stamp that is not zero.
func stampOf(t *testing.T) durable.Stamp {
	t.Helper()
	s := openStore(t, None)
	createWithContent(t, s, "b", 3, "abc")
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

func heapInUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
