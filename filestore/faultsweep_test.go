package filestore

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
	"github.com/tus/tusd/internal/require"
)

// faults makes one operation between on and off fail: number at. Each operation counts
// twice: it fails before it is done, or it is done and fails all the same.
type faults struct {
	at  int
	err error

	mu     sync.Mutex
	active bool
	seen   int
	fired  string // the operation that failed; empty: none
	done   bool   // it was done
}

func (f *faults) on()  { f.set(true) }
func (f *faults) off() { f.set(false) }

func (f *faults) set(active bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.active = active
}

func (f *faults) hook(op durable.Op, name string, done bool) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.active {
		return nil
	}
	if f.seen++; f.seen != f.at {
		return nil
	}
	f.fired, f.done = fmt.Sprintf("%s %s", op, name), done
	return f.err
}

// scenario is one operation that is swept with faults.
type scenario struct {
	name    string
	prepare func(t *testing.T, s *FileStore)
	// act does the operation once, with the faults on, and checks the state in the same
	// process.
	act func(t *testing.T, s *FileStore, f *faults) error
	// restarted checks the state in a later process; err is the error of act.
	restarted func(t *testing.T, s *FileStore, err error)
}

const stored, added = "hello ", "world"

var scenarios = []scenario{
	{"create", nil, actCreate, afterCreate},
	{"create in directories", nil, actCreateDeep, afterCreateDeep},
	{"write", prepareStored, actWrite, afterWrite},
	{"write after a restart", prepareRestarted, actWrite, afterWrite},
	{"atomic", prepareStored, actAtomic, afterWrite},
	{"atomic from a source that fails", prepareStored, actAtomicCut, afterAtomicCut},
	{"update", prepareStored, actUpdate, afterUpdate},
	{"finish", prepareFull, actFinish, afterFinish},
	{"concat", preparePartials, actConcat, afterConcat},
	{"terminate", prepareFull, actTerminate, afterTerminate},
	{"side records", nil, actSideRecords, afterSideRecords},
	{"tidy", prepareLeftovers, actTidy, afterTidy},
	{"verify", prepareFull, actVerify, afterFinish},
}

// If any operation fails, no acknowledged byte is lost, every offset is correct, no
// unfinished creation is visible as an upload, and a retry succeeds.
func TestFaultSweep(t *testing.T) {
	require.Long(t)
	for _, level := range levels {
		for _, sc := range scenarios {
			t.Run(level.String()+"/"+sc.name, func(t *testing.T) {
				t.Parallel()
				for _, cause := range []error{syscall.EIO, syscall.ENOSPC} {
					sweep(t, level, sc, cause)
				}
			})
		}
	}
}

func sweep(t *testing.T, level Durability, sc scenario, cause error) {
	for at := 1; ; at++ {
		f := &faults{at: at, err: cause}
		s := New(t.TempDir())
		s.Durability, s.hook = level, f.hook
		s = reopen(t, s)
		if sc.prepare != nil {
			sc.prepare(t, s)
		}
		err := sc.act(t, s, f)
		if f.fired != "" && err != nil && !errors.Is(err, cause) {
			t.Errorf("after %q failed, the error does not match %v: %v", f.fired, cause, err)
		}
		if f.fired != "" && errors.Is(err, syscall.ENOSPC) && !errors.Is(err, tusd.ErrNoSpace) {
			t.Errorf("after %q failed, the error is not ErrNoSpace: %v", f.fired, err)
		}
		if f.fired == "" && err != nil {
			t.Fatalf("without a fault: %v", err)
		}
		sc.restarted(t, reopen(t, s), err)
		if open := openFiles(s.Path); len(open) > 0 {
			t.Errorf("these files are still open: %q", open)
		}
		if t.Failed() {
			t.Fatalf("with fault %d: %q (done: %t)", at, f.fired, f.done)
		}
		if f.fired == "" {
			if at == 1 && (level != None || sc.name != "finish") {
				t.Fatal("no operation called the hook")
			}
			return
		}
	}
}

// openFiles returns the files below dir that this process has open, except the lock file,
// which is open as long as the store. Without /proc it returns none.
func openFiles(dir string) (names []string) {
	entries, _ := os.ReadDir("/proc/self/fd")
	for _, entry := range entries {
		link, _ := os.Readlink("/proc/self/fd/" + entry.Name()) // it may be closed meanwhile
		if name, below := strings.CutPrefix(link, dir+"/"); below && name != lockFileName {
			names = append(names, name)
		}
	}
	return names
}

func actCreate(t *testing.T, s *FileStore, f *faults) error { return createSwept(t, s, f, "a") }

func actCreateDeep(t *testing.T, s *FileStore, f *faults) error { return createSwept(t, s, f, "x/y/a") }

func createSwept(t *testing.T, s *FileStore, f *faults, id string) error {
	f.on()
	_, err := s.NewUpload(t.Context(), lockID(t, id), tusd.FileInfo{ID: id, Size: 5})
	f.off()
	if err == nil {
		write(t, loadUpload(t, s, id), 0, added)
		return nil
	}
	wantAbsent(t, s, id)
	if !f.done {
		wantFiles(t, s)
	}
	return err
}

