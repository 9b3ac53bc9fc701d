package filestore

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tus/tusd"
	"github.com/tus/tusd/internal/durable"
)

// limitedDisk is a store on a simulated file system with free bytes, of which 1000 must
// stay free.
type limitedDisk struct {
	*FileStore
	free       int64
	copies     int    // number of copies into finals
	duringCopy func() // called before each copy; may be nil
}

func newLimitedDisk(t *testing.T) *limitedDisk {
	r := &limitedDisk{free: 1 << 20}
	s := New(t.TempDir())
	s.MinFree = 1000
	s.spaceOf = func(*os.File) (space, error) { return space{r.free, 1 << 40}, nil }
	s.hook = func(op durable.Op, _ string, done bool) error {
		if op == durable.OpCopy && !done {
			r.copies++
			if r.duringCopy != nil {
				r.duringCopy()
			}
		}
		return nil
	}
	r.FileStore = reopen(t, s)
	return r
}

// pendingFinal creates a complete partial of 100 bytes and the record of a final that
// names it n times.
func (r *limitedDisk) pendingFinal(t *testing.T, id string, n int) (final tusd.Upload, partials []tusd.Upload) {
	t.Helper()
	part := createWithContent(t, r.FileStore, "part-of-"+id, 100, strings.Repeat("p", 100))
	for range n {
		partials = append(partials, part)
	}
	return createUpload(t, r.FileStore, id, int64(100*n)), partials
}

func wantNoSpace(t *testing.T, what string, err error) {
	t.Helper()
	if !errors.Is(err, tusd.ErrNoSpace) {
		t.Errorf("%s: %v, want ErrNoSpace", what, err)
	}
}

// A length above the size of the file system is refused as too large. A length that does
// not fit now is refused with a Retry-After that grows with the length. Both errors are
// ErrAnnouncedOnly.
func TestLengthsThatDoNotFit(t *testing.T) {
	r := newLimitedDisk(t)
	r.free = 1 << 30
	refused := func(size int64) (e *tusd.Error, announced bool) {
		t.Helper()
		_, err := r.NewUpload(t.Context(), lockID(t, "a"), tusd.FileInfo{ID: "a", Size: size})
		if !errors.As(err, &e) {
			t.Fatalf("%d bytes: %v", size, err)
		}
		return e, errors.Is(err, tusd.ErrAnnouncedOnly)
	}
	var before time.Duration
	for _, size := range []int64{1<<30 - 999, 2 << 30, 1 << 36, 1 << 39, 1<<40 - 1000} {
		e, announced := refused(size)
		if !e.Is(tusd.ErrNoSpace) || !announced {
			t.Errorf("%d bytes: %v", size, e)
		}
		if e.RetryAfter < before || e.RetryAfter < time.Second || e.RetryAfter > 2*time.Hour {
			t.Errorf("%d bytes: RetryAfter %v, for fewer bytes %v", size, e.RetryAfter, before)
		}
		before = e.RetryAfter
	}
	if before < 30*time.Minute {
		t.Errorf("for the whole file system RetryAfter is %v", before)
	}
	for _, size := range []int64{1<<40 - 999, 1 << 50, 1<<63 - 1} {
		if e, _ := refused(size); !e.Is(tusd.ErrMaxSizeExceeded) {
			t.Errorf("%d bytes: %v", size, e)
		}
	}
	open, err := r.NewUpload(t.Context(), lockID(t, "open"), tusd.FileInfo{ID: "open", SizeIsDeferred: true})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.DeclareLength(t.Context(), open, 1<<50); !errors.Is(err, tusd.ErrMaxSizeExceeded) {
		t.Errorf("a length that is declared later: %v", err)
	}
	r.free = 1000 // no space is left, so the client is not the cause
	if e, announced := refused(1); !e.Is(tusd.ErrNoSpace) || announced {
		t.Errorf("a byte without free space: %v", e)
	}
}