func afterCreate(t *testing.T, s *FileStore, err error)     { afterCreateOf(t, s, err, "a") }
func afterCreateDeep(t *testing.T, s *FileStore, err error) { afterCreateOf(t, s, err, "x/y/a") }

func afterCreateOf(t *testing.T, s *FileStore, err error, id string) {
	if err != nil {
		wantAbsent(t, s, id)
		return
	}
	wantContent(t, s, id, added)
}

func prepareStored(t *testing.T, s *FileStore) {
	up := createWithContent(t, s, "a", int64(len(stored+added)), stored)
	offsetOf(t, up) // acknowledges the offset
}

// prepareRestarted removes the upload's state from memory, as a restart does.
func prepareRestarted(t *testing.T, s *FileStore) {
	prepareStored(t, s)
	s.opened.Load().uploads.invalidateState("a")
}

func actWrite(t *testing.T, s *FileStore, f *faults) error {
	f.on()
	up, err := s.GetUpload(t.Context(), lockID(t, "a"), "a")
	n := int64(0)
	if err == nil {
		n, err = up.WriteChunk(t.Context(), int64(len(stored)), strings.NewReader(added))
	}
	f.off()
	wantAfterWrite(t, s, n, err)
	return err
}

// wantAfterWrite checks the offset after WriteChunk has returned n. At level complete a
// failed sync may roll back the bytes since the last sync.
func wantAfterWrite(t *testing.T, s *FileStore, n int64, err error) {
	t.Helper()
	got, want := offsetOf(t, loadUpload(t, s, "a")), int64(len(stored))+n
	if got != want && (err == nil || s.Durability != Complete || got > want) {
		t.Errorf("after n = %d, %v: the offset is %d, want %d", n, err, got, want)
	}
	wantContent(t, s, "a", (stored + added)[:got])
}

func afterWrite(t *testing.T, s *FileStore, err error) {
	up := loadUpload(t, s, "a")
	offset := offsetOf(t, up)
	if err == nil && offset != int64(len(stored+added)) {
		t.Errorf("the offset after a restart is %d, want all", offset)
	}
	if s.Durability == Ack && offset < int64(len(stored)) {
		t.Errorf("the offset after a restart is %d, which loses acknowledged bytes", offset)
	}
	write(t, up, offset, (stored + added)[offset:])
	wantContent(t, s, "a", stored+added)
}

func actAtomic(t *testing.T, s *FileStore, f *faults) error {
	up := loadUpload(t, s, "a")
	f.on()
	n, err := s.WriteAtomic(t.Context(), up, int64(len(stored)), strings.NewReader(added))
	f.off()
	if n != 0 && n != int64(len(added)) || (n == 0) != (err != nil) {
		t.Errorf("WriteAtomic gives %d, %v", n, err)
	}
	wantAfterWrite(t, s, n, err)
	return err
}

var errSource = errors.New("the source failed")

// actAtomicCut uses a source that always fails, so that the fault may hit the rollback of
// the chunk.
func actAtomicCut(t *testing.T, s *FileStore, f *faults) error {
	up := loadUpload(t, s, "a")
	f.on()
	n, err := s.WriteAtomic(t.Context(), up, int64(len(stored)), failAfter(added[:3], errSource))
	f.off()
	if n != 0 || err == nil {
		t.Errorf("WriteAtomic gives %d, %v", n, err)
	}
	lockless, getErr := s.GetUpload(t.Context(), nil, "a")
	if getErr != nil {
		t.Fatal(getErr)
	}
	if got := offsetOf(t, lockless); got != int64(len(stored)) {
		t.Errorf("a reader sees the offset %d, want %d", got, len(stored))
	}
	if f.fired == "" {
		return nil
	}
	return errors.Join(err, f.err)
}

func afterAtomicCut(t *testing.T, s *FileStore, _ error) {
	wantContent(t, s, "a", stored)
	wantFiles(t, s, "a", "a.info")
	afterWrite(t, s, errSource)
}

func actUpdate(t *testing.T, s *FileStore, f *faults) error {
	up := loadUpload(t, s, "a")
	f.on()
	err := up.UpdateInfo(t.Context(), func(info *tusd.FileInfo) error {
		info.State = tusd.StateFailed
		return nil
	})
	f.off()
	return err
}

func afterUpdate(t *testing.T, s *FileStore, err error) {
	info, getErr := loadUpload(t, s, "a").GetInfo(t.Context())
	if getErr != nil || info.Offset != int64(len(stored)) {
		t.Fatalf("the record is %+v, %v", info, getErr)
	}
	if err == nil && info.State != tusd.StateFailed {
		t.Error("the change is lost")
	}
	if info.State != "" && info.State != tusd.StateFailed {
		t.Errorf("the state is %q", info.State)
	}
}

func prepareFull(t *testing.T, s *FileStore) {
	createWithContent(t, s, "a", int64(len(stored)), stored)
	createWithContent(t, s, "b", 3, "abc")
	s.opened.Load().uploads.invalidateState("a")
}

func actFinish(t *testing.T, s *FileStore, f *faults) error {
	up := loadUpload(t, s, "a")
	f.on()
	err := up.FinishUpload(t.Context())
	f.off()
	if again := up.FinishUpload(t.Context()); again != nil {
		t.Errorf("FinishUpload a second time: %v", again)
	}
	return err
}

func afterFinish(t *testing.T, s *FileStore, _ error) { wantContent(t, s, "a", stored) }

func preparePartials(t *testing.T, s *FileStore) {
	createWithContent(t, s, "p1", int64(len(stored)), stored)
	createWithContent(t, s, "p2", int64(len(added)), added)
	createUpload(t, s, "final", int64(len(stored+added)))
}

func actConcat(t *testing.T, s *FileStore, f *faults) error {
	final := loadUpload(t, s, "final")
	parts := []tusd.Upload{loadUpload(t, s, "p1"), loadUpload(t, s, "p2")}
	f.on()
	err := s.Concat(t.Context(), final, parts)
	f.off()
	if got := offsetOf(t, loadUpload(t, s, "final")); err != nil && got != 0 {
		t.Errorf("the final has %d bytes after an error, want none", got)
	}
	return err
}

func afterConcat(t *testing.T, s *FileStore, err error) {
	if err == nil {
		wantContent(t, s, "final", stored+added)
	}
	if err := s.Concat(t.Context(), loadUpload(t, s, "final"), []tusd.Upload{loadUpload(t, s, "p1"), loadUpload(t, s, "p2")}); err != nil {
		t.Fatal(err)
	}
	wantContent(t, s, "final", stored+added)
}

func actTerminate(t *testing.T, s *FileStore, f *faults) error {
	f.on()
	err := s.Terminate(t.Context(), lockID(t, "a"), "a")
	f.off()
	return err
}

func afterTerminate(t *testing.T, s *FileStore, err error) {
	if err == nil {
		wantAbsent(t, s, "a")
	} else if again := s.Terminate(t.Context(), lockID(t, "a"), "a"); again != nil && !errors.Is(again, tusd.ErrNotFound) {
		t.Errorf("Terminate a second time: %v", again)
	}
	wantFiles(t, s, "b", "b.info")
	wantContent(t, s, "b", "abc")
}

func prepareLeftovers(t *testing.T, s *FileStore) {
	prepareFull(t, s)
	writeFiles(t, s, map[string]string{"gone.undo": undoContent, "a.lock": "1", serverID: "", ".tusd.d/tmp/ABCDEFGHIJKLMNOPQRSTUVWX22": ""})
}

func actTidy(t *testing.T, s *FileStore, f *faults) error {
	var errs []error
	f.on()
	err := s.Tidy(t.Context(), tusd.Tidying{
		Before: time.Now().Add(time.Hour),
		Lock:   func(_ context.Context, id string) (tusd.Lease, error) { return lockID(t, id), nil },
		Pace:   func(ctx context.Context) error { return context.Cause(ctx) },
		Report: func(l tusd.Leftover) { errs = append(errs, l.Err) },
	})
	f.off()
	return errors.Join(append(errs, err)...)
}

func afterTidy(t *testing.T, s *FileStore, _ error) {
	tidyAll(t, s, time.Now().Add(time.Hour))
	wantFiles(t, s, "a", "a.info", "b", "b.info")
	wantContent(t, s, "a", stored)
}

// actVerify lets one read of a file fail. That is no fault of the upload.
func actVerify(t *testing.T, s *FileStore, f *faults) error {
	f.on()
	faults, err := s.Verify(t.Context(), "a")
	f.off()
	if len(faults) > 0 {
		t.Errorf("faults: %q, %v", faults, err)
	}
	return err
}

func actSideRecords(t *testing.T, s *FileStore, f *faults) error {
	key := tusd.SideRecordKey{Kind: "finishing", Name: "a"}
	f.on()
	_, _, err := s.CreateSideRecord(t.Context(), key, []byte("1"))
	if err == nil {
		err = s.PutSideRecord(t.Context(), key, []byte("2"))
	}
	f.off()
	return err
}

func afterSideRecords(t *testing.T, s *FileStore, err error) {
	key := tusd.SideRecordKey{Kind: "finishing", Name: "a"}
	value, getErr := s.GetSideRecord(t.Context(), key)
	if err == nil && string(value) != "2" {
		t.Errorf("the value is %q, %v", value, getErr)
	}
	if getErr == nil && string(value) != "1" && string(value) != "2" {
		t.Errorf("the value is %q", value)
	}
	if err := s.DeleteSideRecord(t.Context(), key); err != nil {
		t.Errorf("DeleteSideRecord: %v", err)
	}
}