// A final that does not fit is refused before its first byte is copied, and built when
// there is space.
func TestConcatChecksFreeSpace(t *testing.T) {
	r := newLimitedDisk(t)
	final, partials := r.pendingFinal(t, "final", 5)
	r.free = 1499
	wantNoSpace(t, "a final of 500 bytes into 499", r.Concat(t.Context(), final, partials))
	if r.copies != 0 {
		t.Errorf("%d copies for a final that does not fit", r.copies)
	}
	if got := offsetOf(t, final); got != 0 {
		t.Errorf("offset %d, want 0", got)
	}
	r.free = 1500
	if err := r.Concat(t.Context(), final, partials); err != nil {
		t.Fatal(err)
	}
	wantContent(t, r.FileStore, "final", strings.Repeat("p", 500))
}

// If other files take the space while a final is built, the build ends and its bytes are
// removed.
func TestConcatStopsWithoutFreeSpace(t *testing.T) {
	r := newLimitedDisk(t)
	final, partials := r.pendingFinal(t, "final", 5)
	r.duringCopy = func() {
		if r.copies == 3 {
			r.free = 1050
		}
	}
	wantNoSpace(t, "a final whose space is taken", r.Concat(t.Context(), final, partials))
	stat, err := os.Stat(filepath.Join(r.Path, "final"))
	if err != nil || stat.Size() != 0 || r.copies != 3 {
		t.Errorf("%v, %v after %d copies; want an empty file after 3", stat.Size(), err, r.copies)
	}
}

// Space that is reserved for a final is not available to another final, a new upload or a
// chunk, until the final is built.
func TestSpaceOfAFinalIsReserved(t *testing.T) {
	r := newLimitedDisk(t)
	one, ofOne := r.pendingFinal(t, "one", 5)
	other, ofOther := r.pendingFinal(t, "other", 5)
	open, err := r.NewUpload(t.Context(), lockID(t, "open"), tusd.FileInfo{ID: "open", SizeIsDeferred: true})
	if err != nil {
		t.Fatal(err)
	}
	r.free = 1900
	r.duringCopy = func() {
		if r.copies != 2 { // 400 of 500 bytes are still to be written
			return
		}
		r.free = 1800
		_, err := r.NewUpload(t.Context(), lockID(t, "new"), tusd.FileInfo{ID: "new", Size: 401})
		wantNoSpace(t, "a new upload of 401 bytes beside 400 of 800", err)
		wantNoSpace(t, "another final", r.Concat(t.Context(), other, ofOther))
		_, err = open.WriteChunk(t.Context(), 0, strings.NewReader(strings.Repeat("x", 401)))
		wantNoSpace(t, "a chunk of 401 bytes", err)
		createUpload(t, r.FileStore, "small", 400)
	}
	if err := r.Concat(t.Context(), one, ofOne); err != nil {
		t.Fatal(err)
	}
	r.duringCopy = nil
	r.free = 1500
	if err := r.Concat(t.Context(), other, ofOther); err != nil {
		t.Errorf("when the first final is built: %v", err)
	}
}

// A length that is declared later has to fit, like the length at a creation. An upload
// that has all its bytes needs no more space.
func TestDeclaredLengthsHaveToFit(t *testing.T) {
	r := newLimitedDisk(t)
	newOpen := func(id string) tusd.Upload {
		up, err := r.NewUpload(t.Context(), lockID(t, id), tusd.FileInfo{ID: id, SizeIsDeferred: true})
		if err != nil {
			t.Fatal(err)
		}
		write(t, up, 0, "abc")
		return up
	}
	declared, announced, ended := newOpen("declared"), newOpen("announced"), newOpen("ended")
	r.free = 1100
	wantNoSpace(t, "declare 104 with 3 stored and space for 100", r.DeclareLength(t.Context(), declared, 104))
	if info := infoOf(t, r.FileStore, "declared"); !info.SizeIsDeferred {
		t.Error("the length that does not fit was stored")
	}
	announce := func(length int64) error {
		return announced.UpdateInfo(t.Context(), func(info *tusd.FileInfo) error {
			info.KnownLength = &length
			return nil
		})
	}
	wantNoSpace(t, "announce 104", announce(104))
	if err := errors.Join(r.DeclareLength(t.Context(), declared, 103), announce(103)); err != nil {
		t.Errorf("103 bytes, which fit: %v", err)
	}
	r.free = 0
	if err := r.DeclareLength(t.Context(), ended, 3); err != nil {
		t.Errorf("the end of an upload on a full disk: %v", err)
	}
}
